"""What is outside the engine, as the model holds it: processes, a branch, and moments at which somebody dies or a person interferes.

A moment is a gap between two steps of the engine: before and after every transaction, and around each call of the launcher and the
branches. `outside.plan = (n, act)` has act() done at the n-th moment from now; Died, raised there, is the death of that process."""
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.config import Config
from engine.errors import MergeConflict, Transient
from engine.git.branches import HandOver
from engine.jobs import Job, Result
from engine.loop.launch import Look
from engine.loop.loop import SwarmEngine
from engine.loop.owner_lock import OwnerLock
from engine.runtimes import Choice, Fake
from engine.store.db import Database

HELD = "t.status in ('claimed', 'running') and t.claim_token = r.claim_token"


class Died(BaseException):
    """Not an Exception: whoever dies catches nothing."""


@dataclass
class Process:
    """One launched run."""

    job: Job
    look: Look = Look.ALIVE
    result: Result | None = None


@dataclass(frozen=True)
class Merge:
    integration: str
    ticket: str
    run: str
    tip: str


class Outside:
    """The one world that all engines of an example live in. `eye` is a connection that only looks."""

    def __init__(self, eye: Database) -> None:
        self.eye = eye
        self.runs: dict[str, Process] = {}
        self.merged: list[Merge] = []
        self.plan: tuple[int, Callable[[], None]] | None = None
        self.look_on: Callable[[], None] = lambda: None
        self.next_merge: str | None = None   # "conflict" or "transient": what the next merge runs into
        self.next_launch_fails = False
        self.troubled: set[str] = set()      # runs whose merge or launch was made to fail
        self.touched: set[str] = set()       # tickets that were changed in the sqlite3 shell
        self.overdue: set[str] = set()       # runs that the engine may end although they are wanted

    def moment(self) -> None:
        self.look_on()
        if self.plan is None:
            return
        left, act = self.plan
        self.plan = (left - 1, act) if left else None
        if not left:
            act()

    def alive(self) -> list[str]:
        """Ids of the runs whose processes live, in the order of their launch."""
        return [run_id for run_id, process in self.runs.items() if process.look in (Look.ALIVE, Look.ORPHAN)]

    def head(self, integration: str) -> str:
        return tip_of(f"{integration} {sum(merge.integration == integration for merge in self.merged)}")

    def wanted(self, run_id: str) -> bool:
        return self.eye.value(f"select 1 from runs r join tickets t on t.id = r.ticket_id where r.id = ? and r.ended_at is null and {HELD}", (run_id,)) == 1


class MortalDatabase(Database):
    """Before and after each of its transactions there is a moment."""

    def __init__(self, path: Path, outside: Outside) -> None:
        super().__init__(path, "NORMAL")
        self.outside = outside

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[Database]:
        if self.connection.in_transaction:
            yield self
            return
        self.outside.moment()
        with super().transaction(durable):
            yield self
        self.outside.moment()


class ModelLauncher:
    """Processes that end when a rule of the machine says so, and outlive whoever launched them."""

    inline = True
    in_memory = False

    def __init__(self, outside: Outside, db: Database) -> None:
        self.outside, self.db = outside, db

    def _moment(self) -> None:
        assert not self.db.connection.in_transaction, "process control inside a transaction"
        self.outside.moment()

    def launch(self, job: Job) -> None:
        self._moment()
        if self.outside.next_launch_fails:
            self.outside.next_launch_fails = False
            self.outside.troubled.add(job.run)
            raise OSError(28, "No space left on device")
        self._begin(job, Process(job))

    def prepare_result(self, job: Job, result: Result) -> None:
        self._moment()
        self._begin(job, Process(job, Look.ENDED, result))

    def _begin(self, job: Job, process: Process) -> None:
        assert job.run not in self.outside.runs, f"the run id {job.run} is used twice"
        others = [run_id for run_id in self.outside.alive() if self.outside.runs[run_id].job.ticket == job.ticket]
        assert not others, f"{job.run} begins while {others} of the same ticket live"
        self.outside.runs[job.run] = process
        self._moment()

    def look(self, run_id: str) -> Look:
        return self.outside.runs[run_id].look if run_id in self.outside.runs else Look.VOID

    def is_of_this_version(self, run_id: str) -> bool:
        return True

    def job(self, run_id: str) -> Job:
        return self.outside.runs[run_id].job

    def result(self, run_id: str) -> Result | None:
        return self.outside.runs[run_id].result

    def stop(self, run_id: str) -> None:
        self._moment()
        process = self.outside.runs.get(run_id)
        if process is not None and process.look in (Look.ALIVE, Look.ORPHAN):
            if process.look is Look.ALIVE and run_id not in self.outside.overdue and process.job.ticket not in self.outside.touched:
                assert not self.outside.wanted(run_id), f"{run_id} lives and holds its claim, and is killed"
            process.look = Look.LOST
            self._moment()

    def pidfd(self, run_id: str) -> int | None:
        return None

    def last_words(self, run_id: str) -> str | None:
        return None

    def discard(self, run_id: str) -> None:
        self._moment()


