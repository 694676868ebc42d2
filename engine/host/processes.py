"""Locks that show which processes live, and signals that reach only the right process.

A held lock (flock) means that its holder lives; a free lock means that it is gone. The kernel frees the lock when the last process that has it open is
gone, however it ended. So there is no time-out, and no pid that another process could have now."""
import fcntl
import os
import select
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from engine.host import cgroups
from engine.host.proc import is_starting, pids, strings

RUN_VARIABLE = "SWARM_RUN"  # in the environment of every process of a run
UNCLEAR_SECONDS = 1.0       # time that a sweep waits for processes whose run is not yet known


def take_lock(path: Path, wait: float = 0.0) -> int | None:
    """The descriptor that holds the lock (inherited only if passed on), or None if another process still has it after `wait` seconds."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= end:
                os.close(descriptor)
                return None
            time.sleep(0.01)


def is_held(path: Path) -> bool:
    """True while a living process holds the lock. Never creates the file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (ProcessLookupError, OverflowError, ValueError, OSError):
        return None


def ask_holder(pid: int, lock: Path) -> None:
    """Sends SIGTERM to the process `pid` that holds `lock`. Does not wait."""
    descriptor = _holder(pid, lock)
    if descriptor is not None:
        send(descriptor, signal.SIGTERM)
        os.close(descriptor)


def kill_holder(pid: int, lock: Path, grace: float = 1.0) -> None:
    """Sends SIGINT, then SIGKILL after `grace` seconds, to the process `pid` that holds `lock`. Returns when it is gone."""
    descriptor = _holder(pid, lock)
    if descriptor is None:
        return
    try:
        send(descriptor, signal.SIGINT)
        if not has_ended(descriptor, grace):
            send(descriptor, signal.SIGKILL)
            has_ended(descriptor, 5.0)
    finally:
        os.close(descriptor)


def _holder(pid: int, lock: Path) -> int | None:
    """A pidfd of the process that holds the lock. It is opened first and the lock is checked then: if the lock is still held, the pidfd belongs to the
    holder and not to a later process."""
    descriptor = open_pidfd(pid)
    if descriptor is not None and not is_held(lock):
        os.close(descriptor)
        return None
    return descriptor


def has_ended(pidfd: int, seconds: float) -> bool:
    """Waits until the process has ended, at most so long. By poll: select() refuses descriptors from 1,024 on."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def send(pidfd: int, number: signal.Signals) -> None:
    """Sends a signal through a pidfd. It is no error if the process is gone already."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return


def sweep(run_id: str, folder: Path) -> int:
    """Sends SIGKILL to every process of a run: it is in the run's control group, or its environment or command line names the run.
    -> the number of processes.

    Also finds processes that left their process group (setsid), and sandboxes orphaned before they had set their parent-death signal. Looks again until
    a pass finds nothing, so that it sees children forked meanwhile. Processes are stopped before they are killed, because a fork bomb would
    replace each killed process. It gives up after 5 seconds."""
    cgroups.kill(run_id)
    known: set[int] = set()
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < 5.0:
        found, unclear = _look_for(run_id, folder)
        new = set(found) - known
        _signal(new or found, signal.SIGSTOP if new else signal.SIGKILL)
        known |= new
        if not found and (not unclear or passed > UNCLEAR_SECONDS):
            break
        if not new:
            time.sleep(0.002)
    cgroups.sweep(run_id)
    return len(known)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):  # ended meanwhile; or a program of another user
            os.kill(pid, number)


def members(run_id: str, folder: Path) -> list[int]:
    """The processes of a run, without this one and without zombies."""
    return _look_for(run_id, folder)[0]


def _look_for(run_id: str, folder: Path) -> tuple[list[int], bool]:
    """-> (the processes of a run, is any process unclear). For some microseconds during exec a process has neither
    environment nor command line, so a sandbox that is about to start its command could be missed."""
    variable, path = f"{RUN_VARIABLE}={run_id}".encode(), os.fsencode(folder)
    found, unclear = cgroups.members(run_id), False
    for pid in pids():
        if pid == os.getpid() or pid in found:
            continue
        environment, arguments = (strings(pid, name) for name in ("environ", "cmdline"))
        if variable in environment or any(a == path or a.startswith(path + b"/") for a in arguments):
            found.append(pid)
        elif environment == arguments == [b""] and is_starting(pid):
            unclear = True
    return found, unclear
