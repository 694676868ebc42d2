"""Control groups. Where they are available, the kernel counts each run's processes and can end them all, even if they try to hide.

A run's group is hitl-swarm/<run id> below the group of this process, in the hierarchy that fits best: version 1 has one for
each resource (only pids is used), version 2 one for all. If a container manager or systemd made the group of this process, then
they count, limit and end it: nothing is created in it unless they delegated it, and nothing is moved out of it."""
import functools
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from engine.jobs import Limits

PARENT = "hitl-swarm"
MEMORY_FILES_MB = 2048  # most of a sandbox's memory file systems besides its work tree; the kernel counts them as memory
# For /bin/sh: it enters the groups named before "--" and becomes the command. So nothing runs outside the groups.
JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@"'


def create(run_id: str, limits: Limits) -> list[Path]:
    """Creates empty groups with limits for the next sandbox of a run; [] if none are available. The sandbox must enter them first."""
    groups = []
    for parent in _parents():
        group = parent / run_id
        with suppress(OSError):  # no room for more groups, or no longer ours; the other limits of a run still work
            group.mkdir(exist_ok=True)
            _set(group, "pids.max", limits.processes)
            _set(group, "memory.max", (limits.memory_mb + limits.work_mb + MEMORY_FILES_MB) * 1_000_000)
            groups.append(group)
    return groups


def joining(groups: list[Path], argv: list[str]) -> list[str]:
    """The command that starts `argv` inside the groups."""
    return ["/bin/sh", "-c", JOIN, "sh", *(str(group / "cgroup.procs") for group in groups), "--", *argv] if groups else argv


def hits(groups: list[Path]) -> dict[str, int]:
    """Limits that the kernel had to enforce since the groups were made, and how often: of "processes", "memory"."""
    events = (("processes", "pids.events", "max"), ("memory", "memory.events", "oom_kill"))
    counts = {name: sum(_counts(group / file).get(key, 0) for group in groups) for name, file, key in events}
    return {name: count for name, count in counts.items() if count}


def cpu_seconds(groups: list[Path]) -> float | None:
    """The time of processors that all processes of a sandbox have used so far, also those that have ended. None: the kernel does not count it here."""
    return next((used / 1_000_000 for group in groups if (used := _counts(group / "cpu.stat").get("usage_usec")) is not None), None)


def members(run_id: str) -> list[int]:
    """The processes in a run's groups."""
    return sorted({pid for parent in _parents() for pid in processes(parent / run_id)})


def processes(group: Path) -> list[int]:
    try:
        pids = (group / "cgroup.procs").read_text().split()
    except OSError:  # no such group
        return []
    return [int(pid) for pid in pids if pid != "0"]  # 0: a process of another pid namespace; as a target of kill it would mean ourselves


def kill(run_id: str, seconds: float = 5.0) -> None:
    """Sends SIGKILL to everything in a run's groups until they are empty. It first forbids forks, so a fork bomb cannot outrun it."""
    for group in (parent / run_id for parent in _parents()):
        with suppress(OSError):
            _set(group, "pids.max", 0)
            _set(group, "cgroup.kill", 1)
        end = time.monotonic() + seconds
        while (pids := processes(group)) and time.monotonic() < end:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)


def sweep(run_id: str) -> None:
    """Ends the processes in a run's groups and removes the groups. A process that was about to enter them fails and ends."""
    kill(run_id)
    for group in (parent / run_id for parent in _parents()):
        end = time.monotonic() + 1.0
        while group.exists() and time.monotonic() < end:
            with suppress(OSError):  # the kernel may need a moment after the last process
                group.rmdir()
                break
            time.sleep(0.002)


def describe() -> str:
    """For people: which limits of a run work here, and how."""
    watched = "its memory, its work tree and its outputs are checked twice a second"
    counted = [parent for parent in _parents() if _has(parent, "pids")]
    if counted:
        memory = " and limits its memory as a second guard" if any(_has(parent, "memory") for parent in counted) else ""
        return f"The kernel counts the processes of each run (control groups){memory}; {watched}."
    if os.geteuid() == 0:
        return (f"Control groups are not available here, and the kernel does not count root's processes, so they are only watched. For each run, {watched}; "
                "a fork bomb may slow this machine down until it is stopped. Start HITL Swarm as its own user, or in a systemd unit with Delegate=yes.")
    return f"The kernel limits the processes of each run (rlimits; control groups are not available here); {watched}."


@functools.cache
def _parents() -> tuple[Path, ...]:
    """The folders hitl-swarm, created where that is possible."""
    try:
        own, mounts = Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text()
    except OSError:
        return ()
    found = []
    for folder, top in places(own, mounts):
        if top or _handed_over(folder):
            with suppress(OSError):
                (folder / PARENT).mkdir(exist_ok=True)
                for controller in ("+pids", "+memory"):
                    for group in (folder, folder / PARENT):
                        with suppress(OSError):  # not offered here, or blocked by processes in the group; then its files are missing
                            _set(group, "cgroup.subtree_control", controller)
                if os.access(folder / PARENT, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK):
                    found.append(folder / PARENT)
    # Only one, with limits if possible, because it takes the kernel about 10 ms to enter a group.
    return tuple(sorted(found, key=lambda parent: not _has(parent, "pids"))[:1])


def places(own: str, mounts: str) -> list[tuple[Path, bool]]:
    """[(folder of a process's group, is it the topmost visible one)] from its /proc/…/cgroup and mountinfo: for version
    1 the hierarchy with the controller pids, and for version 2."""
    groups: dict[str, str] = {}
    for line in own.splitlines():
        number, controllers, path = line.split(":", 2)
        groups.update({"": path} if number == "0" else dict.fromkeys(controllers.split(","), path))
    found = []
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        (root, point), (kind, _, options) = before.split()[3:5], after.split()[:3]
        controller = "" if kind == "cgroup2" else "pids" if kind == "cgroup" and "pids" in options.split(",") else None
        if controller in groups:
            relative = os.path.relpath(groups[controller], root)
            if not relative.startswith(".."):
                found.append((Path(point, relative), relative == "."))
    return found


def _handed_over(folder: Path) -> bool:
    """True if this group is delegated: systemd marks it (Delegate=yes); for users other than root it is also writable."""
    for name in ("user.delegate", "trusted.delegate"):
        with suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return os.geteuid() != 0 and os.access(folder, os.W_OK)


def _has(parent: Path, controller: str) -> bool:
    """True if groups below `parent` can have a limit of this kind."""
    offered = parent / "cgroup.subtree_control"  # in version 2
    return controller in offered.read_text().split() if offered.exists() else (parent / f"{controller}.max").exists()


def _set(group: Path, file: str, value: object) -> None:
    """Writes to a file of a group, if the file exists."""
    if (group / file).exists():
        (group / file).write_text(str(value))


def _counts(file: Path) -> dict[str, int]:
    try:
        return {key: int(value) for key, value in (line.split() for line in file.read_text().splitlines())}
    except OSError:
        return {}