class ModelBranches:
    """A tip that is in the branch is not merged again, as in git; and it may only come there while its run is recorded as merging."""

    def __init__(self, outside: Outside, db: Database) -> None:
        self.outside, self.db = outside, db

    def keep(self, work: HandOver) -> str:
        assert not self.db.connection.in_transaction, "git work inside a transaction"
        self.outside.moment()
        return str(work.result.tip)

    def keep_aside(self, work: HandOver) -> None:
        assert not self.db.connection.in_transaction, "git work inside a transaction"
        self.outside.moment()

    def deletion(self, work: HandOver, tip: str) -> str:
        assert not self.db.connection.in_transaction, "git work inside a transaction"
        return ""

    def merge(self, work: HandOver, tip: str, onto: str | None = None) -> str | None:
        """Every run begins at the same commit: the branch has moved when anything was merged."""
        assert not self.db.connection.in_transaction, "git work inside a transaction"
        assert work.integration, f"{work.run} has no branch to be merged into"
        assert self.outside.eye.value("select state from runs where id = ?", (work.run,)) == "merging", f"{work.run} merges without having said so"
        self.outside.moment()
        if (work.integration, tip) not in [(merge.integration, merge.tip) for merge in self.outside.merged]:
            self._run_into_trouble(work.run)
            moved = onto != tip_of("base") or any(merge.integration == work.integration for merge in self.outside.merged)
            if onto is not None and moved:
                return None
            self.outside.merged.append(Merge(work.integration, work.ticket, work.run, tip))
        self.outside.moment()
        return tip_of(work.integration + tip)

    def whole(self, session: str, integration: str) -> str:
        assert not self.db.connection.in_transaction, "git work inside a transaction"
        self.outside.moment()
        return self.outside.head(integration)

    def advance(self, session: str, integration: str, result: Result) -> bool:
        """All changes of a recheck run at once, if the branch is where it was when they were merged beside it."""
        assert not self.db.connection.in_transaction, "git work inside a transaction"
        self.outside.moment()
        changes = {change.run: change for change in self.outside.runs[result.run].job.waiting}
        new = [Merge(integration, changes[each["run"]].ticket, each["run"], changes[each["run"]].tip) for each in result.merged]
        if not set(new) <= set(self.outside.merged):
            if result.base != self.outside.head(integration):
                return False
            for merge in new:
                state = self.outside.eye.value("select state from runs where id = ?", (merge.run,))
                assert state == "merging", f"{merge.run} is merged by {result.run} and stands as {state}"
            self.outside.merged += new
        self.outside.moment()
        return True

    def _run_into_trouble(self, run_id: str) -> None:
        trouble, self.outside.next_merge = self.outside.next_merge, None
        if trouble:
            self.outside.troubled.add(run_id)
            raise MergeConflict("a.txt was changed on both sides.") if trouble == "conflict" else Transient("The branch moved.")


def tip_of(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


def make_engine(outside: Outside, config: Config) -> SwarmEngine:
    db = MortalDatabase(config.database, outside)
    return SwarmEngine(db, config, ModelLauncher(outside, db), ModelBranches(outside, db), Choice(Fake()))


def die(engine: SwarmEngine) -> None:
    """What is left of an engine whose process died: nothing; the kernel closes its files."""
    let_go(engine._owner)
    os.close(engine.waker._event)
    engine.db.close()


def let_go(lock: OwnerLock) -> None:
    """Its holder died: the lock is free, and its file is still there."""
    if lock._descriptor is not None:
        os.close(lock._descriptor)
        lock._descriptor = None
