"""Nothing runs: a script in this process says how each sandbox ends. For tests and benchmarks."""
import fcntl
import itertools
import os
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from engine.runtimes.base import Handle, OnHost, SandboxJob, refuse_ground

STOPPED = -9


class FakeOutcome(NamedTuple):
    """How a sandbox ends: after `seconds`, with its output in the log and `files` (name: bytes) in the outputs."""

    exit: int = 0
    output: bytes = b""
    seconds: float = 0.0
    files: Mapping[str, bytes] = MappingProxyType({})


Script = Callable[[SandboxJob], FakeOutcome]
SUCCESS = FakeOutcome()


def succeed(job: SandboxJob) -> FakeOutcome:
    return SUCCESS


class Fake(OnHost):
    name = "fake"
    isolation = "Nothing runs: the results are scripted."
    isolates = True

    def __init__(self, script: Script = succeed) -> None:
        self._script = script
        self._numbers = itertools.count(1)
        self._stopped: set[int] = set()
        self._locks: dict[int, int] = {}

    def probe(self) -> str | None:
        return None

    def start(self, job: SandboxJob) -> Handle:
        """Everything is done here; only the end is seen later. Raises whatever the script raises."""
        refuse_ground(job)
        outcome, number = self._script(job), next(self._numbers)
        if outcome.output and job.log is not None:
            os.write(job.log, outcome.output)
        for name, data in outcome.files.items():
            (job.outputs / name).write_bytes(data)
        if outcome.seconds and job.lock is not None:
            self._locks[number] = fcntl.fcntl(job.lock, fcntl.F_DUPFD_CLOEXEC, 3)
        return {"pid": os.getpid(), "number": number, "exit": outcome.exit, "end": time.monotonic() + outcome.seconds}

    def full(self, handle: Handle) -> str | None:
        return None

    def poll(self, handle: Handle) -> int | None:
        if handle["number"] in self._stopped:
            return STOPPED
        if time.monotonic() < handle["end"]:
            return None
        self._release(handle)
        return int(handle["exit"])

    def changed(self, handle: Handle, seconds: float) -> bool:
        return False

    def ask_to_end(self, handle: Handle, kill: bool = False) -> bool:
        """A script has nothing more to do."""
        self.stop(handle)
        return True

    def stop(self, handle: Handle) -> None:
        if self.poll(handle) is None:
            self._stopped.add(handle["number"])
            self._release(handle)

    def _release(self, handle: Handle) -> None:
        lock = self._locks.pop(handle["number"], None)
        if lock is not None:
            os.close(lock)
