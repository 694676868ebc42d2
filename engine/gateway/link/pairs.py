"""Two sockets joined: what one sends the other gets, in both directions, ends included. Any number of pairs, one thread."""
from __future__ import annotations

import selectors
import socket
from collections.abc import Callable

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
PIECE = 65_536           # at most so much is kept for each direction of a pair


class End:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.other: End = self
        self.waiting = b""       # to be written here
        self.came_end = False    # nothing more is read here
        self.deaf = False        # nothing more can be written here
        self.events = 0


class Pairs:
    """connect() returns the socket that a connection to `listener` is joined with."""

    def __init__(self, listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
        self.listener, self.connect = listener, connect
        self._selector = selectors.DefaultSelector()
        listener.setblocking(False)
        self._selector.register(listener, READ, None)

    def step(self) -> None:
        for key, events in self._selector.select():
            if key.data is None:
                self._accept()
            elif key.data.events:
                self._serve(key.data, events)

    def _accept(self) -> None:
        try:
            near = self.listener.accept()[0]
        except OSError:
            return
        try:
            far = self.connect()
        except OSError:
            near.close()
            return
        one, two = End(near), End(far)
        one.other, two.other = two, one
        for end in (one, two):
            end.sock.setblocking(False)
            self._watch(end)

    def _watch(self, end: End) -> None:
        events = (READ if not end.came_end and not end.other.waiting else 0) | (WRITE if end.waiting else 0)
        if events != end.events:
            if not end.events:
                self._selector.register(end.sock, events, end)
            elif events:
                self._selector.modify(end.sock, events, end)
            else:
                self._selector.unregister(end.sock)
            end.events = events

    def _serve(self, end: End, events: int) -> None:
        if events & WRITE:
            self._write(end)
        if events & READ and not end.came_end and not end.other.waiting:
            self._read(end)
        for each in (end, end.other):
            if each.other.came_end and not each.waiting and not each.deaf:
                each.deaf = True
                try:
                    each.sock.shutdown(socket.SHUT_WR)
                except OSError:
                    each.came_end = True
        if all(each.came_end and not each.waiting for each in (end, end.other)):
            self._close(end)
            return
        self._watch(end)
        self._watch(end.other)

    def _read(self, end: End) -> None:
        try:
            data = end.sock.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        end.came_end = not data
        end.other.waiting = data
        if data:
            self._write(end.other)

    def _write(self, end: End) -> None:
        """Where nothing can be written any more, nothing more is read for it; what came from there before is still handed on."""
        try:
            end.waiting = end.waiting[end.sock.send(end.waiting):]
        except BlockingIOError:
            return
        except OSError:
            end.deaf, end.waiting, end.other.came_end = True, b"", True

    def _close(self, end: End) -> None:
        for each in (end, end.other):
            if each.events:
                self._selector.unregister(each.sock)
                each.events = 0
            each.sock.close()
