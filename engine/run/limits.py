"""Compares what a sandbox uses with its limits, while it lives and once more at its end."""
import os
import time
from pathlib import Path

from engine.errors import AgentFailed
from engine.files import shortage
from engine.host import cgroups
from engine.host.folders import measure
from engine.host.proc import Usage, descendants, proportional, usage
from engine.jobs import OUT_BYTES, OUT_FILES, Limits
from engine.run.disk_use import DiskWatch
from engine.runtimes.base import TOO_MUCH, Handle, Runtime


class OverLimit(AgentFailed):
    """The run itself used too much, whatever else was short meanwhile."""

    code = "over_limit"


class LimitWatch:
    """Watches one sandbox. groups: its control groups; without them its processes are the descendants of this process.
    used: of what it writes to the host's disk, if it does."""

    def __init__(self, runtime: Runtime, handle: Handle, outputs: Path, limits: Limits, groups: list[Path],
                 used: DiskWatch | None = None) -> None:
        self.runtime, self.handle, self.outputs, self.limits, self.groups, self._used = runtime, handle, outputs, limits, groups, used
        self._next_full = 0.0
        self.disk: str | None = None  # a sentence, once the host's disk under the run was full

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
        if sentence:
            raise OverLimit(sentence)

    def _look_at_kernel(self) -> None:
        passed = cgroups.hits(self.groups)
        if "processes" in passed:
            raise self._too_many_processes()
        if "memory" in passed:
            raise self._too_much_memory()

    def _look_at_processes(self) -> None:
        if "vm" in self.handle:  # a virtual machine has fixed memory and counts its own processes
            return
        table = self._table()
        if sum(one.threads for one in table.values()) > self.limits.processes:
            raise self._too_many_processes()
        most = self.limits.memory_mb * 1_000_000
        # First what is quick to know; there, what forked processes share counts once for each of them.
        if sum(one.resident for one in table.values()) > most and sum(_share(pid) for pid in table) > most:
            raise self._too_much_memory()

    def _table(self) -> dict[int, Usage]:
        if self.groups:
            return {pid: found for pid in cgroups.processes(self.groups[0]) if (found := usage(pid))}
        return descendants(os.getpid())

    def _look_for_room(self) -> None:
        sentence = self.runtime.full(self.handle)
        if sentence:
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
