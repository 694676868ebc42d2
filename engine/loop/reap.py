"""Decides from the locks which step a live run needs, and does the steps: in worker threads of the engine, or in `run-ticket` itself.

Next: engine/finish/finish.py
"""
from collections.abc import Callable

from engine.config import Config
from engine.errors import Permanent, RunFailure, Transient
from engine.finish.finish import end_stopped, finish, record_failure
from engine.finish.outcomes import MAX_TRANSIENTS
from engine.git.branches import Branches
from engine.log import event
from engine.loop.launch import TEMPORARY, Launcher, Look
from engine.run.output import SAVE_SECONDS, backstop
from engine.store import disk
from engine.store.db import Database
from engine.tickets import claims, usage
from engine.tickets.rows import Outcome, RunRow, Status, TicketRow
from engine.tickets.states import HOLDS
from engine.times import delay, utc

MORE_SECONDS = 10.0  # for a run that was asked to end to write its result


class LiveRun(RunRow):
    """A row of LIVE. wanted: True if the run still holds its ticket."""

    ticket_status: Status
    wanted: int


Step = Callable[[LiveRun], None]

LIVE = (f"select r.*, t.status as ticket_status, {HOLDS} as wanted"
        " from runs r join tickets t on t.id = r.ticket_id where r.ended_at is null")
LIVE_IN_ORDER = LIVE + " order by +r.seq"  # the plus makes SQLite use the index of live runs instead of reading all runs


