"""One engine per data folder: the process with the lock runs it and watches its thread. Other processes wait for the lock and show where the engine is."""
import json
import logging
import os
import threading
from collections.abc import Callable

from engine.config import Config
from engine.host.processes import take_lock
from engine.log import event
from engine.loop.loop import SwarmEngine

RETRY_SECONDS = 2.0  # a dying process may also hold the lock this long


class EngineSlot:
    """This process's claim to the engine. start() is quick; `engine` is set while the engine runs here."""

    def __init__(self, config: Config, make: Callable[[], SwarmEngine]) -> None:
        self._path, self._make = config.data / "engine.lock", make
        self._stopping = threading.Event()
        self._lock: int | None = None
        self.engine: SwarmEngine | None = None
        self._watcher: threading.Thread | None = None

    def start(self, where: str) -> bool:
        """True: the engine runs here now. False: another process has it; this one takes over when the lock is free."""
        here = self._take(RETRY_SECONDS, where)
        if not here:
            event("engine_elsewhere", logging.INFO, **self.elsewhere())
        self._watcher = threading.Thread(target=self._watch, args=(where,), name="engine-slot", daemon=True)
        self._watcher.start()
        return here

    def _take(self, wait: float, where: str) -> bool:
        lock = take_lock(self._path, wait)
        if lock is None:
            return False
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({"pid": os.getpid(), "where": where}).encode(), 0)
        try:
            engine = self._make()
            engine.start()
        except BaseException:
            os.close(lock)  # if it stayed open, it would block this process too
            raise
        self._lock, self.engine = lock, engine
        return True

    def _watch(self, where: str) -> None:
        """Takes over when the lock is free. Restarts the engine's thread if it dies."""
        while not self._stopping.wait(RETRY_SECONDS):
            try:
                if self.engine is None:
                    self._take(0.0, where)
                elif not self.engine.alive:
                    event("engine_restarted", logging.WARNING, why="its thread had died")
                    self.engine.start()
            except Exception as error:  # the outer edge of the thread: log it and try again
                event("error", level=logging.ERROR, where="engine-slot", error=f"{type(error).__name__}: {error}")

    def elsewhere(self) -> dict[str, object]:
        """{"pid", "where"} of the process that runs the engine; {} if it has not written them yet."""
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return {key: found[key] for key in ("pid", "where") if key in found}

    def stop(self) -> None:
        """Stops the engine if it runs here, and frees the lock. Live runs continue."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join(RETRY_SECONDS * 2)
        if self.engine is not None:
            self.engine.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
