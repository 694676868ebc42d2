"""From a claimed run to a living one: its folder, its lock, its process. And how to see, long after, what became of it.

Next: engine/run/runner.py
"""
import enum
import json
import os
import shutil
from pathlib import Path
from typing import Protocol

from engine.config import ROOT, Config
from engine.crash import inherited, point
from engine.errors import RunFailure
from engine.host import children, processes
from engine.job import access
from engine.jobs import FORMAT, Job, Result, format_of
from engine.run import runner

TEMPORARY = ("in", "out", "work", "checks")  # folders of a run that has not ended


class Look(enum.Enum):
    """What a look at a run finds."""

    ALIVE = "its lock is held"
    ORPHAN = "the runner is gone, a sandbox of it is not"
    ENDED = "there is a result"
    LOST = "it began, and is gone without a result"
    VOID = "it never began"


class Launcher(Protocol):
    """How runs live. `inline`: a finished run may be finished in the tick itself, because nothing of it takes time; `in_memory`: nothing of
    it is outside this process either, so that what a tick does to many runs may be one transaction. Called from the engine's thread and, but
    for launch(), from its workers: at one time by one of them for each run."""

    inline: bool
    in_memory: bool

    def launch(self, job: Job) -> None:
        """Begins the run. Raises OSError where it cannot, for an id that was launched before too; RunFailure for a run that must not begin."""
    def look(self, run_id: str) -> Look: ...
    def job(self, run_id: str) -> Job: ...
    def is_of_this_version(self, run_id: str) -> bool:
        """False: a program with another form of jobs and results began it."""
    def result(self, run_id: str) -> Result | None:
        """Once look() says ENDED, until discard()."""
    def stop(self, run_id: str) -> None:
        """Ends the run; nothing of it is left when this returns. May be called again, and for a run that never began."""
    def pidfd(self, run_id: str) -> int | None:
        """Becomes readable when the runner ends; the caller closes it. None: nothing to wait for."""
    def prepare_result(self, job: Job, result: Result) -> None:
        """A run whose result is known before it began: nothing is started, and it is found ended."""
    def last_words(self, run_id: str) -> str | None:
        """What a runner that died without a result wrote to its standard error, if anything."""
    def discard(self, run_id: str) -> None:
        """Removes what a finished run no longer needs; its log, result and prompt stay."""


class ProcessLauncher:
    """A run is a process of its own that outlives this one. Held lock = alive: see RUNS in docs/architecture.md."""

    inline = in_memory = False

    def __init__(self, config: Config) -> None:
        self.config, self.runs = config, config.data / "runs"

    def folder(self, run_id: str) -> Path:
        return self.runs / run_id

    def launch(self, job: Job) -> None:
        """Raises OSError when the folder or the process cannot be made."""
        folder = self.folder(job.run)
        folder.mkdir(parents=True)
        job.write(folder)
        point("after-folder")
        lock = processes.take_lock(folder / "lock")
        if lock is None:
            raise OSError(f"the lock of {job.run} is held by another process")
        point("after-lock")
        try:
            keys = access.keys_file(self.config, job)
        except RunFailure:
            os.close(lock)  # else the run that never began would look alive
            raise
        try:
            with open(folder / "runner.err", "ab") as errors:
                environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", processes.RUN_VARIABLE: job.run, **inherited()}
                children.spawn(folder, runner.command(ROOT, folder), stdin=keys, stdout=errors, stderr=errors, cwd="/", pass_fds=[lock], env=environment)
            point("after-spawn")
        finally:
            os.close(keys)
            os.close(lock)  # from now on the runner alone holds it

    def prepare_result(self, job: Job, result: Result) -> None:
        folder = self.folder(job.run)
        folder.mkdir(parents=True)
        job.write(folder)
        result.write(folder)

    def look(self, run_id: str) -> Look:
        """The lock first, then the sandbox's, only then the result: the other way round is a race."""
        folder = self.folder(run_id)
        children.reap(folder)
        if processes.is_held(folder / "lock"):
            return Look.ALIVE
        if processes.is_held(folder / "sandbox.lock"):
            return Look.ORPHAN
        if (folder / "result.json").exists():
            return Look.ENDED
        return Look.LOST if (folder / "started.json").exists() else Look.VOID

    def job(self, run_id: str) -> Job:
        return Job.read(self.folder(run_id))

    def is_of_this_version(self, run_id: str) -> bool:
        return format_of(self.folder(run_id)) == FORMAT

    def result(self, run_id: str) -> Result | None:
        return Result.read(self.folder(run_id))

    def stop(self, run_id: str) -> None:
        folder = self.folder(run_id)
        pid = self._pid(run_id)
        if pid is not None:
            processes.kill_holder(pid, folder / "lock")
        processes.sweep(run_id, folder)
        children.reap(folder)

    def last_words(self, run_id: str) -> str | None:
        try:
            return (self.folder(run_id) / "runner.err").read_text(errors="replace")[-2000:].strip() or None
        except OSError:
            return None

    def pidfd(self, run_id: str) -> int | None:
        pid = self._pid(run_id)
        return None if pid is None else processes.open_pidfd(pid)

    def _pid(self, run_id: str) -> int | None:
        pid = children.pid_of(self.folder(run_id))
        if pid is not None:
            return pid
        try:
            return int(json.loads((self.folder(run_id) / "started.json").read_text())["pid"])
        except (OSError, ValueError, KeyError):  # not written yet, or cut off: there is nobody to signal by number, the sweep finds them
            return None

    def discard(self, run_id: str) -> None:
        for name in TEMPORARY:
            shutil.rmtree(self.folder(run_id) / name, ignore_errors=True)
        for path in self.folder(run_id).glob("*.tmp"):
            path.unlink(missing_ok=True)
