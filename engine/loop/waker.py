"""What wakes the engine: a commit of this process, the end of a runner, a commit of another process, or time."""
import os
import select
import time
from collections.abc import Iterable

from engine.loop.launch import Launcher
from engine.store.db import Database

SLICE = 0.08          # seconds between two checks of PRAGMA data_version: so late a commit of another process is noticed
RECONCILE_EVERY = 0.25  # least seconds between two full checks for changes from outside


class Waker:
    """Any thread may call wake(); only the engine's thread may call the other methods."""

    def __init__(self, db: Database, launcher: Launcher) -> None:
        self._db, self._launcher = db, launcher
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._pidfds: dict[str, int] = {}
        self._version: int | None = None
        self._dirty, self._reconciled = True, 0.0
        db.subscribe(self.wake)

    def wake(self) -> None:
        os.eventfd_write(self._event, 1)

    def clear(self) -> None:
        """Call this before reading the tables: a later commit wakes the engine again."""
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return

    def changed(self) -> bool:
        """True if another process may have written since the last True. True at first; at most once in RECONCILE_EVERY."""
        self._look()
        if not self._dirty or time.monotonic() - self._reconciled < RECONCILE_EVERY:
            return False
        self._dirty, self._reconciled = False, time.monotonic()
        return True

    def _look(self) -> bool:
        version = self._db.value("pragma data_version")
        new, self._version = bool(version != self._version), version
        self._dirty = self._dirty or new
        return new

    def watch(self, run_ids: Iterable[str]) -> None:
        """Sets the runs whose end wakes the engine."""
        wanted = set(run_ids)
        for run_id in self._pidfds.keys() - wanted:
            os.close(self._pidfds.pop(run_id))
        for run_id in wanted - self._pidfds.keys():
            descriptor = self._launcher.pidfd(run_id)
            if descriptor is not None:
                self._pidfds[run_id] = descriptor

    def wait(self, seconds: float, only_time: bool = False) -> None:
        """Returns at the first reason for a tick, or after `seconds`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ready = {descriptor for descriptor, _ in self._poll().poll(min(left, SLICE) * 1000)}
            for run_id in [run_id for run_id, descriptor in self._pidfds.items() if descriptor in ready]:
                os.close(self._pidfds.pop(run_id))  # it stays readable, so once is enough
            if self._look():
                self._db.notify()  # so that threads of this process that wait for changes wake up too
            if (ready or self._dirty) and not only_time:
                return

    def _poll(self) -> select.poll:
        poll = select.poll()
        poll.register(self._event, select.POLLIN)
        for descriptor in self._pidfds.values():
            poll.register(descriptor, select.POLLIN)
        return poll
