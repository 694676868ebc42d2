"""Runs and branches in memory, for tests and benchmarks: the engine does all that it does, and nothing outside this process happens."""
import time
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

from engine.git.branches import Work
from engine.jobs import Job, Result
from engine.loop.launch import Look
from engine.runtimes.base import Handle, SandboxJob
from engine.runtimes.fake import Fake

NOWHERE = Path("/nonexistent")


def fake_result(job: Job, exit: int) -> Result:
    """What the default run says: exit 0 is a change (nothing but the check for an epic's runs), all else a failed attempt."""
    if exit:
        return Result(job.run, "failed", int(time.time()), failure="agent", reason=f"The script ended with exit code {exit}.")
    return Result(job.run, "ok", int(time.time()), base=sha1(job.integration.encode()).hexdigest(), tip=sha1(job.run.encode()).hexdigest())


class FakeLauncher:
    """Runs of the fake runtime. `results` turns the end of a run into its result; runs are gone with this process, as those of a lost host are."""

    inline = in_memory = True

    def __init__(self, runtime: Fake | None = None, results: Callable[[Job, int], Result] = fake_result) -> None:
        self._runtime, self._results = runtime or Fake(), results
        self.jobs: dict[str, Job] = {}
        self._handles: dict[str, Handle] = {}
        self._ended: dict[str, Result] = {}

    def launch(self, job: Job) -> None:
        self.jobs[job.run] = job
        self._handles[job.run] = self._runtime.start(SandboxJob(job.run, ("fake", job.ticket), NOWHERE, NOWHERE, NOWHERE, {}, job.limits, None, None))

    def prepare_result(self, job: Job, result: Result) -> None:
        self._ended[job.run] = result

    def look(self, run_id: str) -> Look:
        if run_id in self._ended:
            return Look.ENDED
        if run_id not in self._handles:
            return Look.VOID
        code = self._runtime.poll(self._handles[run_id])
        if code is None:
            return Look.ALIVE
        self._ended[run_id] = self._results(self.jobs[run_id], code)
        return Look.ENDED

    def job(self, run_id: str) -> Job:
        return self.jobs[run_id]

    def result(self, run_id: str) -> Result | None:
        return self._ended.get(run_id)

    def stop(self, run_id: str) -> None:
        if run_id in self._handles:
            self._runtime.stop(self._handles[run_id])

    def pidfd(self, run_id: str) -> int | None:
        return None

    def last_words(self, run_id: str) -> str | None:
        return None

    def discard(self, run_id: str) -> None:
        for table in (self.jobs, self._handles, self._ended):
            table.pop(run_id, None)


class FakeBranches:
    """Merges into a list: [(integration branch, ticket id, tip)], in order."""

    def __init__(self) -> None:
        self._merged: dict[tuple[str, str, str], None] = {}

    @property
    def merged(self) -> list[tuple[str, str, str]]:
        return list(self._merged)

    def keep(self, work: Work) -> str:
        return str(work.result.tip)

    def merge(self, work: Work, tip: str, onto: str | None = None) -> str | None:
        self._merged[(work.integration, work.ticket, tip)] = None
        return sha1(f"{work.integration}{tip}".encode()).hexdigest()

    def advance(self, session: str, integration: str, result: Result) -> bool:
        return True
