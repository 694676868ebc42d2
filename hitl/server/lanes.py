"""Who is being answered, in lanes with a limit each, and whose turn is next."""
import threading
import time
from collections import deque
from collections.abc import Callable

from hitl.server.exchange import Exchange
from hitl.server.head import ANSWERS, DOWNLOADS, LIVE, UPLOADS
from hitl.server.limits import Limits


class Lanes:
    """start(exchange) begins an exchange in a thread, which calls end(exchange) when it is over."""

    def __init__(self, limits: Limits, start: Callable[[Exchange], None]) -> None:
        self._limits, self._start = limits, start
        self._lock = threading.Condition()  # notified when the last exchange ends
        self._most = {ANSWERS: limits.answers, UPLOADS: limits.uploads, DOWNLOADS: limits.downloads, LIVE: limits.live}
        self._in: dict[str, set[Exchange]] = {lane: set() for lane in self._most}
        self._queue: deque[Exchange] = deque()

    def enter(self, exchange: Exchange) -> bool:
        """False: its lane is full, and so is the queue."""
        with self._lock:
            if len(self._in[exchange.lane]) >= self._most[exchange.lane]:
                queued = exchange.lane == ANSWERS and len(self._queue) < self._limits.queue
                if queued:
                    self._queue.append(exchange)
                return queued
            self._put(exchange)
        self._start(exchange)
        return True

    def move(self, exchange: Exchange, lane: str) -> None:
        """Into the lane of the slow, whose slowest is cut if there is no room. Raises TimeoutError if it is itself the slowest."""
        with self._lock:
            there = self._in[lane]
            if len(there) >= self._most[lane]:
                now = time.monotonic()
                slowest = min((other for other in there if not other.is_cut), key=lambda other: other.moved / (now - other.since + 1), default=None)
                if slowest is None:
                    raise TimeoutError("too many clients are slow")
                slowest.cut()
            self._in[exchange.lane].discard(exchange)
            exchange.lane, exchange.moved = lane, 0
            self._put(exchange)
            following = self._next()
        if following is not None:
            self._start(following)

    def end(self, exchange: Exchange) -> None:
        with self._lock:
            self._in[exchange.lane].discard(exchange)
            following = self._next()
            if self._is_empty():
                self._lock.notify_all()
        if following is not None:
            self._start(following)

    def wait_until_empty(self, seconds: float) -> bool:
        with self._lock:
            return self._lock.wait_for(self._is_empty, seconds)

    def _is_empty(self) -> bool:
        return not self._queue and not any(self._in.values())

    def _put(self, exchange: Exchange) -> None:
        exchange.since = time.monotonic()
        self._in[exchange.lane].add(exchange)

    def _next(self) -> Exchange | None:
        if not self._queue or len(self._in[ANSWERS]) >= self._most[ANSWERS]:
            return None
        exchange = self._queue.popleft()
        self._put(exchange)
        return exchange

    def cut_slow(self, now: float) -> None:
        """Ends those whose body comes, or whose answer is read, more slowly than the limits say."""
        limits = self._limits
        with self._lock:
            for exchange in [*self._in[UPLOADS], *self._in[DOWNLOADS]]:
                allowed = limits.grace_seconds + exchange.moved / limits.least_rate
                if exchange.lane == UPLOADS:
                    allowed = min(allowed, limits.upload_seconds)
                if now - exchange.since > allowed and not exchange.is_cut:
                    exchange.cut()

    def close_live(self) -> None:
        """Ends the WebSockets; their pages connect again."""
        with self._lock:
            for exchange in self._in[LIVE]:
                exchange.cut()

    def counts(self) -> dict[str, int]:
        with self._lock:
            return {**{lane: len(there) for lane, there in self._in.items()}, "queue": len(self._queue)}
