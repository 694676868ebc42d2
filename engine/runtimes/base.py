"""The interface of a runtime, which runs one command in one fresh sandbox, and code that several runtimes share."""
import functools
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from engine.errors import Permanent, Transient
from engine.host.cgroups import joining
from engine.host.proc import usage
from engine.host.processes import RUN_VARIABLE, has_ended, open_pidfd, send
from engine.jobs import OUT_BYTES, OUT_FILES, Limits, VmSpec

if TYPE_CHECKING:  # a run's own process has its job, and no need of settings
    from engine.config import Config

Handle = dict[str, Any]
TOO_MUCH = f"The run put more than {OUT_FILES} files or {OUT_BYTES // 1_000_000} MB into its outputs, so it was stopped."
TOOLS = "/opt/agents"  # where a sandbox with a file system of its own has the installed agents
GRACE_SECONDS = 5.0  # for an agent between SIGTERM and SIGKILL, when its run is stopped
UNKNOWN_EXIT = -128  # it ended, but its exit code is unknown, because it was the child of another process

# A program may reserve more memory than it uses. What a run uses is measured over all its processes (engine/run/limits.py), and a single process
# must be stopped by that measurement, with its reason, before malloc() fails in it.
DATA_FACTOR = 2
SPARE = 64  # processes that rlimits allow above the limit, so that a run with too many can be noticed

# Inside the sandbox, once its user namespace is there: RLIMIT_NPROC then counts its processes alone, not all of the user's.
# A limit that the host has set lower stays as it is. POSIX counts file sizes in blocks of 512 bytes; dash calls NPROC -p.
SET_LIMITS = """ulimit -c 0
ulimit -f "$1" 2>/dev/null
ulimit -d "$2" 2>/dev/null
ulimit -n 4096 2>/dev/null
ulimit -u "$3" 2>/dev/null || ulimit -p "$3" 2>/dev/null
shift 3
exec "$@"
"""


class SandboxJob(NamedTuple):
    """One command in one fresh sandbox.

    The command finds its places in its environment: SWARM_IN (inputs, read-only), SWARM_OUT (outputs, the only writable path
    shared with the host) and SWARM_WORK (an empty writable folder, where it starts); SWARM_RUN is the run's id."""

    run: str
    command: tuple[str, ...]
    inputs: Path
    outputs: Path
    work: Path                   # host folder for runtimes that have no work folder of their own
    environment: dict[str, str]
    limits: Limits
    log: int | None              # descriptor for stdout and stderr; None only for the fake
    lock: int | None             # descriptor of sandbox.lock (O_APPEND), flocked by the caller, who closes it after start()
    groups: tuple[Path, ...] = ()  # control groups of the run, entered before anything else
    tools: Path | None = None    # host folder of installed agents, to be seen read-only; inside, SWARM_TOOLS says where
    gateway: Path | None = None  # unix socket of the run's gateway, for the sandbox to have; inside, SWARM_GATEWAY says where it is
    disk: Path | None = None     # host folder for what the sandbox writes to its work tree, home and /tmp; None: in memory
    ground: Path | None = None   # with disk: folder of a snapshot, below the work tree $SWARM_WORK/repo and the home folder; never changed
    filled: Path | None = None   # with disk: folder of a snapshot in the making, whose repo/ and home/ the sandbox fills
    tree: Path | None = None     # with disk: folder whose repo/ has the tracked files of a commit, below the work tree and above ground; never changed
    overlays: str | None = None  # the program that makes overlays here; '': ground and tree are copied; None: it is looked for
    objects: tuple[tuple[Path, str], ...] = ()  # (host folder of git objects, absolute place inside where it is seen read-only)


class Runtime(Protocol):
    """A kind of sandbox. tests/engine/test_runtime_contract.py tests each one against this description.

    The server asks probe(), most(), own_files() and vm(), from any of its threads, because they need no sandbox. The process of a
    run calls start(), then poll() and full() in turn until poll() returns a code or a limit is exceeded, and then stop() in either case, all in
    one thread; for the next command it starts again with start(). Before stop() it may ask for an end that saves the work, by ask_to_end().
    stop() and poll() may come from another process, after this one was killed.

    A handle is JSON. It has "pid", the process that ends when the sandbox ends, and, where the sandbox is a virtual machine, "vm":
    {accelerator, memory_mb, cpus, clone, and boot_ms once its command has begun}. Everything else in it belongs to the runtime."""

    name: str
    isolation: str               # one honest sentence for people
    isolates: bool               # False: commands can reach everything that their user can, so you must agree first
    stands: bool                 # True: its sandboxes can stand on the snapshot of an environment (SandboxJob.ground) and see folders of objects (.objects)

    @property
    def program(self) -> str:
        """The program that makes its sandboxes, as probe() chose it, for the process of a run; "" if there is no choice."""

    def probe(self) -> str | None:
        """The reason why it cannot run here, and what to do about it; None if it can run."""

    def most(self) -> int | None:
        """Most sandboxes at the same time, for any number of slots; None: as many as there are slots."""

    def vm(self, config: "Config") -> VmSpec | None:
        """The virtual machine for a job's sandboxes; None if they are not virtual machines."""

    def own_files(self, config: "Config") -> tuple[Path | None, str] | None:
        """None: its sandboxes are shown folders of the host. Those with a file system of their own: (the host's folder with the installed
        agents that are in it, or None; why there is none and what to do about that)."""

    def start(self, job: SandboxJob) -> Handle:
        """Starts the sandbox. Raises Transient when it cannot start now, Permanent when this job can never start."""

    def full(self, handle: Handle) -> str | None:
        """A sentence that names the full place inside the sandbox; None if no place is full. Call it before stop()."""

    def poll(self, handle: Handle) -> int | None:
        """The exit code (negative: a signal), None while it lives; after its end always the same. Raises Transient when the command never
        started, AgentFailed when the sandbox broke its rules."""

    def changed(self, handle: Handle, seconds: float) -> bool:
        """True if files inside were changed in the last `seconds`: a sandbox without output may be at work."""

    def ask_to_end(self, handle: Handle, kill: bool = False) -> bool:
        """Ends every process inside but the first one of the command. The first call sends SIGTERM, each call with `kill` sends SIGKILL. True: the
        rest is gone, or will be within the grace time of a virtual machine (GRACE_SECONDS), and the first process gets SIGTERM and goes on alone. Call it
        again until then; it returns at once. The caller then waits for the end by poll(), and calls stop()."""

    def stop(self, handle: Handle) -> None:
        """Ends the sandbox: when this returns (within 2 seconds), nothing of it is left. May be called again, and after the end."""


