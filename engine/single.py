"""One engine a data folder: whoever holds the lock runs it, the others wait for it to come free and say where it is."""
import json
import logging
import os
import threading
from collections.abc import Callable

from engine.config import Config
from engine.log import event
from engine.loop import SwarmEngine
from engine.processes import take_lock

RETRY_SECONDS = 2.0  # also how long a dying process may still hold the lock


class EngineSlot:
    """This process's place in the queue for the engine. start() is quick; `engine` is set while the engine runs here."""

    def __init__(self, config: Config, make: Callable[[], SwarmEngine]) -> None:
        self._path, self._make = config.data / "engine.lock", make
        self._stopping = threading.Event()
        self._lock: int | None = None
        self.engine: SwarmEngine | None = None
        self._waiter: threading.Thread | None = None

    def start(self, where: str) -> bool:
        """True: the engine runs here now. False: another process has it; this one takes over when the lock comes free."""
        if self._take(RETRY_SECONDS, where):
            return True
        event("engine_elsewhere", logging.INFO, **self.elsewhere())
        self._waiter = threading.Thread(target=self._wait, args=(where,), name="engine-slot", daemon=True)
        self._waiter.start()
        return False

    def _take(self, wait: float, where: str) -> bool:
        lock = take_lock(self._path, wait)
        if lock is None:
            return False
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({"pid": os.getpid(), "where": where}).encode(), 0)
        self._lock = lock
        self.engine = self._make()
        self.engine.start()
        return True

    def _wait(self, where: str) -> None:
        while not self._stopping.wait(RETRY_SECONDS):
            try:
                if self._take(0.0, where):
                    return
            except Exception as error:  # the thread's edge: say so, and try again
                event("error", level=logging.ERROR, where="engine-slot", error=f"{type(error).__name__}: {error}")

    def elsewhere(self) -> dict[str, object]:
        """{"pid", "where"} of the process that has the engine, as it wrote it; {} if it has not yet."""
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return {key: found[key] for key in ("pid", "where") if key in found}

    def stop(self) -> None:
        """Stops the engine if it runs here, and lets go of the lock. Live runs go on."""
        self._stopping.set()
        if self.engine is not None:
            self.engine.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
