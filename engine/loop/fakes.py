"""Runs and branches in memory, for tests and benchmarks: the engine works as usual, but nothing happens outside this process."""
import time
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

from engine.errors import AgentFailed, MergeConflict, Permanent
from engine.git.branches import HandOver
from engine.jobs import Job, Result
from engine.loop.launch import Look
from engine.runtimes.base import Handle, SandboxJob
from engine.runtimes.fake import Fake

NOWHERE = Path("/nonexistent")


def fake_result(job: Job, exit: int) -> Result:
    """The default result: exit 0 is a change (for an epic's runs only a passed check), any other exit code is a failed attempt."""
    if exit:
        return Result(job.run, "failed", int(time.time()), failure="agent", reason=f"The script ended with exit code {exit}.")
    return Result(job.run, "ok", int(time.time()), tip=_sha(job.run))


class FakeBranches:
    """Branches of all repositories, with their commits in order. A branch starts to exist when it is first used; its
    name contains its session's id, so that no two repositories share a branch. conflict: returns a sentence if a change must conflict with its branch."""

    def __init__(self, conflict: Callable[[HandOver], str] = lambda work: "") -> None:
        self.merged: list[tuple[str, str, str]] = []    # (integration branch, ticket, tip), in merge order
        self._conflict = conflict
        self._holds: dict[str, dict[str, None]] = {}    # branch: its commits, the head last
        self._parents: dict[str, tuple[str, str]] = {}  # merge: (the head under it, the tip that it merges)
        self._tickets: dict[str, str] = {}              # of a tip

    def head(self, branch: str) -> str:
        return next(reversed(self._branch(branch)))

    def _branch(self, name: str) -> dict[str, None]:
        return self._holds.setdefault(name, {_sha(name): None})

    def keep(self, work: HandOver) -> str:
        if work.result.base is None:
            raise Permanent("The run does not name its base commit.")
        if work.result.tip == work.result.base:
            raise AgentFailed("The run handed over no commit of its own.")
        tip = str(work.result.tip)
        self._tickets[tip] = work.ticket
        return tip

    def keep_aside(self, work: HandOver) -> None:
        """A run in memory delivers all that it made."""

    def deletion(self, work: HandOver, tip: str) -> str:
        return ""

    def combine(self, head: str, tip: str) -> str:
        """A merge commit of both, not in a branch yet."""
        merge = _sha(head + tip)
        self._parents[merge] = head, tip
        return merge

    def merge(self, work: HandOver, tip: str, onto: str | None = None) -> str | None:
        head = self.head(work.integration)
        if tip in self._branch(work.integration):
            return head
        sentence = self._conflict(work)
        if sentence:
            raise MergeConflict(sentence, detail="<<<<<<<")
        if onto not in (None, head):
            return None
        merge = self.combine(head, tip)
        self._land(work.integration, merge)
        return merge

    def whole(self, session: str, integration: str) -> str:
        return self.head(integration)

    def advance(self, session: str, integration: str, result: Result) -> bool:
        holds, tip = self._branch(integration), str(result.tip)
        if self.head(integration) != result.base:
            return tip in holds
        merges = [tip]
        while self._parents[merges[-1]][0] != result.base:
            merges.append(self._parents[merges[-1]][0])
        for merge in reversed(merges):
            self._land(integration, merge)
        return True

    def _land(self, branch: str, merge: str) -> None:
        tip = self._parents[merge][1]
        self._holds[branch].update({tip: None, merge: None})
        self.merged.append((branch, self._tickets.get(tip, ""), tip))


class FakeLauncher:
    """Runs of the fake runtime. `results` makes a result from the end of a run; this class adds the base commit, and for a recheck run
    the merges. Runs are gone when this process ends, like the runs of a lost host."""

    inline = in_memory = True

    def __init__(self, branches: FakeBranches, runtime: Fake | None = None, results: Callable[[Job, int], Result] = fake_result) -> None:
        self.branches, self._runtime, self._results = branches, runtime or Fake(), results
        self.jobs: dict[str, Job] = {}
        self._handles: dict[str, Handle] = {}
        self._bases: dict[str, str] = {}
        self._ended: dict[str, Result] = {}
        self._asked: dict[str, float] = {}

    def launch(self, job: Job) -> None:
        if job.run in self.jobs:
            raise OSError(f"{job.run} was launched before")
        self.jobs[job.run] = job
        self._bases[job.run] = self.branches.head(job.integration)
        self._handles[job.run] = self._runtime.start(SandboxJob(job.run, ("fake", job.ticket), NOWHERE, NOWHERE, NOWHERE, {}, job.limits, None, None))

    def prepare_result(self, job: Job, result: Result) -> None:
        self.jobs[job.run], self._ended[job.run] = job, result

    def look(self, run_id: str) -> Look:
        if run_id in self._ended:
            return Look.ENDED
        if run_id not in self._handles:
            return Look.VOID
        code = self._runtime.poll(self._handles[run_id])
        if code is None:
            return Look.ALIVE
        self._ended[run_id] = self._ended_with(self.jobs[run_id], code)
        return Look.ENDED

    def _ended_with(self, job: Job, code: int) -> Result:
        result, head = self._results(job, code), self._bases[job.run]
        result.base = result.base or head
        if job.kind == "recheck":
            for change in job.waiting:
                head = self.branches.combine(head, change.tip)
                result.merged.append({"run": change.run, "merge": head})
            result.tip = head
        return result

    def job(self, run_id: str) -> Job:
        return self.jobs[run_id]

    def is_of_this_version(self, run_id: str) -> bool:
        return True

    def result(self, run_id: str) -> Result | None:
        return self._ended.get(run_id)

    def ask_to_end(self, run_id: str) -> None:
        self._asked[run_id] = time.monotonic()
        self.stop(run_id)

    def asked(self, run_id: str) -> float | None:
        return time.monotonic() - self._asked[run_id] if run_id in self._asked else None

    def stop(self, run_id: str) -> None:
        if run_id in self._handles:
            self._runtime.stop(self._handles[run_id])

    def pidfd(self, run_id: str) -> int | None:
        return None

    def last_words(self, run_id: str) -> str | None:
        return None

    def discard(self, run_id: str) -> None:
        for table in (self.jobs, self._handles, self._bases, self._ended, self._asked):
            table.pop(run_id, None)


def _sha(text: str) -> str:
    return sha1(text.encode()).hexdigest()
