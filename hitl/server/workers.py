"""Threads that are used again. The one that was busy last is taken first, so those that are not needed end by themselves."""
import threading
from collections.abc import Callable

from hitl.server.exchange import Exchange

IDLE_SECONDS = 2.0


class _Worker(threading.Thread):
    def __init__(self, pool: "Workers", work: Exchange) -> None:
        super().__init__(name="http", daemon=True)
        self.pool, self.work = pool, work
        self.woken = threading.Event()

    def run(self) -> None:
        try:
            while True:
                self.pool.act(self.work)
                del self.work  # an idle thread holds nothing of its last request
                if not self.pool.rest(self):
                    return
        finally:
            self.pool.ended()


class Workers:
    """act(exchange) is called in one of the threads and must not raise; leave() in each of them when it ends."""

    def __init__(self, act: Callable[[Exchange], None], leave: Callable[[], None]) -> None:
        self.act, self._leave = act, leave
        self.alive = 0  # threads, idle ones too
        self._lock, self._idle = threading.Lock(), list[_Worker]()

    def run(self, work: Exchange) -> None:
        """Raises RuntimeError if no thread can be started."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
            self.alive += worker is None
        if worker is None:
            try:
                _Worker(self, work).start()
            except RuntimeError:
                with self._lock:
                    self.alive -= 1
                raise
            return
        worker.work = work
        worker.woken.set()

    def rest(self, worker: _Worker) -> bool:
        """Waits for the next work -> False if none came."""
        worker.woken.clear()
        with self._lock:
            self._idle.append(worker)
        if worker.woken.wait(IDLE_SECONDS):
            return True
        with self._lock:
            if worker in self._idle:
                self._idle.remove(worker)
                return False
        return worker.woken.wait()  # it was taken in this moment

    def ended(self) -> None:
        self._leave()
        with self._lock:
            self.alive -= 1
