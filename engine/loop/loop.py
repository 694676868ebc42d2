"""SwarmEngine: takes in ended runs, reconciles, claims as many tickets as slots are free, launches. A tick does only SQL and process control; git work and
kills go to a few worker threads, so that a cancel never waits for a fetch.

Next: engine/tickets/claims.py
"""
import collections
import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from engine.config import Config
from engine.crash import point
from engine.delivery.threads import Couriers
from engine.errors import Transient, Unavailable
from engine.git.branches import Branches, GitBranches
from engine.log import event
from engine.loop import prune, start_rechecks, taken_over
from engine.loop.clock import Clock
from engine.loop.dispatch import dispatch
from engine.loop.grounds import Grounds
from engine.loop.launch import Launcher, ProcessLauncher
from engine.loop.owned import LIVE_OWNED, OwnedRuns
from engine.loop.owner_lock import OwnerLock, is_owned, sweep_owners
from engine.loop.reap import LIVE_IN_ORDER, LiveRun, Reaper
from engine.loop.running import running
from engine.loop.waker import Waker
from engine.runtimes import Choice, choose
from engine.store import disk
from engine.store.db import Database
from engine.store.sqlite_errors import from_sqlite, is_of_storage
from engine.tickets import claims, reconcile, same_question
from engine.tickets.rows import OwnedRunRow, RunRow
from engine.times import utc

MOST_TRIES = {False: 10, True: 300}  # of a step that fails for no known reason, and of the end of a merge that was started, a second apart


