"""Starts runs without a ticket, decides from their locks what each of them needs next, and does it. Their kinds are in engine/loop/kinds.py.

Next: engine/loop/kinds.py
"""
from collections.abc import Callable

from engine.agents import FALLBACK
from engine.config import Config
from engine.crash import point
from engine.errors import Permanent, RunFailure, SwarmError, Transient
from engine.jobs import Result
from engine.log import event
from engine.loop.kinds import KINDS
from engine.loop.launch import Launcher, Look
from engine.run.output import backstop
from engine.runs import claims, wanted
from engine.runtimes import Choice
from engine.store.db import Database
from engine.text import stored
from engine.tickets.rows import Outcome, OwnedRunRow

LIVE_OWNED = "select * from runs where ticket_id is null and ended_at is null and (state <> 'wanted' or cancelled) order by seq"
AGAIN = 3  # runs in a row that end without a fault of theirs, before someone must look
NO_FAULT = ("transient", "lost", "void")

Step = Callable[[OwnedRunRow], None]


class OwnedRuns:
    """Runs of sessions, repositories and the installation. Called from the engine's thread; steps also from its workers."""

    def __init__(self, db: Database, config: Config, launcher: Launcher) -> None:
        self.db, self.config, self.launcher = db, config, launcher
        self._was_last = False  # with one slot, tickets and these runs take turns
        self._backstops: dict[str, float] = {}  # of live runs, in seconds: each tick asks, and a job never changes

    def start(self, engine: str, choice: Choice, free: int) -> list[str]:
        """Claims and starts the runs that are due, in at most half of the `free` slots while tickets are ready. -> their ids"""
        if free <= 0 or not claims.is_wanted(self.db):
            return []
        if self.db.value("select 1 from tickets where status = 'ready' limit 1"):
            self._was_last = not (free == 1 and self._was_last)
            free = max(1, free // 2) if self._was_last else 0
        runs = claims.claim(self.db, engine, free)
        for run in runs:
            point("after-claim")
            event("claimed", run=run["id"], attempt=run["run_no"], kind=run["kind"], owner=f"{run['owner_kind']}:{run['owner_id']}")
            self._start(run, choice)
        return [run["id"] for run in runs]

    def _start(self, run: OwnedRunRow, choice: Choice) -> None:
        kind = KINDS[run["kind"]]
        try:
            if choice.fallback and kind.isolated:
                raise Permanent(f"This machine has no isolation to run the commands in. {choice.no_isolation}")
            runtime = choice.standing or choice.runtime
            job = kind.job(self.db, self.config, run, stored(run["task"], {}), runtime)
            self.launcher.launch(job)
        except (SwarmError, OSError) as error:
            failure = why_not(error)
            self._end(run, failure.outcome, failure.sentence)
            return
        point("before-begin")
        if claims.begin(self.db, run, runtime.name, job.agent or FALLBACK.name):
            point("after-begin")
            event("launched", run=run["id"], runtime=runtime.name, kind=run["kind"])
        else:
            self.launcher.stop(run["id"])

    def step(self, run: OwnedRunRow, look: Look, age: float) -> Step | None:
        """The step that this run needs, or None. age: seconds since this process first saw the run."""
        if run["cancelled"]:
            return self.end_cancelled
        if look is Look.ALIVE:
            if run["state"] == "intended":
                return self.adopt
            overdue = self.launcher.is_of_this_version(run["id"]) and age > self._backstop(run["id"])
            return self.end_overdue if overdue else None
        return {Look.ORPHAN: self.kill, Look.ENDED: self.finish, Look.LOST: self.end_lost, Look.VOID: self.end_void}[look]

    def _backstop(self, run_id: str) -> float:
        if run_id not in self._backstops:
            self._backstops[run_id] = backstop(self.launcher.job(run_id).limits.run_seconds)
        return self._backstops[run_id]

    def adopt(self, run: OwnedRunRow) -> None:
        """Records the start of a run whose launching process died before it could."""
        job = self.launcher.job(run["id"])
        claims.begin(self.db, run, job.runtime, job.agent)

    def kill(self, run: OwnedRunRow) -> None:
        self.launcher.stop(run["id"])

    def finish(self, run: OwnedRunRow) -> None:
        self.launcher.stop(run["id"])  # ends processes that the run left behind
        result = self.launcher.result(run["id"])
        if result is None:
            return
        if result.outcome == "failed":
            outcome: Outcome = "failed" if result.failure in ("agent", "permanent") else "transient"
        else:
            outcome = {"over_budget": "over_budget", "needs_input": "needs_input"}.get(result.outcome, "done")  # type: ignore[assignment]
        self._end(run, outcome, result.reason, result)

    def end_cancelled(self, run: OwnedRunRow) -> None:
        self._stop_and_end(run, "cancelled", "It was stopped before it began." if run["state"] == "wanted" else "It was stopped by hand.")

    def end_void(self, run: OwnedRunRow) -> None:
        self._stop_and_end(run, "void", "The run never started.")

    def end_lost(self, run: OwnedRunRow) -> None:
        self._stop_and_end(run, "lost", "The process of the run is gone and left no result.")

    def give_up(self, run: OwnedRunRow) -> None:
        """Ends a run whose end could not be recorded again and again."""
        self._stop_and_end(run, "failed", "What the run left could not be taken in. The engine page and the server's log say why.")

    def end_overdue(self, run: OwnedRunRow) -> None:
        self._stop_and_end(run, "failed", "The run took longer than its limit, so it was stopped.")

    def _stop_and_end(self, run: OwnedRunRow, outcome: Outcome, reason: str) -> None:
        self.launcher.stop(run["id"])
        self._end(run, outcome, reason, detail=self.launcher.last_words(run["id"]))

    def _end(self, run: OwnedRunRow, outcome: Outcome, reason: str | None, result: Result | None = None, detail: str | None = None) -> None:
        """Ends the run and tells its owner, in one transaction. A run that ended without a fault of its own is wanted again."""
        point("before-finish")
        with self.db.transaction():
            ended = claims.end(self.db, run, outcome, reason, result, detail)
            again = ended and outcome in NO_FAULT and claims.tries(self.db, run) < AGAIN
            if again:
                wanted.want(self.db, run["kind"], run["owner_kind"], run["owner_id"], run["tenant_id"], stored(run["task"], {}), run["session_id"])
            elif ended:
                KINDS[run["kind"]].ended(self.db, self.config, run, outcome, reason, result)
        point("after-finish")
        event("finished", run=run["id"], outcome=outcome, reason=reason, again=again or None)
        self._backstops.pop(run["id"], None)
        self.launcher.discard(run["id"])


def why_not(error: SwarmError | OSError) -> RunFailure:
    """Why a run did not start. What it belongs to may be gone from the database, which does not pass by itself."""
    if isinstance(error, RunFailure):
        return error
    return Permanent(error.sentence) if isinstance(error, SwarmError) else Transient(f"The run could not start: {error.strerror or error}.")
