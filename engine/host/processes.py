"""Locks that say who lives, and signals that hit only whom they are meant for.

A lock (flock) is held = somebody lives; free = nobody does. The kernel lets go of it when the last process that has it open is
gone, whatever killed it: no time-out, no pid that another process could have by now."""
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
UNCLEAR_SECONDS = 1.0       # that a sweep waits for processes of which it cannot be said whose they are


def take_lock(path: Path, wait: float = 0.0) -> int | None:
    """The descriptor that holds the lock (not inherited unless passed on), or None if somebody else still has it after `wait` seconds."""
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


def kill_holder(pid: int, lock: Path, grace: float = 1.0) -> None:
    """SIGTERM, then SIGKILL after `grace` seconds, to the process `pid` that holds `lock`; returns when it is gone.

    pidfd first, then a look at the lock: if it is still held, the descriptor is the holder's and no later process's."""
    descriptor = open_pidfd(pid)
    if descriptor is None:
        return
    try:
        if is_held(lock):
            send(descriptor, signal.SIGTERM)
            if not select.select([descriptor], [], [], grace)[0]:
                send(descriptor, signal.SIGKILL)
                select.select([descriptor], [], [], 5.0)
    finally:
        os.close(descriptor)


def send(pidfd: int, number: signal.Signals) -> None:
    """A signal through a pidfd; a process that is gone already is what was wanted."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return


def sweep(run_id: str, folder: Path) -> int:
    """SIGKILLs every process that belongs to a run: it is in the run's control group, or its environment or its command line names it.
    -> how many that were.

    Finds what left its process group (setsid) and sandboxes orphaned before they had set their parent-death signal. Looks again until
    a pass finds nothing, so that a child forked meanwhile is seen. What is found is stopped before it is killed: a fork bomb would
    fill each place that a kill makes free. After 5 seconds it gives up."""
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
        with suppress(ProcessLookupError, PermissionError):  # gone meanwhile; a program that runs as another user
            os.kill(pid, number)


def members(run_id: str, folder: Path) -> list[int]:
    """The processes of a run, this one and zombies left out."""
    return _look_for(run_id, folder)[0]


def _look_for(run_id: str, folder: Path) -> tuple[list[int], bool]:
    """-> (the processes of a run, is there one of which it cannot be said). For some microseconds of its exec a process has neither
    environment nor command line: a sandbox that was just about to start its command would be overlooked."""
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
