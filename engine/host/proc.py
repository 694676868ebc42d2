"""Facts about the processes of this machine, from /proc."""
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

PF_EXITING, PF_KTHREAD = 0x4, 0x200000
PAGE = os.sysconf("SC_PAGE_SIZE")


def pids() -> Iterator[int]:
    """Ids of all visible processes."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield int(name)


def strings(pid: int, name: str) -> list[bytes]:
    """The NUL-separated strings in a /proc file of a process; empty if the file cannot be read."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read().split(b"\0")
    except OSError:  # ended meanwhile, or belongs to another user
        return []


class Usage(NamedTuple):
    """Usage of one process, from /proc/<pid>/stat. flags: PF_… of the kernel."""

    state: str
    parent: int
    flags: int
    threads: int
    start: int     # clock ticks since boot
    resident: int  # bytes
    cpu: int       # clock ticks, with those of its children that have ended


def usage(pid: int) -> Usage | None:
    """Usage of a process, or None if the process does not exist."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            values = file.read().rpartition(b")")[2].split()  # the command's name may contain spaces and brackets
    except OSError:
        return None
    cpu = sum(map(int, values[11:15]))
    return Usage(values[0].decode(), int(values[1]), int(values[6]), int(values[17]), int(values[19]), int(values[21]) * PAGE, cpu)


def descendants(pid: int) -> dict[int, Usage]:
    """All descendants of a process, without the process itself."""
    seen = {other: value for other in pids() if (value := usage(other))}
    children: dict[int, list[int]] = {}
    for other, value in seen.items():
        children.setdefault(value.parent, []).append(other)
    found, todo = {}, [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            found[child] = seen[child]
            todo.append(child)
    return found


def proportional(pid: int) -> int | None:
    """Bytes of memory, where a page shared by several processes counts in parts. This is slow. None if it cannot be read."""
    for text in strings(pid, "smaps_rollup"):
        found = re.search(rb"^Pss: +(\d+) kB$", text, re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    return None


def is_starting(pid: int) -> bool:
    """True for a process during its exec. False for kernel threads and ending processes, which also have no environment."""
    value = usage(pid)
    return value is not None and value.state not in "ZX" and not value.flags & (PF_KTHREAD | PF_EXITING)
