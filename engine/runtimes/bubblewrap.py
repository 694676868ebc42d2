"""New Linux namespaces by bwrap: the system's programs read-only, two folders of the run, and nothing else of the host. A keyring of its own and
a filter of system calls stand before what namespaces do not divide."""
import functools
import glob
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import Transient
from engine.host import keyring
from engine.host.folders import changed_within
from engine.host.proc import descendants
from engine.host.processes import RUN_VARIABLE, sweep
from engine.jobs import Limits
from engine.runtimes import bwrap, overlay, seccomp
from engine.runtimes.base import TOOLS, Children, Handle, OnHost, SandboxJob, kill_process, limited, sandbox_paths, start_time
from engine.runtimes.ending import end_others
from engine.runtimes.overlay import HOME, TEMPORARY_MB, WORK

IN, OUT, GATEWAY = "/in", "/out", "/gateway.sock"
ETC = {"passwd": "root:x:0:0:root:/:/bin/sh\nagent:x:1000:1000:agent:/home/agent:/bin/sh\n",
       "group": "root:x:0:\nagent:x:1000:\n",
       "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
       "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n"}
# Each by name: where the host is root, root's private files would be readable inside (/etc/ssl/private is one).
SHARED_ETC = ("alternatives", "ssl/certs", "ssl/openssl.cnf", "ca-certificates", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "mime.types",
              "localtime")
# Settings without which programs of the system do not start: Debian links to them from /usr. No file that is for passwords.
SHARED_PATTERNS = ("java-*-openjdk/security", "java-*-openjdk/*.cfg", "java-*-openjdk/*.properties", "maven/m2.conf", "maven/logging", "php/*/cli",
                   "php/*/mods-available")
SHARED_MEMORY_MB = 64
START_SECONDS = 10.0
KEY_LISTS = ("/proc/keys", "/proc/key-users")  # the names of keys; no namespace divides them
FILTER, FILTER_OPTION = seccomp.program_here(), "--seccomp"
FILTERED = "behind a filter of system calls" if FILTER else f"and its system calls are not filtered ({os.uname().machine})"


