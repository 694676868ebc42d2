"""One runtime and a folder to use it in, for the contract that all runtimes keep."""
import fcntl
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conftest import until
from vms import vm_spec

from engine.jobs import Limits
from engine.runtimes import Fake, FakeOutcome, SandboxJob, make
from engine.runtimes.base import Handle, Runtime

LIMITS = Limits(run_seconds=60, stall_seconds=60, check_seconds=60, log_mb=1, work_mb=16, memory_mb=512, processes=64)
PATIENCE = 120.0  # an emulated machine on a busy host
RUN = f"run-{os.getpid()}"  # two test runs on one machine are to leave each other's processes alone


@dataclass
class Bench:
    """A runtime and a folder to use it in. A scenario is a shell command and, for the fake, what it would have done."""

    name: str
    folder: Path
    script: Callable[[SandboxJob], FakeOutcome] = lambda job: FakeOutcome()

    def __post_init__(self) -> None:
        self.runtime: Runtime = (Fake(lambda job: self.script(job)) if self.name == "fake"
                                 else make(self.name, vm_spec() if self.name == "qemu" else None))
        self.inputs, self.outputs, self.lock = self.folder / "in", self.folder / "out", self.folder / "sandbox.lock"
        for folder in (self.inputs, self.outputs):
            folder.mkdir()
        self.count = 0

    def start(self, command: str, outcome: FakeOutcome | Callable[[SandboxJob], FakeOutcome] | None = None, run: str = RUN, **more: Path) -> Handle:
        """more: disk, ground and filled of the job."""
        self.script = outcome if callable(outcome) else lambda job: outcome or FakeOutcome()
        self.count += 1
        lock = os.open(self.lock.with_name(f"{self.lock.name}{self.count}"), os.O_RDWR | os.O_CREAT | os.O_APPEND)
        fcntl.flock(lock, fcntl.LOCK_EX)
        log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            return self.runtime.start(SandboxJob(run, ("/bin/sh", "-c", command), self.inputs, self.outputs, self.folder / f"work{self.count}",
                                                 {"GIVEN": "yes"}, LIMITS, log, lock, **more))
        finally:
            os.close(lock)
            os.close(log)

    def end(self, handle: Handle) -> int:
        try:
            until(lambda: self.runtime.poll(handle) is not None, PATIENCE, what="the sandbox's end")
            code = self.runtime.poll(handle)
            assert code is not None
            return code
        finally:
            self.runtime.stop(handle)

    def said(self) -> str:
        return (self.folder / "log").read_text()

    def hear(self, word: str) -> None:
        """Waits until the command has said it. In every sandbox the log can be read while it grows; outputs may come only at the end."""
        until(lambda: word in self.said().split(), PATIENCE, what=word)

    def run(self, command: str, outcome: FakeOutcome | Callable[[SandboxJob], FakeOutcome] | None = None) -> tuple[int, str]:
        return self.end(self.start(command, outcome)), self.said()


def sleeping(*seconds: str) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "stat=,args="], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in listed if any(line.endswith(f"sleep {number}") for number in seconds) and not line.startswith("Z")]
