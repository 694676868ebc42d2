"""Runs git on the host: argument lists, our own environment, a time limit, errors that say whether to try again.

git does not read the user's or the system's configuration, runs no hook, shows no prompt, and uses only named protocols."""
import os
import re
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, TypedDict, Unpack

from engine.errors import Permanent, Transient, Unreachable
from engine.git.git_errors import NETWORK_COMMANDS, failure
from engine.host.processes import RUN_VARIABLE

OLDEST = (2, 38)  # merge-tree --write-tree
SECONDS = 120.0
LOOK_SECONDS = 0.5
MISSING = "git was not found. Install git 2.38 or newer (for example: apt install git), and make sure that it is on PATH."

SETTINGS = ("core.hooksPath=/dev/null", "gc.auto=0", "maintenance.auto=false", "core.fsync=loose-object,reference,pack,pack-metadata",
            "protocol.allow=never", "http.lowSpeedLimit=1000", "http.lowSpeedTime=60")
_OWN = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ATTR_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "",
        "GIT_NO_REPLACE_OBJECTS": "1", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=30",
        "GIT_LITERAL_PATHSPECS": "1", "LC_ALL": "C", "HOME": "/nonexistent"}
_NETWORK = ("SSH_AUTH_SOCK", "https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
            "SSL_CERT_FILE", "SSL_CERT_DIR")

Input = bytes | int | IO[bytes] | None


class Output(NamedTuple):
    code: int
    out: bytes


class Options(TypedDict, total=False):
    """How to run git. All are optional."""

    stdin: Input                # bytes, or a descriptor or file that git reads itself
    env: Mapping[str, str]      # in addition to the environment that every git gets
    ok: Sequence[int]           # exit codes that are no error; (0,)
    locks: Sequence[int]        # descriptors that git keeps open, so that their locks outlive this process as long as git does
    timeout: float              # seconds, then git and its helpers are killed; SECONDS
    config: Sequence[str]       # "name=value"
    errors: IO[bytes]           # a file for git's messages, which can be read while it works
    look: Callable[[], None]    # called again and again while it works, with `errors`
    memory: int                 # bytes that git may allocate; for objects that may be made to exhaust memory


def run_git(git_dir: Path | None, *args: str, **options: Unpack[Options]) -> bytes:
    """The output of `git <args>`. Raises Permanent or Transient (network, disk, time limit), with a short form of git's message."""
    return call_git(git_dir, *args, **options).out


def call_git(git_dir: Path | None, *args: str, **options: Unpack[Options]) -> Output:
    """Like run_git, with the exit code, for commands where a code other than 0 is also an answer."""
    given, timeout = options.get("stdin"), options.get("timeout", SECONDS)
    errors = options.get("errors")
    child = _start(git_dir, args, subprocess.PIPE if isinstance(given, bytes) else given, errors or subprocess.PIPE, options)
    try:
        _watch(child, options, timeout)
        out, err = child.communicate(given if isinstance(given, bytes) else None, timeout)
    except subprocess.TimeoutExpired:
        raise _late(args[0], timeout) from None
    finally:
        _end(child)
    if child.returncode not in options.get("ok", (0,)):
        raise failure(args[0], child.returncode, _said(errors) if errors else err)
    return Output(child.returncode, out)


def _watch(child: subprocess.Popen[bytes], options: Options, timeout: float) -> None:
    """Calls options["look"], if there is one, until git, which prints nothing but messages, has ended or its time is over."""
    look, end = options.get("look"), time.monotonic() + timeout
    while look and time.monotonic() < end:
        try:
            child.wait(LOOK_SECONDS)
            return
        except subprocess.TimeoutExpired:
            look()


def _said(errors: IO[bytes]) -> bytes:
    """git's messages in a file, without its progress."""
    errors.seek(0)
    return re.sub(rb"[^\r\n]*\r|[^\r\n]*, done\.\n", b"", errors.read(1 << 20))


@contextmanager
def stream_git(git_dir: Path | None, *args: str, **options: Unpack[Options]) -> Iterator[IO[bytes]]:
    """git's output as a file, for output that may be too long for memory. If the reader stops early, git ends without an error."""
    import tempfile  # only here, because a run starts sooner without it

    timeout = options.get("timeout", SECONDS)
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as file:
        stdin = options.get("stdin")
        if isinstance(stdin, bytes):  # a pipe could fill while nobody reads the answer
            file.write(stdin)
            file.seek(0)
            stdin = file
        child = _start(git_dir, args, stdin, errors, options)
        assert child.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            _kill(child)

        watch = threading.Timer(timeout, stop)
        watch.start()
        try:
            yield child.stdout
            complete = not child.stdout.read(1)
            if complete:
                os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # not reaped yet: the timer can hit nobody else
        finally:
            watch.cancel()
            watch.join()
            _end(child)
        if late.is_set():
            raise _late(args[0], timeout)
        if complete and child.returncode:
            errors.seek(0)
            raise failure(args[0], child.returncode, errors.read(65536))


def _start(git_dir: Path | None, args: Sequence[str], stdin: int | IO[bytes] | None, stderr: int | IO[bytes],
           options: Options) -> subprocess.Popen[bytes]:
    argv = ["git"] if git_dir is None else ["git", f"--git-dir={git_dir.absolute()}"]
    for setting in (*SETTINGS, *options.get("config", ())):
        argv += ["-c", setting]
    kept = ("PATH", RUN_VARIABLE, *(_NETWORK if args[0] in NETWORK_COMMANDS else ()))  # RUN_VARIABLE: a run's git is found when the run is swept
    environment = {**{name: os.environ[name] for name in kept if name in os.environ}, **_OWN, **options.get("env", {})}
    try:
        child = subprocess.Popen([*argv, *args], stdin=subprocess.DEVNULL if stdin is None else stdin, stdout=subprocess.PIPE, stderr=stderr,
                                 env=environment, pass_fds=tuple(options.get("locks", ())), start_new_session=True, cwd="/")
    except FileNotFoundError:
        raise Permanent(MISSING) from None
    if "memory" in options:  # set from here: git has just begun, and code between fork and exec is unsafe in a process with threads
        resource.prlimit(child.pid, resource.RLIMIT_DATA, (options["memory"], options["memory"]))
    return child


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kills the whole process group, including git's helpers (index-pack, ssh)."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _end(child: subprocess.Popen[bytes]) -> None:
    """Reaps the child. If it has not ended by itself, its whole group is killed."""
    if child.returncode is None:
        _kill(child)
        child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe:
            pipe.close()


def _late(command: str, timeout: float) -> Transient:
    kind = Unreachable if command in NETWORK_COMMANDS else Transient
    return kind(f"git {command} was stopped because it took longer than {timeout:g} seconds. It will be tried again.")


def git_version() -> tuple[int, ...]:
    """The version, such as (2, 39, 5). Raises Permanent if git is missing."""
    found = re.search(rb"(\d+(?:\.\d+)+)", run_git(None, "version"))
    return tuple(int(part) for part in found[1].split(b".")) if found else (0,)


def check_git() -> str | None:
    """None if git can be used, otherwise a sentence that says what to do."""
    try:
        version = git_version()
    except Permanent as error:
        return error.sentence
    if version >= OLDEST:
        return None
    return f"git {'.'.join(map(str, version))} is too old. Install git 2.38 or newer, which can merge without a work tree, and start again."