class OnHost:
    """Code shared by runtimes that use the host's kernel and files."""

    stands = False

    @property
    def program(self) -> str:
        return ""

    def most(self) -> int | None:
        return None

    def vm(self, config: "Config") -> VmSpec | None:
        return None

    def own_files(self, config: "Config") -> tuple[Path | None, str] | None:
        return None


def refuse_ground(job: SandboxJob) -> None:
    """For runtimes that do not stand. Raises Permanent for a job that needs an environment: without it, its commands would fail for no visible reason."""
    if job.ground or job.filled:
        raise Permanent("Sandboxes of this kind cannot stand on an environment. Set SWARM_RUNTIME=auto, or go on without the environment.")


def find(program: str) -> str | None:
    """The absolute path of a program."""
    for folder in (*os.environ.get("PATH", "").split(os.pathsep), "/usr/local/bin", "/usr/bin", "/bin"):
        path = os.path.join(folder, program)
        if os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; with the pid it names one process. None if there is none."""
    found = usage(pid)
    return found.start if found else None


def limited(command: tuple[str, ...], limits: Limits, processes: int) -> list[str]:
    """The command under limits for core dumps, file size, data, open files and processes. It heeds SIGTERM, whoever starts it."""
    return [*_heeding(), "/bin/sh", "-c", SET_LIMITS, "sh", str(limits.work_mb * 1_000_000 // 512), str(DATA_FACTOR * limits.memory_mb * 1_000_000 // 1024),
            str(processes + SPARE), *command]


@functools.cache
def _heeding() -> list[str]:
    """The words before a command that lets SIGTERM reach it, though the program around it was started without; [] where the system's env cannot do that."""
    env = Path("/usr/bin/env")
    return [str(env), "--default-signal=TERM"] if env.exists() and b"default-signal" in env.read_bytes() else []


def sandbox_paths(job: SandboxJob, inputs: str, outputs: str, work: str, gateway: str = "") -> dict[str, str]:
    """The environment inside, but for PATH, HOME and TMPDIR: what the host has set does not reach the sandbox. gateway: as relay.py
    takes it, for a sandbox that has one."""
    return {"LANG": "C.UTF-8", "TERM": "dumb", "TZ": "UTC", "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "GIT_CONFIG_NOSYSTEM": "1",
            **({"SWARM_GATEWAY": gateway} if job.gateway else {}), **job.environment, RUN_VARIABLE: job.run,
            "SWARM_IN": inputs, "SWARM_OUT": outputs, "SWARM_WORK": work, "SWARM_TOOLS": TOOLS}


class Children:
    """The processes that this object started, found again by handle; one of another process is watched from outside."""

    def __init__(self) -> None:
        self._started: dict[tuple[int, int], subprocess.Popen[bytes]] = {}

    def spawn(self, argv: list[str], job: SandboxJob, environment: dict[str, str], descriptors: tuple[int, ...] = (),
              folder: Path | None = None) -> Handle:
        # A shutdown sends SIGTERM to all programs, but the one around a sandbox must live until the work in it is saved.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM} if _heeding() else ())
        try:
            child = subprocess.Popen(joining(list(job.groups), argv), stdin=subprocess.DEVNULL, stdout=job.log, stderr=job.log, pass_fds=descriptors,
                                     env=environment, cwd=folder, start_new_session=True)
        except OSError as error:
            raise Transient(f"The sandbox could not be started: {error.strerror}.") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        start = start_time(child.pid) or 0  # a zombie still has one
        self._started[child.pid, start] = child
        return {"pid": child.pid, "start": start, "run": job.run, "folder": str(job.outputs)}

    def poll(self, handle: Handle) -> int | None:
        child = self._started.get((handle["pid"], handle["start"]))
        if child is not None:
            return child.poll()
        return None if start_time(handle["pid"]) == handle["start"] else UNKNOWN_EXIT

    def child(self, handle: Handle) -> subprocess.Popen[bytes]:
        return self._started[handle["pid"], handle["start"]]

    def pids(self) -> set[int]:
        return {pid for pid, _ in self._started}

    def kill(self, handle: Handle) -> None:
        child = self._started.get((handle["pid"], handle["start"]))
        if child is not None:
            child.kill()
            child.wait()
        else:
            kill_process(handle["pid"], handle["start"])


def kill_process(pid: int, start: int, seconds: float = 1.0) -> None:
    """SIGKILL to the process that began at `start`, and to no later one with its pid; waits until it is gone."""
    descriptor = open_pidfd(pid)
    if descriptor is None:
        return
    try:
        if start_time(pid) == start:
            send(descriptor, signal.SIGKILL)
            has_ended(descriptor, seconds)
    finally:
        os.close(descriptor)
