"""Compares what a sandbox uses with its limits, while it lives and once more at its end. Also sees whether it works."""
import os
import time
from pathlib import Path

from engine.errors import AgentFailed
from engine.host import cgroups
from engine.host.folders import measure, remove
from engine.host.proc import Usage, descendants, proportional, usage
from engine.jobs import OUT_BYTES, OUT_FILES, Limits
from engine.runtimes.base import TOO_MUCH, Handle, Runtime

BUSY = 0.1  # of a processor's time, between two looks: less is what waiting takes
TICKS = os.sysconf("SC_CLK_TCK")
KEPT = ("out.bundle", "kept.bundle", "report", "request.json", "session.tar")  # outputs that someone reads


class OverLimit(AgentFailed):
    """A limit that protects the host was exceeded."""


class LimitWatch:
    """Watches one sandbox. groups: its control groups; without them its processes are the descendants of this process. worked: when it last used
    much of a processor, on the monotonic clock."""

    LOOK_SECONDS = 0.5  # between two looks

    def __init__(self, runtime: Runtime, handle: Handle, outputs: Path, limits: Limits, groups: list[Path]) -> None:
        self.runtime, self.handle, self.outputs, self.limits, self.groups = runtime, handle, outputs, limits, groups
        self._next_full = 0.0
        self.worked = 0.0
        self._cpu: tuple[float, int] | None = None  # of the last look: (when, clock ticks)
        self._next_change = 0.0
        self._passed: dict[str, int] = {}           # events of the control groups that are known
        self._is_full = False

    def start_again(self) -> None:
        """From now on only what is exceeded anew counts, because the agent that exceeded it is no more, and its work is saved."""
        self._passed = cgroups.hits(self.groups)
        self._is_full = self.runtime.full(self.handle) is not None
        try:
            look_at(self.outputs)
        except AgentFailed:
            with os.scandir(self.outputs) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        remove(Path(entry.path))
                    elif not entry.name.startswith(KEPT):
                        os.unlink(entry.path)

    def is_exceeded(self) -> bool:
        try:
            self.look()
        except AgentFailed:
            return True
        return False

    def is_idle(self, seconds: float) -> bool:
        """True if the sandbox did nothing in the last `seconds`: it used little of a processor and changed no file. A virtual machine says that itself."""
        now = time.monotonic()
        if now - self.worked <= seconds or now < self._next_change:
            return False
        if not self.runtime.changed(self.handle, seconds):
            return True
        self._next_change = now + max(self.LOOK_SECONDS, seconds / 10)  # to look at many files takes long
        return False

    def look(self) -> None:
        """Raises OverLimit, which names the exceeded limit."""
        self._look_at_kernel()
        self._look_at_processes()
        look_at(self.outputs)
        if time.monotonic() >= self._next_full:
            began = time.monotonic()
            self._look_for_room()
            self._next_full = began + 10 * (time.monotonic() - began)  # a large work tree is checked less often

    def last_look(self) -> None:
        """The check after the end of the command, before anything is removed."""
        self._look_at_kernel()
        look_at(self.outputs)
        self._look_for_room()

    def _look_at_kernel(self) -> None:
        passed = cgroups.hits(self.groups)
        if passed.get("processes", 0) > self._passed.get("processes", 0):
            raise self._too_many_processes()
        if passed.get("memory", 0) > self._passed.get("memory", 0):
            raise self._too_much_memory()

    def _look_at_processes(self) -> None:
        if "vm" in self.handle:  # a virtual machine has fixed memory and counts its own processes
            return
        table = self._table()
        self._note_work(sum(one.cpu for one in table.values()))
        if sum(one.threads for one in table.values()) > self.limits.processes:
            raise self._too_many_processes()
        most = self.limits.memory_mb * 1_000_000
        # First what is quick to know; there, what forked processes share counts once for each of them.
        if sum(one.resident for one in table.values()) > most and sum(_share(pid) for pid in table) > most:
            raise self._too_much_memory()

    def _note_work(self, ticks: int) -> None:
        now = time.monotonic()
        if self._cpu is not None and ticks - self._cpu[1] >= BUSY * (now - self._cpu[0]) * TICKS:
            self.worked = now
        self._cpu = now, ticks

    def _table(self) -> dict[int, Usage]:
        if self.groups:
            return {pid: found for pid in cgroups.processes(self.groups[0]) if (found := usage(pid))}
        return descendants(os.getpid())

    def _look_for_room(self) -> None:
        sentence = self.runtime.full(self.handle)
        if sentence and not self._is_full:
            raise OverLimit(sentence)

    def _too_many_processes(self) -> AgentFailed:
        return OverLimit(f"The run had more than {self.limits.processes} processes, so it was stopped.")

    def _too_much_memory(self) -> AgentFailed:
        return OverLimit(f"The run used more than {self.limits.memory_mb} MB of memory, so it was stopped.")


def _share(pid: int) -> int:
    """The process's share of memory in bytes. If the share is unknown, all its resident memory, which is 0 for an ending process."""
    share = proportional(pid)
    if share is not None:
        return share
    now = usage(pid)
    return now.resident if now else 0


def look_at(outputs: Path) -> None:
    """Raises OverLimit when a sandbox has put too much into its outputs."""
    count, size = measure(outputs, OUT_FILES, OUT_BYTES)
    if count > OUT_FILES or size > OUT_BYTES:
        raise OverLimit(TOO_MUCH)
