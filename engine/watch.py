"""Watches one sandbox: its output goes to the run's log, its limits are kept, its end is seen."""
import os
import re
import select
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import AgentFailed
from engine.processes import open_pidfd
from engine.runtimes.base import Handle, Runtime

LOOK_SECONDS = 0.5          # between two looks at the outputs, and at a sandbox whose end cannot be waited for
OUT_BYTES, OUT_FILES = 512_000_000, 1000
TOO_MUCH = f"The run put more than {OUT_FILES} files or {OUT_BYTES // 1_000_000} MB into its outputs, so it was stopped."
TAIL = 4096                 # bytes of a command's output that are kept beside the log
PHASE = b"::phase "
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


class OverTime(AgentFailed):
    code = "over_time"


class Log:
    """The log of a run, over all its sandboxes; at most `megabytes`."""

    def __init__(self, path: Path, megabytes: int) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._room, self._megabytes = megabytes * 1_000_000, megabytes

    def write(self, data: bytes) -> None:
        """Raises AgentFailed when the log is full; what still fitted is in it."""
        kept = data[: self._room]
        self._room -= len(kept)
        while kept:
            kept = kept[os.write(self._descriptor, kept):]
        if self._room == 0:
            raise AgentFailed(f"The run wrote more than {self._megabytes} MB of log, so it was stopped.")


@dataclass
class Output:
    """What a sandbox said, as far as it matters after the log is written: did it say `marker`, and its last bytes since then."""

    log: Log
    marker: bytes
    reached: bool = False
    tail: bytes = b""
    last: float = field(default_factory=time.monotonic)

    def take(self, data: bytes) -> None:
        self.last = time.monotonic()
        seen = self.tail + data
        if not self.reached and (seen.startswith(self.marker) or b"\n" + self.marker in seen):
            self.reached = True
            seen = seen[seen.index(self.marker):].partition(b"\n")[2]
        self.tail = seen[-TAIL:]
        self.log.write(data)

    def text(self) -> str:
        """The tail, readable: terminal codes and control characters taken out, lines of the protocol too."""
        lines = _CONTROL.sub("", self.tail.decode("utf-8", "replace").replace("\r\n", "\n")).split("\n")
        return "\n".join(line for line in lines if not line.startswith(PHASE.decode()))

    def last_line(self) -> str:
        lines = [line.strip() for line in self.text().split("\n") if line.strip()]
        return lines[-1][:300] if lines else ""


@dataclass(frozen=True)
class Bounds:
    """Until when, on the monotonic clock, and what to say then; how long it may be silent (None: as long as it likes)."""

    deadline: float
    late: str
    silence: float | None = None


def watch(runtime: Runtime, handle: Handle, pipe: int, output: Output, outputs: Path, bounds: Bounds) -> int:
    """The exit code. Raises AgentFailed (OverTime for the clock) when a limit is passed: the caller stops the sandbox, then and always.

    The end is the process's end, seen by pidfd: a daemon may keep the pipe open for ever."""
    ended = open_pidfd(handle["pid"])
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    if ended is not None:
        poll.register(ended, select.POLLIN)
    looked = time.monotonic()
    try:
        while True:
            for descriptor, _ in poll.poll(LOOK_SECONDS * 1000 if ended is not None else 10):
                if descriptor == pipe and not drain(pipe, output, 1 << 20):
                    poll.unregister(pipe)
            exit_code = runtime.poll(handle)
            if exit_code is not None:
                return exit_code
            now = time.monotonic()
            _keep(bounds, output, now)
            if now - looked >= LOOK_SECONDS:
                look_at(outputs)
                looked = now
    finally:
        if ended is not None:
            os.close(ended)


def drain(pipe: int, output: Output, most: int) -> bool:
    """Takes what is in the pipe, up to about `most` bytes. -> False at its end"""
    while most > 0:
        try:
            data = os.read(pipe, 1 << 16)
        except BlockingIOError:
            return True
        if not data:
            return False
        most -= len(data)
        output.take(data)
    return True


def _keep(bounds: Bounds, output: Output, now: float) -> None:
    if now > bounds.deadline:
        raise OverTime(bounds.late)
    if bounds.silence is not None and now - output.last > bounds.silence:
        raise AgentFailed(f"The run wrote nothing for {bounds.silence:g} seconds, so it was stopped.")


def look_at(outputs: Path) -> None:
    """Raises AgentFailed when a sandbox has put too much into its outputs. Links are not followed."""
    count, size, folders = 0, 0, [str(outputs)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    count += 1
                    status = entry.stat(follow_symlinks=False)
                    size += status.st_blocks * 512
                    if stat.S_ISDIR(status.st_mode):
                        folders.append(entry.path)
                    if count > OUT_FILES or size > OUT_BYTES:
                        raise AgentFailed(TOO_MUCH)
        except (FileNotFoundError, NotADirectoryError, PermissionError):  # it changes while we look
            continue
