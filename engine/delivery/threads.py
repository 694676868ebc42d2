"""The threads on which deliveries go. A push or a slow forge holds up no merge, and no shutdown: a thread that is left behind in the
middle of a step is a crash like any other, and the next engine looks first at what is there."""
import threading
import time
from collections.abc import Callable

from engine.config import Config
from engine.delivery.steps import Deliverer
from engine.store.db import Database
from engine.tickets import deliveries
from engine.tickets.rows import DeliveryRow

MOST = 3
LAST_SECONDS = 3.0   # that a shutdown waits for steps that are under way


class Couriers:
    """note: what is done with an error of a thread; wake: called when a thread has ended."""

    def __init__(self, db: Database, config: Config, note: Callable[..., None], wake: Callable[[], None]) -> None:
        self._db, self._note, self._wake = db, note, wake
        self._deliverer = Deliverer(db, config)
        self._threads: dict[int, threading.Thread] = {}   # of deliveries that are under way, by their seq
        self._resting: dict[int, float] = {}              # those with which something went wrong that nobody foresaw: monotonic

    def send(self, now: str, inline: bool = False) -> None:
        """Takes on what is due. inline: here and now, for an engine without its thread."""
        for row in deliveries.due(self._db, now):
            if inline:
                self._deliverer.step(row)
            elif len(self._threads) < MOST and row["seq"] not in self._threads and self._resting.get(row["seq"], 0.0) < time.monotonic():
                self._threads[row["seq"]] = thread = threading.Thread(target=self._go, args=(row,), name="courier", daemon=True)
                thread.start()

    def _go(self, row: DeliveryRow) -> None:
        try:
            self._deliverer.step(row)
        except Exception as error:  # a thread's edge: the delivery stays as it is, and is looked at again
            self._resting[row["seq"]] = time.monotonic() + 30.0
            self._note(error, "delivery", ticket=row["ticket_id"])
        finally:
            self._db.close()
            self._threads.pop(row["seq"], None)
            self._wake()

    def stop(self) -> None:
        end = time.monotonic() + LAST_SECONDS
        for thread in list(self._threads.values()):
            thread.join(max(0.0, end - time.monotonic()))
