"""Makes a claimed run live: its folder, its lock, its process. And finds out later how it ended.

Next: engine/run/runner.py
"""
import enum
import json
import os
import shutil
import time
from pathlib import Path
from typing import Protocol

from engine.config import ROOT, Config
from engine.crash import inherited, point
from engine.environments import layers
from engine.errors import RunFailure
from engine.host import children, processes
from engine.host.folders import remove
from engine.job import access
from engine.jobs import FORMAT, Job, Result, format_of
from engine.run import runner
from engine.text import from_outside

LAST_WORDS = 4000  # bytes of a runner's standard error that are kept
TEMPORARY = ("in", "out", "work", "checks")  # folders that are needed only until the run has ended
ASKED = "asked"  # a file; its time says when the run was asked to end


class Look(enum.Enum):
    """The state of a run's process."""

    ALIVE = "its lock is held"
    ORPHAN = "the runner is gone, but its sandbox is not"
    ENDED = "there is a result"
    LOST = "it started, and is gone without a result"
    VOID = "it never started"


class Launcher(Protocol):
    """How runs are started and watched. `inline`: the tick itself may finish an ended run, because this takes no time. `in_memory`: no part of
    a run is outside this process, so a tick may handle many runs in one transaction. Called from the engine's thread and, except
    launch(), from its workers; only one of them handles a run at a time."""

    inline: bool
    in_memory: bool

    def launch(self, job: Job) -> None:
        """Starts the run. Raises OSError if that fails, also for an id that was launched before; RunFailure for a run that must not start."""
    def look(self, run_id: str) -> Look: ...
    def job(self, run_id: str) -> Job: ...
    def is_of_this_version(self, run_id: str) -> bool:
        """False if a program with another format of jobs and results started it."""
    def result(self, run_id: str) -> Result | None:
        """The result, available from the time when look() returns ENDED until discard()."""
    def ask_to_end(self, run_id: str) -> None:
        """Asks the run to end and to keep its work. It has a result soon, at the latest after engine.run.output.SAVE_SECONDS and a little more."""
    def asked(self, run_id: str) -> float | None:
        """Seconds since the run was asked to end; None if it was not."""
    def stop(self, run_id: str) -> None:
        """Ends the run at once; none of its processes is left when this returns. May be called again, and for a run that never started."""
    def pidfd(self, run_id: str) -> int | None:
        """A descriptor that becomes readable when the runner ends; the caller closes it. None: nothing to wait for."""
    def prepare_result(self, job: Job, result: Result) -> None:
        """Stores a result that is known before the start: no process starts, and look() returns ENDED."""
    def last_words(self, run_id: str) -> str | None:
        """The standard error of a runner that died without a result, if there is any."""
    def discard(self, run_id: str) -> None:
        """Removes files that a finished run no longer needs; its log, result and prompt stay."""


class ProcessLauncher:
    """Each run is its own process, which can outlive this one. It lives while its lock is held: see docs/architecture.md."""

    inline = in_memory = False

    def __init__(self, config: Config) -> None:
        self.config, self.runs = config, config.data / "runs"

    def folder(self, run_id: str) -> Path:
        return self.runs / run_id

    def launch(self, job: Job) -> None:
        """Raises OSError when the folder or the process cannot be created."""
        folder = self.folder(job.run)
        folder.mkdir(mode=0o700, parents=True)  # until a sandbox has ended, its outputs may be of any kind: others keep out
        job.write(folder)
        point("after-folder")
        lock = processes.take_lock(folder / "lock")
        if lock is None:
            raise OSError(f"the lock of {job.run} is held by another process")
        point("after-lock")
        try:
            keys = access.keys_file(self.config, job)
        except RunFailure:
            os.close(lock)  # otherwise a run that never started would look alive
            raise
        try:
            with open(folder / "runner.err", "ab") as errors:
                environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", processes.RUN_VARIABLE: job.run, **inherited()}
                children.spawn(folder, runner.command(ROOT, folder), stdin=keys, stdout=errors, stderr=errors, cwd="/", pass_fds=[lock], env=environment)
            point("after-spawn")
        finally:
            os.close(keys)
            os.close(lock)  # from now on only the runner holds it

    def prepare_result(self, job: Job, result: Result) -> None:
        folder = self.folder(job.run)
        folder.mkdir(mode=0o700, parents=True)
        job.write(folder)
        result.write(folder)

    def look(self, run_id: str) -> Look:
        """Checks the run's lock first, then the sandbox's lock, and the result last, because another order is a race."""
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

    def ask_to_end(self, run_id: str) -> None:
        folder, pid = self.folder(run_id), self._pid(run_id)
        if pid is not None:
            (folder / ASKED).touch()
            processes.ask_holder(pid, folder / "lock")

    def asked(self, run_id: str) -> float | None:
        try:
            return max(0.0, time.time() - (self.folder(run_id) / ASKED).stat().st_mtime)
        except FileNotFoundError:
            return None

    def stop(self, run_id: str) -> None:
        folder = self.folder(run_id)
        pid = self._pid(run_id)
        if pid is not None:
            processes.kill_holder(pid, folder / "lock")
        processes.sweep(run_id, folder)
        children.reap(folder)

    def last_words(self, run_id: str) -> str | None:
        try:
            with open(self.folder(run_id) / "runner.err", "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_WORDS))
                return from_outside(file.read(LAST_WORDS), LAST_WORDS).strip() or None
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
        except (OSError, ValueError, KeyError):  # not written yet, or cut off; no pid is known, so the sweep finds the processes
            return None

    def discard(self, run_id: str) -> None:
        for name in TEMPORARY:
            left = self.folder(run_id) / name
            shutil.rmtree(left, ignore_errors=True)
            if os.path.lexists(left):  # folders without permissions, or too deep
                remove(left)
        for path in self.folder(run_id).glob("*.tmp"):
            path.unlink(missing_ok=True)
        for left in layers.of_run(self.config.data, run_id):
            remove(left)
