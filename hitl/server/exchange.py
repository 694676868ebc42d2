"""One request on its way: what has come of it, and the two streams by which its thread reads the rest and writes the answer.

A thread that must wait for its client changes lanes: to uploads if a body is slow to come, to downloads if an answer is slow to be read. So slow clients
stand in each other's way, and not in that of the requests that can be answered."""
import io
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hitl.server.admission import Connection
from hitl.server.head import ANSWERS, DOWNLOADS, LIVE, UPLOADS, Head

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


@dataclass(eq=False)
class Exchange:
    """A request whose head has come, with its lane. Only its own thread changes `moved`."""

    connection: Connection
    socket: socket.socket  # by which it is read and answered: with TLS the side without
    head: Head
    received: bytes        # everything that has come until a thread began
    lane: str
    since: float = 0.0     # when it entered this lane, by time.monotonic()
    moved: int = 0         # bytes since then
    is_cut: bool = False   # it was too slow, and its thread will notice

    def cut(self) -> None:
        """Ends it from another thread."""
        self.is_cut = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the client was quicker


Move = Callable[[Exchange, str], None]
"""Brings an exchange into another lane. Raises OSError if there is no room in it."""


class Inlet(io.RawIOBase):
    """The request: first what was received without a thread, then what comes."""

    def __init__(self, exchange: Exchange, move: Move) -> None:
        self._exchange, self._move, self._at = exchange, move, 0
        self._raw = exchange.socket.makefile("rb", buffering=0)  # keeps the descriptor until close(), even if a WebSocket closes its socket

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        exchange = self._exchange
        view = memoryview(buffer).cast("B")
        if self._at < len(exchange.received):
            count = min(len(view), len(exchange.received) - self._at)
            view[:count] = exchange.received[self._at:self._at + count]
            self._at += count
            return count
        if exchange.lane == ANSWERS:
            self._move(exchange, UPLOADS)
        count = self._raw.readinto(view) or 0
        exchange.moved += count
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class Outlet(io.BufferedIOBase):
    """The answer. Every write is whole. Raises OSError if the client takes nothing for `stall` seconds."""

    def __init__(self, exchange: Exchange, move: Move, stall: float) -> None:
        self._exchange, self._move, self._stall = exchange, move, stall
        self._poll = select.poll()
        self._poll.register(exchange.socket, select.POLLOUT)

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer") -> int:
        exchange = self._exchange
        view = memoryview(data).cast("B")
        whole = len(view)
        while view:
            if not self._poll.poll(0):
                if exchange.lane not in (DOWNLOADS, LIVE):
                    self._move(exchange, DOWNLOADS)
                if not self._poll.poll(self._stall * 1000):
                    raise TimeoutError("the client does not read")
            sent = exchange.socket.send(view)
            exchange.moved += sent
            view = view[sent:]
        return whole
