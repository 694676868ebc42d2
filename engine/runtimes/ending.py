"""Ends the agent in a sandbox on the host's kernel, but not the sandbox: the first process of its command goes on alone, to save the work.

That process is stopped (SIGSTOP) meanwhile, so it starts nothing that could be taken for the agent's, and it waits until everything else is gone."""
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress

from engine.host.proc import Usage, usage
from engine.runtimes.base import Handle

ROUNDS = 50  # of stopping what was forked meanwhile, before the rest is killed in the next call


def end_others(handle: Handle, main: int, start: int, inside: Callable[[], dict[int, Usage]], kill: bool) -> bool:
    """One step of Runtime.ask_to_end(). main, start: the first process of the command, and when it began. inside: finds the processes of the
    sandbox, `main` among them or not."""
    first = usage(main)
    if handle.get("told") or first is None or first.start != start:
        return True
    _send([main], signal.SIGSTOP)
    found = inside()
    others = _living(found, main)
    if kill:
        _freeze(others, inside, main)
        _send(others, signal.SIGKILL)
    elif not handle.get("asked"):
        _send(others, signal.SIGTERM)
    handle["asked"] = True
    first = usage(main)
    # What waits to be reaped still counts as a process, and could leave no room for the commit phase. Only main's own children wait for main.
    unreaped = any(one.state == "Z" and one.parent != main for pid, one in found.items() if pid != main)
    if first is not None and first.state not in "ZX" and (others or unreaped or first.state not in "Tt"):
        return False
    handle["told"] = True
    _send([main], signal.SIGTERM)  # delivered before it goes on
    _send([main], signal.SIGCONT)
    return True


def _living(found: dict[int, Usage], main: int) -> set[int]:
    return {pid for pid, one in found.items() if pid != main and one.state not in "ZX"}


def _freeze(others: set[int], inside: Callable[[], dict[int, Usage]], main: int) -> None:
    """Stops all that live and adds them to `others`, because a fork bomb replaces each killed process."""
    new = set(others)
    for _ in range(ROUNDS):
        if not new:
            return
        _send(new, signal.SIGSTOP)
        new = _living(inside(), main) - others
        others |= new


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):  # ended meanwhile; or a program of another user
            os.kill(pid, number)
