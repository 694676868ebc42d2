"""No sandbox at all: a process group with limits, a scrubbed environment and a private home. For what the person trusts."""
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from engine.errors import Transient
from engine.host.folders import changed_within, measure
from engine.host.proc import Usage, descendants, pids, usage
from engine.host.processes import sweep
from engine.runtimes.base import Children, Handle, OnHost, SandboxJob, limited, refuse_ground, sandbox_paths
from engine.runtimes.ending import end_others

PR_SET_CHILD_SUBREAPER = 36
LOOK_FILES = 1_000_000  # beyond that, the work tree is full


class Process(OnHost):
    name = "process"
    isolation = ("None: commands run as you, with your files and your network; only the environment, the time and some sizes are limited.")
    isolates = False

    def __init__(self) -> None:
        self._children = Children()
        self._others: set[int] = set()  # children of this process that are no sandbox's

    def probe(self) -> str | None:
        return None if os.path.exists("/proc/self/stat") else "It needs Linux with /proc."

    def start(self, job: SandboxJob) -> Handle:
        refuse_ground(job)
        if job.lock is None or job.log is None:
            raise Transient("A sandbox needs a log and a lock.")
        become_subreaper()
        home, temporary, work = (job.work / name for name in ("home", "tmp", "tree"))
        for folder in (home, temporary, work):
            folder.mkdir(parents=True, exist_ok=True)
        environment = {**sandbox_paths(job, str(job.inputs), str(job.outputs), str(work), f"unix:{job.gateway}"), "HOME": str(home), "TMPDIR": str(temporary),
                       "SWARM_TOOLS": str(job.tools or ""), "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")}
        self._others = _children_of_this_process()
        argv = limited(job.command, job.limits, job.limits.processes + _tasks_of_this_user())
        handle = self._children.spawn(argv, job, environment, (job.lock,), work)
        return {**handle, "work": str(job.work), "work_mb": job.limits.work_mb}

    def full(self, handle: Handle) -> str | None:
        """By what is there, for no file system holds it back: home and temporary files count too. A file ends where its limit is."""
        most = handle["work_mb"] * 1_000_000 // 512 * 512
        count, size = measure(Path(handle["work"]), LOOK_FILES, most)
        return f"The work tree is full ({handle['work_mb']} MB)." if size >= most or count > LOOK_FILES else None

    def poll(self, handle: Handle) -> int | None:
        return self._children.poll(handle)

    def changed(self, handle: Handle, seconds: float) -> bool:
        return changed_within(Path(handle["work"]), seconds)

    def ask_to_end(self, handle: Handle, kill: bool = False) -> bool:
        self._reap_adopted()
        return end_others(handle, handle["pid"], handle["start"], self._inside, kill)

    def _inside(self) -> dict[int, Usage]:
        """All that descend from this process, but for what was there before: it is a subreaper, so nothing of the sandbox escapes."""
        foreign = {pid for other in self._others for pid in (other, *descendants(other))}
        return {pid: one for pid, one in descendants(os.getpid()).items() if pid not in foreign}

    def stop(self, handle: Handle) -> None:
        if self._children.poll(handle) is None:
            with suppress(ProcessLookupError):
                os.killpg(handle["pid"], signal.SIGKILL)
        self._children.kill(handle)
        sweep(handle["run"], Path(handle["folder"]))
        self._end_adopted()

    def _reap_adopted(self) -> None:
        """Those that have ended would count as processes of the run until then."""
        for pid in _children_of_this_process() - self._others - self._children.pids():
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def _end_adopted(self) -> None:
        """What left its session and cleared its environment has become this process's child when its own parent ended."""
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            adopted = _children_of_this_process() - self._others - self._children.pids()
            if not adopted:
                return
            for pid in adopted:
                with suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)


def become_subreaper() -> None:
    """From here on, what loses its parent among this process's descendants becomes its child, not init's."""
    import ctypes  # here alone: it takes as long to load as everything else in a run's own process

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children_of_this_process() -> set[int]:
    return {pid for pid in pids() if (found := usage(pid)) and found.parent == os.getpid()}


def _tasks_of_this_user() -> int:
    """RLIMIT_NPROC counts all that the user runs, desktop included; root it does not count at all."""
    count = 0
    for pid in pids() if os.getuid() else ():
        with suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{pid}/task"))
    return count
