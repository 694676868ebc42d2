"""What the engine sleeps on: a commit of this process, the end of a runner, a commit of another process, or time."""
import os
import select
import time
from collections.abc import Iterable

from engine.loop.launch import Launcher
from engine.store.db import Database

SLICE = 0.08          # seconds between two looks at PRAGMA data_version: how late another process's commit is noticed
RECONCILE_EVERY = 0.25  # seconds at least between two full looks at what foreign hands changed


class Waker:
    """wake() from any thread; the other methods from the engine's thread only."""

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
        """Call before looking at the tables: what is committed after this wakes again."""
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return

    def changed(self) -> bool:
        """Has anybody else, as far as can be told, written since this last said so? True at first; at most once in RECONCILE_EVERY."""
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
        """The runs whose end should wake the engine."""
        wanted = set(run_ids)
        for run_id in self._pidfds.keys() - wanted:
            os.close(self._pidfds.pop(run_id))
        for run_id in wanted - self._pidfds.keys():
            descriptor = self._launcher.pidfd(run_id)
            if descriptor is not None:
                self._pidfds[run_id] = descriptor

    def wait(self, seconds: float, only_time: bool = False) -> None:
        """Returns at the first reason to tick, or after `seconds`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ready = {descriptor for descriptor, _ in self._poll().poll(min(left, SLICE) * 1000)}
            for run_id in [run_id for run_id, descriptor in self._pidfds.items() if descriptor in ready]:
                os.close(self._pidfds.pop(run_id))  # it stays readable: once is enough
            if self._look():
                self._db.notify()  # so that whoever waits for changes in this process hears of it too
            if (ready or self._dirty) and not only_time:
                return

    def _poll(self) -> select.poll:
        poll = select.poll()
        poll.register(self._event, select.POLLIN)
        for descriptor in self._pidfds.values():
            poll.register(descriptor, select.POLLIN)
        return poll
