"""Compares what a sandbox uses with its limits, while it lives and once more at its end. Also sees whether it works."""
import os
import time
from pathlib import Path

from engine.errors import AgentFailed
from engine.files import shortage
from engine.host import cgroups
from engine.host.folders import changed_within, measure, remove
from engine.host.proc import Usage, descendants, proportional, usage
from engine.jobs import OUT_BYTES, OUT_FILES, Limits
from engine.run.disk_use import DiskWatch
from engine.runtimes.base import TOO_MUCH, Handle, Runtime

BUSY = 0.1  # of a processor's time, between two looks: less is what waiting takes
TICKS = os.sysconf("SC_CLK_TCK")
KEPT = {"out.bundle", "out.part", "kept.bundle", "kept.part", "saved", "report", "request.json", "session.tar"}  # outputs that someone reads


class OverLimit(AgentFailed):
    """The run itself used too much, whatever else was short meanwhile."""

    code = "over_limit"


class LimitWatch:
    """Watches one sandbox. groups: its control groups; without them its processes are the descendants of this process. worked: when it last used
    much of a processor, on the monotonic clock. used: of what it writes to the host's disk, if it does."""

    LOOK_SECONDS = 0.5  # between two looks

    def __init__(self, runtime: Runtime, handle: Handle, outputs: Path, limits: Limits, groups: list[Path],
                 used: DiskWatch | None = None) -> None:
        self.runtime, self.handle, self.outputs, self.limits, self.groups, self._used = runtime, handle, outputs, limits, groups, used
        self._next_full = 0.0
        self.disk: str | None = None  # a sentence, once the host's disk under the run was full
        self.worked = 0.0
        self._cpu: tuple[float, float] | None = None  # of the last look: when, and how much was used, in seconds
        self._next_change = 0.0
        self._passed: dict[str, int] = {}  # events of the control groups that are known
        self._is_full = False

    def forget(self) -> None:
        """From now on, limits that the kernel enforced before do not count."""
        self._passed = cgroups.hits(self.groups)

    def start_again(self) -> None:
        """From now on only what is exceeded further counts, because the agent that exceeded it is no more, and its work is saved."""
        self.forget()
        self._is_full = self.runtime.full(self.handle) is not None or (self._used is not None and self._used.look(at_once=True) is not None)
        try:
            look_at(self.outputs)
        except OverLimit:
            _make_room(self.outputs)

    def is_exceeded(self) -> bool:
        try:
            self.look()
        except OverLimit:
            return True
        return False

    def is_idle(self, seconds: float) -> bool:
        """True if the sandbox did nothing in the last `seconds`: it used little of a processor and changed no file. A virtual machine says that itself."""
        now = time.monotonic()
        if now - self.worked <= seconds or now < self._next_change:
            return False
        if not changed_within(self.outputs, seconds) and not self.runtime.changed(self.handle, seconds):
            return True
        self._next_change = now + max(self.LOOK_SECONDS, seconds / 10)  # to look at many files takes long
        return False

    def look(self) -> None:
        """Raises OverLimit, which names the exceeded limit."""
        self.look_at_disk()
        self._look_at_kernel()
        self._look_at_processes()
        look_at(self.outputs)
        self._look_at_use(at_once=False)
        if time.monotonic() >= self._next_full:
            began = time.monotonic()
            self._look_for_room()
            self._next_full = began + 10 * (time.monotonic() - began)  # a large work tree is checked less often

    def last_look(self) -> None:
        """The check after the end of the command, before anything is removed."""
        self._look_at_kernel()
        look_at(self.outputs)
        self._look_at_use(at_once=True)
        self._look_for_room()

    def look_at_disk(self) -> None:
        """Notes whether the host's disk is full. That is not the run's fault; what comes of it decides (engine/run/runner.py)."""
        self.disk = self.disk or shortage(self.outputs.parent)  # the outputs themselves may be gone

    def _look_at_use(self, at_once: bool) -> None:
        sentence = self._used.look(at_once) if self._used else None
        if sentence and not self._is_full:
            raise OverLimit(sentence)

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
        self._note_work(table)
        if sum(one.threads for one in table.values()) > self.limits.processes:
            raise self._too_many_processes()
        most = self.limits.memory_mb * 1_000_000
        # First what is quick to know; there, what forked processes share counts once for each of them.
        if sum(one.resident for one in table.values()) > most and sum(_share(pid) for pid in table) > most:
            raise self._too_much_memory()

    def _note_work(self, table: dict[int, Usage]) -> None:
        now, used = time.monotonic(), cgroups.cpu_seconds(self.groups)
        if used is None:
            used = sum(one.cpu for one in table.values()) / TICKS
        if self._cpu is not None and used - self._cpu[1] >= BUSY * (now - self._cpu[0]):
            self.worked = now
        self._cpu = now, used

    def _table(self) -> dict[int, Usage]:
        if self.groups:
            return {pid: found for pid in cgroups.processes(self.groups[0]) if (found := usage(pid))}
        return descendants(os.getpid())

    def _look_for_room(self) -> None:
        sentence = self.runtime.full(self.handle)
        if sentence and not self._is_full:
            raise OverLimit(sentence)

    def _too_many_processes(self) -> OverLimit:
        return OverLimit(f"The run had more than {self.limits.processes} processes, so it was stopped.")

    def _too_much_memory(self) -> OverLimit:
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


def _make_room(outputs: Path) -> None:
    """Removes the outputs that nobody reads. The commit phase may be at work in there."""
    with os.scandir(outputs) as entries:
        for entry in list(entries):
            if entry.name not in KEPT:
                remove(Path(entry.path))
