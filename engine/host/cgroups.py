"""Control groups: where they can be had, the kernel counts each run's processes and ends them as one, whatever they do to hide.

A run's group is hitl-swarm/<run id> below the group that this process is in, in the hierarchy that serves best: version 1 has one for
each resource (only pids is taken), version 2 one for all. A group that somebody else made for this process, a container's manager or
systemd, is theirs to count, to limit and to end: nothing is made in it unless they handed it over, and nothing is moved out of it."""
import functools
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from engine.jobs import Limits

PARENT = "hitl-swarm"
MEMORY_FILES_MB = 2048  # what a sandbox may hold in its memory file systems besides its work tree: the kernel counts that as memory
# For /bin/sh: it enters the groups named before "--" and becomes the command. So nothing runs outside, and nothing is inherited wrongly.
JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@"'


def create(run_id: str, limits: Limits) -> list[Path]:
    """Empty groups for the next sandbox of a run, with its limits; none where none can be had. To be entered before anything else."""
    groups = []
    for parent in _parents():
        group = parent / run_id
        with suppress(OSError):  # no room for more groups, or no longer ours: what else limits a run still does
            group.mkdir(exist_ok=True)
            _set(group, "pids.max", limits.processes)
            _set(group, "memory.max", (limits.memory_mb + limits.work_mb + MEMORY_FILES_MB) * 1_000_000)
            groups.append(group)
    return groups


def joining(groups: list[Path], argv: list[str]) -> list[str]:
    """`argv`, to be started inside the groups."""
    return ["/bin/sh", "-c", JOIN, "sh", *(str(group / "cgroup.procs") for group in groups), "--", *argv] if groups else argv


def hits(groups: list[Path]) -> set[str]:
    """Which limits the kernel had to enforce since the groups were made: "processes", "memory"."""
    events = (("processes", "pids.events", "max"), ("memory", "memory.events", "oom_kill"))
    return {name for group in groups for name, file, key in events if _counts(group / file).get(key, 0)}


def members(run_id: str) -> list[int]:
    """The processes in a run's groups."""
    return sorted({pid for parent in _parents() for pid in processes(parent / run_id)})


def processes(group: Path) -> list[int]:
    try:
        pids = (group / "cgroup.procs").read_text().split()
    except OSError:  # no such group
        return []
    return [int(pid) for pid in pids if pid != "0"]  # 0: of another pid namespace, and as a target of kill it would be ourselves


def kill(run_id: str, seconds: float = 5.0) -> None:
    """SIGKILLs everything in a run's groups, again until they are empty. A fork bomb cannot outrun it: first, no more forks."""
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
    """Ends and removes what is left of a run. Whoever was about to enter its groups cannot any more, and ends by that."""
    kill(run_id)
    for group in (parent / run_id for parent in _parents()):
        end = time.monotonic() + 1.0
        while group.exists() and time.monotonic() < end:
            with suppress(OSError):  # the kernel may need a moment after the last process
                group.rmdir()
                break
            time.sleep(0.002)


def describe() -> str:
    """For people: which limits of a run hold here, and by what."""
    watched = "its memory, its work tree and its outputs are looked at twice a second"
    counted = [parent for parent in _parents() if _has(parent, "pids")]
    if counted:
        memory = " and holds its memory in a second line" if any(_has(parent, "memory") for parent in counted) else ""
        return f"The kernel counts the processes of each run (control groups){memory}; {watched}."
    if os.geteuid() == 0:
        return (f"No control groups can be had here, and the kernel does not count root's processes: they too are only looked at. Of each run, {watched}; "
                "a fork bomb may slow this machine down until it is stopped. Start HITL Swarm as a user of its own, or in a systemd unit with Delegate=yes.")
    return f"The kernel limits the processes of each run (rlimits; no control groups can be had here); {watched}."


@functools.cache
def _parents() -> tuple[Path, ...]:
    """The folders hitl-swarm, made where they can be."""
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
                        with suppress(OSError):  # not offered here, or processes stand in the way: then its files are not there
                            _set(group, "cgroup.subtree_control", controller)
                if os.access(folder / PARENT, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK):
                    found.append(folder / PARENT)
    # One alone, with limits if possible: to enter a group takes the kernel about 10 ms.
    return tuple(sorted(found, key=lambda parent: not _has(parent, "pids"))[:1])


def places(own: str, mounts: str) -> list[tuple[Path, bool]]:
    """[(folder of the group that a process is in, is it the topmost that can be seen)] by its /proc/…/cgroup and mountinfo: of version
    1 the hierarchy with the controller pids, and version 2."""
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
    """systemd marks what Delegate=yes hands over; to anybody but root, it is also what they may write at all."""
    for name in ("user.delegate", "trusted.delegate"):
        with suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return os.geteuid() != 0 and os.access(folder, os.W_OK)


def _has(parent: Path, controller: str) -> bool:
    """Whether groups below `parent` can have a limit of that kind."""
    offered = parent / "cgroup.subtree_control"  # of version 2
    return controller in offered.read_text().split() if offered.exists() else (parent / f"{controller}.max").exists()


def _set(group: Path, file: str, value: object) -> None:
    """Writes to a group's file where it has such a file."""
    if (group / file).exists():
        (group / file).write_text(str(value))


def _counts(file: Path) -> dict[str, int]:
    try:
        return {key: int(value) for key, value in (line.split() for line in file.read_text().splitlines())}
    except OSError:
        return {}