class Bubblewrap(OnHost):
    name = "bubblewrap"
    isolation = ("Each command runs in new Linux namespaces: no network but the gateway of the run, no host files but the system's programs "
                 f"(read-only), no privileges; the host's kernel is shared, {FILTERED}.")
    isolates = stands = True

    def __init__(self, program: str = "") -> None:
        """program: the bwrap that an earlier probe() chose."""
        self._program = program
        self._children = Children()
        self._stopped: set[int] = set()
        self._places: dict[int, dict[str, int]] = {}  # pid of a sandbox -> {sentence: descriptor of the place that is full then}

    @property
    def program(self) -> str:
        return self._program or next(iter(bwrap.candidates()), "")

    def probe(self) -> str | None:
        reasons = []
        for program in bwrap.candidates():
            reason = bwrap.altered(program) or _probe(program)
            if reason is None:
                self._program = program
                return None
            reasons.append(reason)
        return reasons[0] if reasons else bwrap.missing()

    def start(self, job: SandboxJob) -> Handle:
        if job.lock is None or job.log is None:
            raise Transient("A sandbox needs a log and a lock.")
        program = (overlay.program_for(job) if (job.ground or job.tree) and not job.filled else None) or self.program
        reason = bwrap.altered(program) or (None if os.path.isfile(program) else bwrap.missing())
        if reason:
            raise Transient(reason)
        keyring.leave()
        with _memory_files() as files:
            status = os.readlink(f"/proc/self/fd/{job.lock}")
            argv = _argv(program, job, files)
            # The environment goes by the process, not by --setenv: argv is for everybody to read.
            environment = {**sandbox_paths(job, IN, OUT, WORK, f"unix:{GATEWAY}"), "HOME": HOME, "TMPDIR": "/tmp", "USER": "agent", "LOGNAME": "agent",
                           "PATH": "/usr/local/bin:/usr/bin:/bin"}
            handle = self._children.spawn(argv, job, environment, (*files.values(), job.lock))
        inner = self._inner(handle, status)
        return {**handle, "status": status, "inner": inner, "work_mb": 0 if job.disk else job.limits.work_mb}

    def full(self, handle: Handle) -> str | None:
        """Looks from outside at the file systems of the sandbox; what it has once found can be asked even after the sandbox's end."""
        places = self._places.get(handle["pid"])
        if not handle["work_mb"]:
            return None  # on the disk, where the runner measures what a sandbox has written
        if places is None:
            places = _open_places(handle)
            if places is None:
                return None
            self._places[handle["pid"]] = places
        for sentence, descriptor in places.items():
            room = os.statvfs(descriptor)
            if room.f_bfree == 0 or room.f_ffree == 0:
                return sentence
        return None

    def poll(self, handle: Handle) -> int | None:
        exit_code = self._children.poll(handle)
        if exit_code is not None and exit_code > 0 and handle["pid"] not in self._stopped and "exit-code" not in _status(handle["status"]):
            raise Transient("bubblewrap could not set up the sandbox. The log has its message.")
        return exit_code

    def changed(self, handle: Handle, seconds: float) -> bool:
        return any(changed_within(Path(f"/proc/{handle['inner']['pid']}/root{place}"), seconds) for place in (WORK, HOME, "/tmp"))

    def ask_to_end(self, handle: Handle, kill: bool = False) -> bool:
        if "main" not in handle:  # the child of pid 1 that was there first: later ones are orphans of it
            own = [(one.start, pid) for pid, one in descendants(handle["inner"]["pid"]).items() if one.parent == handle["inner"]["pid"]]
            if not own:
                return True
            handle["main"] = min(own)
        start, pid = handle["main"]
        return end_others(handle, pid, start, lambda: descendants(handle["inner"]["pid"]), kill)

    def stop(self, handle: Handle) -> None:
        if self._children.poll(handle) is None:
            self._stopped.add(handle["pid"])
        for descriptor in self._places.pop(handle["pid"], {}).values():
            os.close(descriptor)
        inner = handle["inner"]
        kill_process(inner["pid"], inner["start"])  # pid 1 inside: the kernel ends it only after everything else in there
        self._children.kill(handle)
        sweep(handle["run"], Path(handle["folder"]))

    def _inner(self, handle: Handle, status: str) -> Handle:
        """Pid 1 of the sandbox as the host numbers it. bwrap writes it within a millisecond or two of its start."""
        end = time.monotonic() + START_SECONDS
        while True:
            ended = self._children.poll(handle) is not None
            pid = _status(status).get("child-pid")
            if pid:
                return {"pid": pid, "start": start_time(pid) or 0}
            if ended or time.monotonic() > end:
                self._children.kill(handle)
                raise Transient("bubblewrap could not start a sandbox. The log has its message.")
            time.sleep(0.0005)


def _argv(program: str, job: SandboxJob, files: dict[str, int]) -> list[str]:
    argv = [program, "--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--hostname", "sandbox",
            "--die-with-parent", "--new-session", *_no_more_namespaces(program), *_system()]
    argv += ["--proc", "/proc", "--dev", "/dev", *overlay.in_memory("/dev/shm", SHARED_MEMORY_MB, "1777"),
             *overlay.mounts(job)]
    for name, descriptor in files.items():
        argv += ["--perms", "0444", "--ro-bind-data", str(descriptor), name] if name != FILTER_OPTION else [FILTER_OPTION, str(descriptor)]
    for path in (*(f"/etc/{name}" for name in SHARED_ETC), *(path for pattern in SHARED_PATTERNS for path in sorted(glob.glob(f"/etc/{pattern}")))):
        argv += ["--ro-bind-try", path, path]
    for folder, place in job.objects:
        argv += ["--ro-bind", str(folder), place]
    if job.tools:
        argv += ["--ro-bind", str(job.tools), TOOLS]
    if job.gateway:
        argv += ["--ro-bind", str(job.gateway), GATEWAY]  # to connect to it is all that can be done with it
    # /proc too: where the host is root, its sysctls belong to uid 1000 inside, and kernel.core_pattern runs programs outside.
    # The status goes to the lock's descriptor because the outer process alone keeps that: what pid 1 inside has open can be stolen.
    return [*argv, "--ro-bind", str(job.inputs), IN, "--bind", str(job.outputs), OUT, "--remount-ro", "/proc", "--remount-ro", "/dev",
            "--remount-ro", "/", "--chdir", WORK, "--json-status-fd", str(job.lock), "--", *limited(job.command, job.limits, job.limits.processes)]


