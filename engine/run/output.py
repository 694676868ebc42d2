"""Watches one sandbox: writes its output to the run's log, checks its limits, notices its end."""
import os
import re
import select
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from engine.errors import AgentFailed
from engine.host.processes import open_pidfd
from engine.jobs import TIMES
from engine.run.limits import LimitWatch, OverLimit
from engine.text import from_outside

SAVE_SECONDS = 40.0         # the longest time to end an agent and to save its work, see engine/run/ending.py
TAIL = 4096                 # bytes of a command's output that are kept besides the log
PHASE = b"::phase "
MARKS = 200                 # most marker lines of a run whose time is kept, because a sandbox may write any number
SECRET_BYTES, HIDDEN = 8, b"[secret]"  # shorter secrets would hide common words
_CONTROL = r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]"  # compiled when needed, so that a run starts sooner


class OverTime(AgentFailed):
    code = "over_time"


class Stalled(AgentFailed):
    code = "stalled"


class Log:
    """The log of a run and all its sandboxes; at most `megabytes`. The file log.times next to it has a line for each marker line of the log, and
    for the end of each sandbox, "<number of that line> <seconds since the log began>"."""

    def __init__(self, path: Path, megabytes: int) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._room, self._megabytes = megabytes * 1_000_000, megabytes
        self._secrets: tuple[bytes, ...] = ()
        self._is_cut = False
        self._held = b""  # the end of the last output, which may be the start of a secret
        self._times, self._since, self._marks = path.with_name(TIMES), time.monotonic(), 0
        self._line, self._begun = 1, b""  # number of the next line, and its text so far

    @property
    def is_full(self) -> bool:
        return self._room == 0

    def hide(self, secrets: Iterable[str]) -> None:
        """Hides these secrets, beside those of earlier calls, in all later output of sandboxes. The longest comes first, because it may hold another."""
        more = {secret.encode() for secret in secrets if len(secret) >= SECRET_BYTES}
        self._secrets = tuple(sorted({*self._secrets, *more}, key=len, reverse=True))

    def clean(self, data: bytes) -> bytes:
        """The part of the output that may be shown and kept now. Its end may come with the next piece, or with rest()."""
        data, self._held = self._held + data, b""
        for secret in self._secrets:
            data = data.replace(secret, HIDDEN)
        held = max((n for secret in self._secrets for n in range(1, len(secret)) if data.endswith(secret[:n])), default=0)
        data, self._held = data[:len(data) - held], data[len(data) - held:]
        return data

    def rest(self) -> None:
        """Writes the held output, because it is no secret."""
        held, self._held = self._held, b""
        self._note([self._line])
        self.write(held)

    def cut(self) -> None:
        """From now on, what does not fit is left out, and nothing is raised."""
        self._is_cut = True

    def write(self, data: bytes) -> None:
        """Raises OverLimit when the log is full; the part that fitted is written."""
        kept = data[: self._room]
        self._room -= len(kept)
        self._count(kept)
        while kept:
            kept = kept[os.write(self._descriptor, kept):]
        if self._room == 0 and not self._is_cut:
            raise OverLimit(f"The run wrote more than {self._megabytes} MB of log, so it was stopped.")

    def _count(self, data: bytes) -> None:
        text = self._begun + data
        if PHASE in text:
            self._note([number for number, line in enumerate(text.split(b"\n")[:-1], self._line) if line.startswith(PHASE)])
        self._line += data.count(b"\n")
        self._begun = text[text.rfind(b"\n") + 1:][:len(PHASE)]

    def _note(self, lines: list[int]) -> None:
        """Stores the time of these lines."""
        lines = lines[:MARKS - self._marks]
        self._marks += len(lines)
        if lines:
            with open(self._times, "a", encoding="ascii") as file:
                file.write("".join(f"{line} {time.monotonic() - self._since:.3f}\n" for line in lines))


class Output:
    """The output of a sandbox that is needed besides the log: whether it wrote `marker`, and its last bytes after that."""

    def __init__(self, log: Log, marker: bytes) -> None:
        self.log, self.marker = log, marker
        self.reached, self.tail, self.last = False, b"", time.monotonic()

    def take(self, data: bytes) -> None:
        self.last = time.monotonic()
        data = self.log.clean(data)
        seen = self.tail + data
        if not self.reached and (seen.startswith(self.marker) or b"\n" + self.marker in seen):
            self.reached = True
            seen = seen[seen.index(self.marker):].partition(b"\n")[2]
        self.tail = seen[-TAIL:]
        self.log.write(data)

    def last_line(self, before: str = "") -> str:
        """before: the name of a phase, for the last line that came before it."""
        shown = self.text() if not before else Output._readable(self.tail.partition(b"\n" + PHASE + before.encode() + b"\n")[0])
        lines = [line.strip() for line in shown.split("\n") if line.strip()]
        return lines[-1][:300] if lines else ""

    def text(self) -> str:
        """The tail as readable text, without terminal codes, control characters and protocol lines."""
        return self._readable(self.tail)

    @staticmethod
    def _readable(data: bytes) -> str:
        lines = re.sub(_CONTROL, "", from_outside(data.replace(b"\0", b""), TAIL).replace("\r\n", "\n")).split("\n")
        return "\n".join(line for line in lines if not line.startswith(PHASE.decode()))


class Bounds(NamedTuple):
    """Time limits: the end on the monotonic clock, the sentence for it, and the longest silence (None: no limit).
    look: called regularly; raises AgentFailed for other limits."""

    deadline: float
    late: str
    silence: float | None = None
    look: Callable[[], None] | None = None


def watch(limits: LimitWatch, pipe: int, output: Output, bounds: Bounds) -> int:
    """Watches until the end -> the exit code. Raises AgentFailed (OverTime for the clock) when a limit is exceeded. The caller stops the sandbox in all cases.

    The end of the process counts, seen by pidfd, because a daemon may keep the pipe open forever."""
    ended = open_pidfd(limits.handle["pid"])
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    if ended is not None:
        poll.register(ended, select.POLLIN)
    looked = 0.0  # set at the first output; from then on the sandbox's file systems can be seen from outside
    try:
        while True:
            for descriptor, _ in poll.poll(limits.LOOK_SECONDS * 1000 if ended is not None else 10):
                if descriptor == pipe and not drain(pipe, output, 1 << 20):
                    poll.unregister(pipe)
            exit_code = limits.runtime.poll(limits.handle)
            if exit_code is not None:
                limits.last_look()
                return exit_code
            now = time.monotonic()
            _keep(bounds, limits, output, now)
            if now - looked >= limits.LOOK_SECONDS:
                limits.look()
                looked = now
    finally:
        if ended is not None:
            os.close(ended)


def drain(pipe: int, output: Output, most: int) -> bool:
    """Reads the pipe, up to about `most` bytes. -> False at its end"""
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


def backstop(run_seconds: float) -> float:
    """When the engine must end a run, in seconds since its start, because the runner, which keeps the limit, may be stopped or stuck.
    The runner gets a tenth more, at least 5 seconds and at most a minute, to stop its sandbox and write its result; before that, 40 to save the work."""
    return run_seconds + SAVE_SECONDS + min(max(5.0, run_seconds / 10), 60.0)


def _keep(bounds: Bounds, limits: LimitWatch, output: Output, now: float) -> None:
    if now > bounds.deadline:
        raise OverTime(bounds.late)
    if bounds.look is not None:
        bounds.look()
    if bounds.silence is not None and now - output.last > bounds.silence and limits.is_idle(bounds.silence):
        raise Stalled(f"The run wrote nothing for {bounds.silence:g} seconds, so it was stopped.")
