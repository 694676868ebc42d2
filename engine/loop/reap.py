"""What a live run needs now, decided by its locks; and the steps themselves. The engine has workers take them, `run-ticket` takes them itself.

Next: engine/finish/finish.py
"""
from collections.abc import Callable

from engine.config import Config
from engine.errors import Transient
from engine.finish.finish import finish, record_failure
from engine.git.branches import Branches
from engine.log import event
from engine.loop.launch import TEMPORARY, Launcher, Look
from engine.run.output import backstop
from engine.store.db import Database
from engine.tickets import claims, usage
from engine.tickets.rows import Outcome, RunRow, Status, TicketRow
from engine.tickets.states import HOLDS


class LiveRun(RunRow):
    """A row of LIVE. wanted: whether its ticket is still held by it."""

    ticket_status: Status
    wanted: int


Step = Callable[[LiveRun], None]

LIVE = (f"select r.*, t.status as ticket_status, {HOLDS} as wanted"
        " from runs r join tickets t on t.id = r.ticket_id where r.ended_at is null")


class Reaper:
    """Runs are rows of LIVE. Steps may be taken again after a crash in the middle of one."""

    def __init__(self, db: Database, config: Config, launcher: Launcher, branches: Branches) -> None:
        self.db, self.config, self.launcher, self.branches = db, config, launcher, branches

    def step(self, run: LiveRun, look: Look, age: float) -> Step | None:
        """The step that this run needs, None if it should be left alone. age: seconds since this process first saw it."""
        if not run["wanted"] and run["state"] != "merging":
            return self.end_unwanted
        if run["state"] == "queued" or run["checked_by"]:
            return None  # a recheck run has the word
        if look is Look.ALIVE:
            if run["state"] == "intended":
                return self.adopt
            overdue = age > backstop(self.config.run_seconds) and self.launcher.is_of_this_version(run["id"])
            return self.end_overdue if overdue else None  # one of another version keeps limits of its own: it is left alone until it ends
        return {Look.ORPHAN: self.kill, Look.ENDED: self.finish, Look.LOST: self.end_lost, Look.VOID: self.end_void}[look]

    def adopt(self, run: LiveRun) -> None:
        """It was started, and whoever started it died before saying so."""
        job = self.launcher.job(run["id"])
        claims.begin(self.db, run, job.runtime, job.agent)

    def kill(self, run: LiveRun) -> None:
        self.launcher.stop(run["id"])

    def finish(self, run: LiveRun) -> None:
        self.launcher.stop(run["id"])  # whatever the run left running
        result = self.launcher.result(run["id"])
        if result is not None:
            finish(self.db, self.config, self.branches, run, result)
            self.launcher.discard(run["id"])

    def end_unwanted(self, run: LiveRun) -> None:
        """Its ticket was cancelled, or changed by hand: gone first, then recorded, so that a ticket never has two live runs."""
        self.launcher.stop(run["id"])
        stopped = run["ticket_status"] == "failed"
        outcome: Outcome = "cancelled" if stopped or run["ticket_status"] == "cancelled" else "stale"
        claims.end(self.db, run["id"], outcome, "A person stopped it." if stopped else f"The ticket is {run['ticket_status']}.")
        usage.book(self.db, self.config.data, run)
        self.launcher.discard(run["id"])
        event("finished", ticket=run["ticket_id"], run=run["id"], outcome=outcome, status=run["ticket_status"])

    def end_void(self, run: LiveRun) -> None:
        """Never began. What was launched and died before its first step is a failure of this machine: pause before the next."""
        if run["state"] != "intended":
            self._fail(run, "The run's process could not be started.")
            return
        self.launcher.stop(run["id"])
        status: Status = "running" if run["kind"] == "recheck" else "ready"
        if claims.finish(self.db, run, "void", status, "The run never began."):
            event("finished", ticket=run["ticket_id"], run=run["id"], outcome="void", status=status)
        self.launcher.discard(run["id"])

    def end_lost(self, run: LiveRun) -> None:
        self._fail(run, "The run's process is gone, and it left no result. It is started again.")

    def end_overdue(self, run: LiveRun) -> None:
        self._fail(run, f"The run did not end within its {self.config.run_seconds:g} seconds and was stopped.")

    def _fail(self, run: LiveRun, reason: str) -> None:
        self.launcher.stop(run["id"])
        ticket = self.db.the("select * from tickets where id = ?", (run["ticket_id"],), TicketRow)
        record_failure(self.db, self.config, run, ticket, Transient(reason, detail=self.launcher.last_words(run["id"])))
        usage.book(self.db, self.config.data, run)
        self.launcher.discard(run["id"])

    def clear(self) -> None:
        """Whoever recorded the end of a run and died had no time to discard what it left."""
        runs = self.config.data / "runs"
        left = {path.parent.name for pattern in (*TEMPORARY, "*.tmp") for path in runs.glob(f"*/{pattern}")}
        for run_id in sorted(left):
            if self.db.value("select 1 from runs where id = ? and ended_at is not null", (run_id,)):
                self.launcher.discard(run_id)
