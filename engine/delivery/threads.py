"""The threads of deliveries. A push or a slow forge blocks no merge and no shutdown: a thread that is left behind in the
middle of a step is like a crash, and the next engine first looks at what exists."""
import threading
import time
from collections.abc import Callable

from engine.config import Config
from engine.delivery.steps import Deliverer
from engine.store.db import Database
from engine.tickets import deliveries
from engine.tickets.rows import DeliveryRow

MOST = 3
LAST_SECONDS = 3.0   # time that a shutdown waits for steps in progress


class Couriers:
    """note: called with the error of a thread. wake: called when a thread has ended."""

    def __init__(self, db: Database, config: Config, note: Callable[..., None], wake: Callable[[], None]) -> None:
        self._db, self._note, self._wake = db, note, wake
        self._deliverer = Deliverer(db, config)
        self._threads: dict[int, threading.Thread] = {}   # of deliveries in progress, by their seq
        self._resting: dict[int, float] = {}              # deliveries that had an unexpected error: until when they rest (monotonic)

    def send(self, now: str, inline: bool = False) -> None:
        """Starts the steps that are due. inline: does them in this thread, for an engine without its own thread."""
        for row in deliveries.due(self._db, now):
            if inline:
                self._deliverer.step(row)
            elif len(self._threads) < MOST and row["seq"] not in self._threads and self._resting.get(row["seq"], 0.0) < time.monotonic():
                self._threads[row["seq"]] = thread = threading.Thread(target=self._go, args=(row,), name="courier", daemon=True)
                thread.start()

    def _go(self, row: DeliveryRow) -> None:
        try:
            self._deliverer.step(row)
        except Exception as error:  # the outer edge of a thread: the delivery stays as it is, and is tried again
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