class SwarmEngine:
    """One per data folder (engine/loop/slot.py holds the lock). All important state is in the database; the state in memory here may be lost."""

    def __init__(self, db: Database, config: Config, launcher: Launcher | None = None, branches: Branches | None = None,
                 choice: Choice | None = None, clock: Clock | None = None) -> None:
        self.db, self.config = db, config
        self.id = uuid.uuid4().hex[:12]
        self.launcher = launcher or ProcessLauncher(config)
        self.reaper = Reaper(db, config, self.launcher, branches or GitBranches(config))
        self.owned = OwnedRuns(db, config, self.launcher)
        self.choice = choice or choose(config.runtime, config.vm)
        self._may_choose = choice is None
        self.waker = Waker(db, self.launcher)
        self.couriers = Couriers(db, config, self._note, self.waker.wake)
        self.grounds = Grounds(db, config, self._note, self.waker.wake, lambda: self.choice.standing is not None)
        self.errors: collections.deque[dict[str, Any]] = collections.deque(maxlen=20)
        self.clock = clock or Clock()
        self.trouble: str | None = None                # why nothing new starts, although the engine is not paused
        self.started = time.monotonic()
        self.last_tick: float | None = None
        self.tick_seconds = 0.0
        self._busy: dict[str, str] = {}                # run id -> its place, while a worker handles it
        self._failed: dict[str, int] = {}              # run id -> how often a step of it failed for no known reason
        self._first_seen: dict[str, float] = {}        # run id -> monotonic
        self._pruned = -prune.EVERY                    # monotonic; the first time is at the first tick
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._workers: ThreadPoolExecutor | None = None
        taken_over.release(db, config.tenants)
        sweep_owners(config)
        self._owner = OwnerLock(config, self.id)

    def start(self) -> None:
        """Ticks in a daemon thread until stop(). Also restarts the thread if it has died."""
        self._workers = self._workers or ThreadPoolExecutor(max_workers=4, thread_name_prefix="finisher")
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self._thread.start()
        event("engine_started", engine=self.id, runtime=self.choice.runtime.name, slots=self.config.slots, data=self.config.data)

    def stop(self, timeout: float = 10.0) -> None:
        """Stops claiming and returns. Live runs continue, and the next engine adopts them."""
        self._stopping.set()
        self.waker.wake()
        if self._thread:
            self._thread.join(timeout)
        self.couriers.stop()
        if self._workers:
            self._workers.shutdown(wait=True)
        self._owner.release()
        event("engine_stopped", engine=self.id)

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _loop(self) -> None:
        pause = 0.0
        while not self._stopping.is_set():
            try:
                self.tick()
                pause = 0.0
            except Exception as error:  # the outer edge of the loop: record it, wait, continue
                pause = min(max(0.5, pause * 2), 30.0)
                self._note(error, "tick")
                self.trouble = self._why_held(error) or self.trouble
            self.waker.wait(pause or self.config.poll_seconds, only_time=bool(pause))
        self.db.close()

    def _why_held(self, error: Exception) -> str | None:
        """A sentence if a tick failed because of the storage."""
        known = from_sqlite(error, self.config.database) if isinstance(error, sqlite3.Error) else error
        if isinstance(known, Unavailable) and known.code != "storage_busy":  # which passes by itself
            return known.sentence
        return str(error) if disk.is_at_fault(error) else None

    def tick(self, now: str | None = None) -> None:
        """One step. now: UTC text. Safe to call at any time, from one thread."""
        began = time.monotonic()
        self.waker.clear()
        self.db.check()
        self._reap()
        self.clock.follow(self.db)
        self.trouble = disk.trouble(self.config.database)
        same_question.assume_overdue(self.db, self.config.answer_seconds)
        self._recheck(now)
        self._claim(now)
        if self.waker.changed():  # after the claim, which checks everything that it needs, so that ready tickets do not wait for this
            reconcile.reconcile(self.db)
            self._claim(now)
        if not (self._stopping.is_set() or self.trouble or claims.is_paused(self.db)):
            self.couriers.send(now or self.clock.now(), inline=self._workers is None)
            self.grounds.send(inline=self._workers is None)
        self.waker.watch(self._first_seen)
        if self._workers and time.monotonic() - self._pruned > prune.EVERY:
            self._pruned = time.monotonic()
            self._workers.submit(self._housekeeping)
        self.last_tick, self.tick_seconds = time.monotonic(), time.monotonic() - began

    def _housekeeping(self) -> None:
        try:
            self.reaper.clear()
            prune.prune(self.db, self.config)
        except Exception as error:  # the outer edge of a worker; the next time tries again
            self._note(error, "prune")

    def _recheck(self, now: str | None) -> None:
        """Starts recheck runs before new claims, because that work is nearly done."""
        if not (self._stopping.is_set() or self.trouble or claims.is_paused(self.db)):
            start_rechecks.start(self.db, self.config, self.launcher, self.choice, self.id, self.slots - self.busy_slots(), now or self.clock.now())

    def _claim(self, now: str | None) -> None:
        if self._stopping.is_set() or self.trouble or claims.is_paused(self.db):
            return
        free = self.slots - self.busy_slots()
        free -= len(self.owned.start(self.id, self.choice, free))
        claimed = claims.claim(self.db, self.id, free, now or self.clock.now())
        if not claimed:
            return
        point("after-claim")
        if self.choice.fallback and self._may_choose:
            self.choice = choose(self.config.runtime, self.config.vm)  # isolation may have been installed meanwhile
        with self._together():
            for run in claimed:
                event("claimed", ticket=run["ticket_id"], run=run["id"], attempt=run["run_no"], kind=run["kind"])
                self._first_seen[run["id"]] = time.monotonic()
                self._dispatch(run)

    def _dispatch(self, run: RunRow) -> None:
        try:
            dispatch(self.db, self.config, self.launcher, self.choice, run)
        except Exception as error:  # an edge of the loop: this run never started, and is counted as such; the others must not wait for it
            if is_of_storage(error):
                raise
            self._note(error, "dispatch", run=run["id"])

    @property
    def slots(self) -> int:
        """Slots as set, but not more than fit into the host's memory."""
        most = self.choice.most
        return self.config.slots if most is None else min(self.config.slots, most)

    def busy_slots(self) -> int:
        return claims.busy_slots(self.db)

    def _reap(self) -> None:
        live: list[RunRow | OwnedRunRow] = [*self.db.all(LIVE_IN_ORDER, (), LiveRun), *self.db.all(LIVE_OWNED, (), OwnedRunRow)]
        ids = {run["id"] for run in live}
        self._first_seen = {run_id: seen for run_id, seen in self._first_seen.items() if run_id in ids}
        with self._together():
            for run in live:
                if run["id"] not in self._busy and (run["claimed_by"] == self.id or not is_owned(self.config, run["claimed_by"])):
                    self._look_after(run, self.owned if run["owner_kind"] != "ticket" else self.reaper)

    def _together(self) -> AbstractContextManager[Any]:
        return self.db.transaction() if self.launcher.in_memory else nullcontext()

    def _look_after(self, run: RunRow | OwnedRunRow, steps: Any) -> None:
        """steps: the Reaper or the OwnedRuns, whichever the row is of."""
        look = self.launcher.look(run["id"])
        if run["id"] not in self._first_seen:
            self._first_seen[run["id"]] = time.monotonic()
            event("adopted", run=run["id"], found=look.name.lower())
        step = steps.step(run, look, time.monotonic() - self._first_seen[run["id"]])
        if step and self._failed.get(run["id"], 0) >= MOST_TRIES[run["state"] == "merging"]:
            step = steps.give_up
        if step in (self.reaper.finish, self.reaper.end_stopped) and _place(run) in self._busy.values():
            return  # one per repository at a time
        if step:
            self._hand_over(run, step)

    def _hand_over(self, run: RunRow | OwnedRunRow, step: Callable[[Any], None]) -> None:
        """Gives a step to a worker; nothing else touches the run meanwhile. Inline runs, and an engine without its thread, do it at once."""
        if self._workers is None or self.launcher.inline:
            step(run)
            return
        self._busy[run["id"]] = _place(run)
        self._workers.submit(self._work, run, step)

    def _work(self, run: RunRow | OwnedRunRow, step: Callable[[Any], None]) -> None:
        try:
            step(run)
            self._failed.pop(run["id"], None)
        except Exception as error:  # the outer edge of a worker: the run stays as it is, and a later tick looks at it again
            self._note(error, step.__name__, run=run["id"])
            if not is_of_storage(error) and (run["state"] == "merging" or not isinstance(error, Transient)):  # others pass by themselves
                self._failed[run["id"]] = self._failed.get(run["id"], 0) + 1
            self._stopping.wait(1.0)
        finally:
            self._busy.pop(run["id"], None)
            self.waker.wake()

    def status(self) -> dict[str, Any]:
        """For people, as RunningEngine says."""
        return running(self)

    def _note(self, error: Exception, where: str, **values: object) -> None:
        self.errors.append({"at": utc(), "where": where, "error": f"{type(error).__name__}: {error}"})
        event("error", level=logging.ERROR, where=where, error=f"{type(error).__name__}: {error}", **values)
        logging.getLogger("swarm").debug("traceback", exc_info=error)


def _place(run: RunRow | OwnedRunRow) -> str:
    """What is used by one worker at a time: the repository of a ticket's session, or the run's owner."""
    return run["session_id"] or run["owner_id"]
