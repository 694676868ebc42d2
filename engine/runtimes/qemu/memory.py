"""The host's memory: how many VMs fit into it, and whether one more does just now."""
from pathlib import Path

from engine.jobs import VmSpec
from engine.runtimes.qemu.command import needed_mb

RESERVE = 0.1  # of the host's memory, for everything else


def most_vms(spec: VmSpec) -> int:
    """So many may live at the same time, whatever the number of slots."""
    return max(0, int(_read("MemTotal") * (1 - RESERVE) // needed_mb(spec)))


def shortage(spec: VmSpec) -> str | None:
    """A sentence if there is no room for one more VM now."""
    free, needed = _read("MemAvailable"), needed_mb(spec)
    if free >= needed:
        return None
    return f"A virtual machine needs {needed} MB of memory, and this host has {free:.0f} MB free. It will retry; SWARM_VM_MEMORY_MB makes the machine smaller."


def _read(name: str) -> float:
    """MB."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024 / 1_000_000
    raise LookupError(f"/proc/meminfo has no {name}")
