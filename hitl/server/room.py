"""Connections whose request is not complete yet. They cost a socket and the bytes that have come, and no thread.

Also those that were refused: they get a moment to read why, because a socket that is closed with unread bytes takes its answer with it."""
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hitl.server.admission import Connection
from hitl.server.exchange import Exchange
from hitl.server.head import Head, read_head
from hitl.server.limits import Limits


@dataclass
class _Waiting:
    socket: socket.socket
    connection: Connection | None  # None: it has its answer, and what still comes is thrown away
    deadline: float
    head: Head | None = None
    data: bytearray = field(default_factory=bytearray)


class Room:
    """Called from one thread, which polls `epoll`. complete(exchange) is called for each request that is complete."""

    def __init__(self, limits: Limits, epoll: select.epoll, complete: Callable[[Exchange], None]) -> None:
        self._limits, self._epoll, self._complete = limits, epoll, complete
        self._waiting: dict[int, _Waiting] = {}  # by descriptor, in the order of arrival

    def __len__(self) -> int:
        return len(self._waiting)

    def admit(self, sock: socket.socket, connection: Connection) -> None:
        """If the room is full, the one that has waited longest is closed, unless its request has come meanwhile."""
        if len(self._waiting) >= self._limits.waiting:
            longest = next(iter(self._waiting))
            self.look(longest)
            if longest in self._waiting:
                self.drop(longest)
        self._put(_Waiting(sock, connection, time.monotonic() + self._limits.head_seconds))

    def linger(self, sock: socket.socket) -> None:
        """For a socket that has its answer. If the room is full, it is closed at once."""
        try:
            sock.setblocking(False)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()  # the client is gone
            return
        if len(self._waiting) >= self._limits.waiting:
            sock.close()
            return
        self._put(_Waiting(sock, None, time.monotonic() + self._limits.linger_seconds))

    def _put(self, waiting: _Waiting) -> None:
        waiting.socket.setblocking(False)
        self._waiting[waiting.socket.fileno()] = waiting
        self._epoll.register(waiting.socket.fileno(), select.EPOLLIN)

    def look(self, descriptor: int) -> None:
        """Reads what has come."""
        waiting = self._waiting.get(descriptor)
        if waiting is None:  # dropped in this turn
            return
        try:
            part = waiting.socket.recv(self._limits.head_bytes)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self.drop(descriptor)
        elif waiting.connection is not None:
            self._grown(descriptor, waiting, waiting.connection, part)

    def _grown(self, descriptor: int, waiting: _Waiting, connection: Connection, part: bytes) -> None:
        limits, before = self._limits, len(waiting.data)
        waiting.data += part
        if waiting.head is None:
            waiting.head = read_head(waiting.data, before)
            waiting.deadline += limits.body_seconds if waiting.head else 0
        if waiting.head is None:
            if len(waiting.data) >= limits.head_bytes:
                self.drop(descriptor)
        elif waiting.head.is_complete(len(waiting.data), limits.body_bytes):
            del self._waiting[descriptor]
            self._epoll.unregister(descriptor)
            self._complete(Exchange(connection, waiting.socket, waiting.head, bytes(waiting.data), waiting.head.lane(limits.body_bytes)))

    def expire(self, now: float) -> None:
        for descriptor in [descriptor for descriptor, waiting in self._waiting.items() if waiting.deadline < now]:
            self.drop(descriptor)

    def drop(self, descriptor: int) -> None:
        self._waiting.pop(descriptor).socket.close()  # this takes it out of the epoll, too

    def close(self) -> None:
        for descriptor in list(self._waiting):
            self.drop(descriptor)
