"""TLS in front of the server: one thread speaks it with all clients, and the server behind has a plain socket for each.

So everything behind is the same with and without TLS: deadlines, refusals, and WebSockets, whose two threads must not use one TLS connection at once."""
import os
import select
import socket
import ssl
import threading
import time
from collections import deque

from hitl.server.tls_line import Line

EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET


class Relay:
    """take() and close() may be called in any thread. rest: seconds that a client has to read the end of an answer."""

    def __init__(self, context: ssl.SSLContext, rest: float) -> None:
        self._context, self._rest, self._new = context, rest, deque[Line]()
        self._epoll, self._wake = select.epoll(), os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._lines: dict[int, Line] = {}  # by both descriptors
        self._again, self._closing = set[Line](), set[Line]()
        self._until: float | None = None  # time.monotonic() at which the thread ends
        self._thread = threading.Thread(target=self._run, name="tls", daemon=True)
        self._thread.start()

    def take(self, accepted: socket.socket) -> tuple[socket.socket, socket.socket]:
        """-> (the server's side, the client's socket, which replaces `accepted`). Raises OSError without descriptors; `accepted` is closed then."""
        with accepted:  # wrapped, it is another object, and this one is empty
            inner, ours = socket.socketpair()
            accepted.setblocking(False)
            inner.setblocking(False)
            try:
                outer = self._context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
            except OSError:
                inner.close()
                ours.close()
                raise
        self._new.append(Line(outer, inner))
        os.eventfd_write(self._wake, 1)
        return ours, outer

    def close(self, seconds: float) -> None:
        """Lets clients read what the server has sent, at most so long, and ends the thread."""
        self._until = time.monotonic() + seconds
        os.eventfd_write(self._wake, 1)
        self._thread.join()

    def _run(self) -> None:
        while self._until is None or (self._lines and time.monotonic() < self._until):
            again, self._again = self._again, set()
            for descriptor, what in self._epoll.poll(0 if again else 0.5 if self._closing or self._until else None, 2048):
                line = self._lines.get(descriptor)
                if descriptor == self._wake:
                    os.eventfd_read(self._wake)
                elif line is not None:
                    again.add(line)
                    if what & select.EPOLLHUP and descriptor == line.descriptors[1]:
                        line.deadline = line.deadline or time.monotonic() + self._rest
                        self._closing.add(line)
            while self._new:
                again.add(self._begun(self._new.popleft()))
            for line in again:
                self._go(line)
            now = time.monotonic()
            for line in [line for line in self._closing if (line.deadline or now) < now]:
                self._end(line)
        for line in [*self._lines.values(), *self._new]:
            line.close()
        self._epoll.close()
        os.close(self._wake)

    def _begun(self, line: Line) -> Line:
        for descriptor in line.descriptors:
            self._lines[descriptor] = line
            self._epoll.register(descriptor, EDGES)
        return line

    def _go(self, line: Line) -> None:
        more = line.step()
        if more:
            self._again.add(line)
        elif more is False:
            self._end(line)

    def _end(self, line: Line) -> None:
        for descriptor in line.descriptors:
            self._lines.pop(descriptor, None)
        self._again.discard(line)
        self._closing.discard(line)
        line.close()