class Reaper:
    """The steps. Runs are rows of LIVE. A step may be repeated after a crash in the middle of it."""

    def __init__(self, db: Database, config: Config, launcher: Launcher, branches: Branches) -> None:
        self.db, self.config, self.launcher, self.branches = db, config, launcher, branches

    def step(self, run: LiveRun, look: Look, age: float) -> Step | None:
        """The step that this run needs, or None. age: seconds since this process first saw the run."""
        if not run["wanted"] and run["state"] != "merging":
            return self._unwanted(run, look)
        if run["state"] == "queued" or run["checked_by"]:
            return None  # a recheck run decides
        if look is Look.ALIVE:
            if run["state"] == "intended":
                return self.adopt
            overdue = age > backstop(self.config.run_seconds) and self.launcher.is_of_this_version(run["id"])
            return self.end_overdue if overdue else None  # a run of another version keeps its own limits and is left alone until it ends
        return {Look.ORPHAN: self.kill, Look.ENDED: self.finish, Look.LOST: self.end_lost, Look.VOID: self.end_void}[look]

    def _unwanted(self, run: LiveRun, look: Look) -> Step | None:
        """A run that was stopped by hand saves its work and ends, also if its ticket is ready again meanwhile. Any other ends at once."""
        if run["kind"] != "feature" or look not in (Look.ALIVE, Look.ENDED) or not self._is_stopped(run):
            return self.end_unwanted
        if look is Look.ENDED:
            return self.end_stopped
        asked = self.launcher.asked(run["id"])
        if asked is None:
            return self.ask_to_end
        return self.end_unwanted if asked > SAVE_SECONDS + MORE_SECONDS else None

    def _is_stopped(self, run: LiveRun) -> bool:
        return run["ticket_status"] == "failed" or (run["ticket_status"] != "cancelled" and self.db.value(
            "select 1 from ticket_steers m join runs r on r.ticket_id = m.ticket_id where r.id = ? and m.kind = 'stopped' and m.created_at >= r.created_at",
            (run["id"],)) is not None)

    def ask_to_end(self, run: LiveRun) -> None:
        self.launcher.ask_to_end(run["id"])

    def end_stopped(self, run: LiveRun) -> None:
        """Ends a run that was stopped by hand and has saved its work, if there was any."""
        self.launcher.stop(run["id"])
        result = self.launcher.result(run["id"])
        if result is not None:
            end_stopped(self.db, self.branches, run, result)
            self.launcher.discard(run["id"])

    def adopt(self, run: LiveRun) -> None:
        """Records the start of a run whose launching process died before it could."""
        job = self.launcher.job(run["id"])
        claims.begin(self.db, run, job.runtime, job.agent, job.branch)

    def kill(self, run: LiveRun) -> None:
        self.launcher.stop(run["id"])

    def finish(self, run: LiveRun) -> None:
        self.launcher.stop(run["id"])  # ends processes that the run left behind
        result = self.launcher.result(run["id"])
        if result is not None:
            finish(self.db, self.config, self.branches, run, result)
            self.launcher.discard(run["id"])

    def end_unwanted(self, run: LiveRun) -> None:
        """Ends a run whose ticket was cancelled or changed by hand, or that was stopped by hand and saved nothing.

        It stops the run first and then records it, so a ticket never has two live runs."""
        self.launcher.stop(run["id"])
        stopped = run["ticket_status"] == "failed"
        outcome: Outcome = "cancelled" if stopped or run["ticket_status"] == "cancelled" else "stale"
        claims.end(self.db, run["id"], outcome, "It was stopped by hand." if stopped else f"The ticket is {run['ticket_status']}.")
        usage.book(self.db, self.config.data, run)
        self.launcher.discard(run["id"])
        event("finished", ticket=run["ticket_id"], run=run["id"], outcome=outcome, status=run["ticket_status"])

    def end_void(self, run: LiveRun) -> None:
        """Ends a run that never started. A process that died before its first step is a failure of this machine, so the next try waits. One that was
        only claimed is claimed again at once; if that happens again and again, it waits longer each time and ends as such a failure."""
        times = 1 + self.db.value("select transients from tickets where id = ?", (run["ticket_id"],))
        if run["state"] != "intended" or times > MAX_TRANSIENTS:
            self._fail(run, "The process of the run could not start.")
            return
        self.launcher.stop(run["id"])
        status: Status = "running" if run["kind"] == "recheck" else "ready"
        pause = utc(after=delay(times - 1, self.config.backoff_seconds)) if times > 1 else None
        if claims.finish(self.db, run, "void", status, "The run never started.", transients=times, not_before=pause):
            event("finished", ticket=run["ticket_id"], run=run["id"], outcome="void", status=status)
        self.launcher.discard(run["id"])

    def end_lost(self, run: LiveRun) -> None:
        self._fail(run, "The process of the run is gone and left no result. The ticket runs again.")

    def give_up(self, run: LiveRun) -> None:
        """Ends a run whose end could not be recorded again and again. Whether a started merge completed is not known, so someone looks at it first:
        another run could do and merge the same work twice."""
        if run["state"] == "merging":
            tip = str(run["tip_sha"])[:12]
            self._fail(run, f"The merge of the commit {tip} was started, but its end could not be recorded. The engine page and the server's log say why. "
                            f"Look whether the integration branch has {tip}. If it has not, fix the repository and try again.", Permanent)
            return
        self._fail(run, "What the run left could not be taken in. The engine page and the server's log say why.")

    def end_overdue(self, run: LiveRun) -> None:
        self._fail(run, f"The run took longer than {self.config.run_seconds:g} seconds, so it was stopped.")

    def _fail(self, run: LiveRun, reason: str, kind: type[RunFailure] = Transient) -> None:
        self.launcher.stop(run["id"])
        ticket = self.db.the("select * from tickets where id = ?", (run["ticket_id"],), TicketRow)
        words = self.launcher.last_words(run["id"])
        short = disk.trouble(self.config.database) or ("It had no space left on device." if disk.is_at_fault(words or "") else None)
        result = self.launcher.result(run["id"]) if kind is Permanent else None  # it names the changes of a recheck
        record_failure(self.db, self.config, run, ticket, kind(f"{reason} {short}" if short else reason, detail=words), result)
        usage.book(self.db, self.config.data, run)
        self.launcher.discard(run["id"])

    def clear(self) -> None:
        """Discards the files of ended runs, for a process that recorded the end and died before it could."""
        runs = self.config.data / "runs"
        left = {path.parent.name for pattern in (*TEMPORARY, "*.tmp") for path in runs.glob(f"*/{pattern}")}
        for run_id in sorted(left):
            if self.db.value("select 1 from runs where id = ? and ended_at is not null", (run_id,)):
                self.launcher.discard(run_id)