def _open_places(handle: Handle) -> dict[str, int] | None:
    """By way of pid 1 inside. None while that still sees the host's folders, or where it may not be looked at."""
    found = {}
    for path, megabytes, sentence in ((WORK, handle["work_mb"], "The work tree is full ({} MB)."),
                                      ("/tmp", TEMPORARY_MB, "/tmp is full ({} MB)."), (HOME, TEMPORARY_MB, "The home folder is full ({} MB).")):
        try:
            descriptor = os.open(f"/proc/{handle['inner']['pid']}/root{path}", os.O_PATH | os.O_CLOEXEC)
        except OSError:
            break
        found[sentence.format(megabytes)] = descriptor
        room = os.statvfs(descriptor)
        if not 0 <= room.f_blocks * room.f_frsize - megabytes * 1_000_000 < room.f_frsize:
            break
    else:
        return found
    for descriptor in found.values():
        os.close(descriptor)
    return None


@functools.cache
def _system() -> list[str]:
    """/usr, and /bin and its like as this host has them: links into /usr, or folders."""
    argv = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            argv += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            argv += ["--ro-bind", str(path), str(path)]
    return argv


@functools.cache
def _no_more_namespaces(program: str) -> list[str]:
    """--disable-userns where bwrap knows it (0.8; to look is quicker than to ask it) and /proc/sys can be written (not so in some containers)."""
    known = b"disable-userns" in Path(program).read_bytes()
    return ["--disable-userns"] if known and not os.statvfs("/proc/sys").f_flag & os.ST_RDONLY else []


def _probe(program: str) -> str | None:
    """Tries a whole sandbox."""
    import tempfile  # here alone: a run's own process never probes, and starts sooner without it

    with tempfile.TemporaryDirectory() as folder, _memory_files() as files:
        limits = Limits(10, 10, 10, 1, 16, 256, 16)
        job = SandboxJob("probe", ("true",), Path(folder), Path(folder), Path(folder), {}, limits, log=1, lock=1)
        try:
            said = subprocess.run(_argv(program, job, files), stdin=subprocess.DEVNULL, capture_output=True, pass_fds=tuple(files.values()),
                                  timeout=START_SECONDS, env={RUN_VARIABLE: "probe"})
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{program} cannot make a sandbox here ({error}). {bwrap.remedy(str(error))}"
    if said.returncode:
        lines = said.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with {said.returncode}, without a message"]
        return f"{program} cannot make a sandbox here ({lines[-1]}). {bwrap.remedy(lines[-1])}"
    return None


@contextmanager
def _memory_files() -> Iterator[dict[str, int]]:
    """What bwrap reads, as descriptors: {path inside, or the option for the filter: descriptor}."""
    contents = {f"/etc/{name}": text.encode() for name, text in ETC.items()} | {path: b"" for path in KEY_LISTS if os.path.exists(path)}
    if FILTER:
        contents[FILTER_OPTION] = FILTER
    files: dict[str, int] = {}
    try:
        for path, content in contents.items():
            files[path] = os.memfd_create("sandbox", os.MFD_CLOEXEC)
            os.write(files[path], content)
            os.lseek(files[path], 0, os.SEEK_SET)
        yield files
    finally:
        for descriptor in files.values():
            os.close(descriptor)


def _status(path: str) -> dict[str, Any]:
    """What bwrap has said so far: child-pid at its start, exit-code when the command had begun and ended."""
    said: dict[str, Any] = {}
    for line in Path(path).read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            said.update(json.loads(line))
    return said
