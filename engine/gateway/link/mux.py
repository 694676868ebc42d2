"""Many connections over one link.

Each direction of each stream begins with a credit of 256 KiB and gets more as the other end hands bytes on: the link never waits for a
slow reader, and no more than the credit is ever kept for one. No stream is read while much is waiting for the link."""
from __future__ import annotations

import selectors
import socket
import struct
from typing import Callable  # noqa: UP035 (Python 3.9 inside)

from . import frames
from .frames import Link

CREDIT, STREAMS = 262_144, 256
FULL = 131_072           # bytes waiting for the link: no stream is read any further
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Stream:
    def __init__(self, number: int, sock: socket.socket) -> None:
        self.number, self.sock = number, sock
        self.waiting = bytearray()              # for the local socket
        self.may_send = self.may_come = CREDIT  # bytes
        self.owed = 0                           # handed on, and not yet given back as credit
        self.sent_end = self.came_end = self.closed_local = False
        self.events = 0


class Mux:
    """One end. A host is given `connect`, which returns a connected socket for each stream; a guest `listener`, for whose connections it
    opens streams. step() does whatever can be done now."""

    def __init__(self, descriptor: int, connect: Callable[[], socket.socket] | None = None,
                 listener: socket.socket | None = None) -> None:
        self.link = Link(descriptor, host=connect is not None)
        self.connect, self.listener = connect, listener
        self.streams: dict[int, Stream] = {}
        self.moved = 0                          # bytes of all streams, both ways
        self._selector = selectors.DefaultSelector()
        self._link_events, self._last = READ, 0
        self._held = False                      # a stream is not read because so much is waiting for the link
        self._selector.register(descriptor, READ, "link")
        if listener is not None:
            listener.setblocking(False)
            self._selector.register(listener, READ, "listener")

    def step(self, timeout: float | None = None) -> bool:
        """False when the link has ended. Raises BrokenLink (host only)."""
        alive = True
        self._watch_link()
        for key, events in self._selector.select(timeout):
            if key.data == "listener":
                self._accept()
            elif key.data != "link":
                self._serve(key.data, events)
            elif events & READ:
                alive = self.link.read()
                for kind, number, payload in self.link.frames():
                    self._take(kind, number, payload)
        alive = self.link.write() and alive
        if self._held and self.link.unsent < FULL:
            self._held = False
            for stream in list(self.streams.values()):
                self._watch(stream)
        return alive

    def close(self) -> None:
        """Every stream ends; the link's descriptor stays the caller's."""
        self._drop_all()
        self._selector.close()

    def _watch_link(self) -> None:
        events = READ | (WRITE if self.link.unsent else 0)
        if events != self._link_events:
            self._selector.modify(self.link.descriptor, events, "link")
            self._link_events = events

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        stream = self.streams.get(number)
        if kind == frames.HELLO:
            self._drop_all()
        elif kind == frames.OPEN:
            if self.connect is None or stream is not None or payload:
                self._break("a stream opened twice, or by the host")
            else:
                self._open(number, self.connect)
        elif stream is None:
            return  # late, of a stream that has been dropped here
        elif kind == frames.DATA:
            if stream.came_end or not payload or len(payload) > stream.may_come:
                self._break("more than its credit")
                return
            stream.may_come -= len(payload)
            self.moved += len(payload)
            stream.waiting += payload
            self._write(stream)
        elif kind == frames.EOF:
            if stream.came_end or payload:
                self._break("two ends")
                return
            stream.came_end = True
            self._write(stream)
        elif kind == frames.WINDOW:
            more = struct.unpack(">I", payload)[0] if len(payload) == 4 else 0
            if not more or stream.may_send + more > CREDIT:
                self._break("too much credit")
                return
            stream.may_send += more
            self._watch(stream)
        else:
            self._drop(stream, tell=False)

    def _break(self, why: str) -> None:
        self.link.broken(why)
        self._drop_all()

    def _open(self, number: int, connect: Callable[[], socket.socket]) -> None:
        try:
            if len(self.streams) >= STREAMS:
                raise OSError("too many streams")
            sock = connect()
        except OSError:
            self.link.send(frames.CLOSE, number)
            return
        self._add(Stream(number, sock))

    def _accept(self) -> None:
        assert self.listener is not None
        try:
            sock = self.listener.accept()[0]
        except OSError:
            return
        if not self.link.ready or len(self.streams) >= STREAMS:
            sock.close()
            return
        self._last = self._last % 0xFFFFFFF0 + 1
        while self._last in self.streams:
            self._last = self._last % 0xFFFFFFF0 + 1
        self.link.send(frames.OPEN, self._last)
        self._add(Stream(self._last, sock))

    def _add(self, stream: Stream) -> None:
        stream.sock.setblocking(False)
        self.streams[stream.number] = stream
        self._watch(stream)

    def _watch(self, stream: Stream) -> None:
        events = READ if not stream.sent_end and stream.may_send else 0
        if events and self.link.unsent >= FULL:
            self._held, events = True, 0
        events |= WRITE if stream.waiting else 0
        if events == stream.events:
            return
        if not stream.events:
            self._selector.register(stream.sock, events, stream)
        elif events:
            self._selector.modify(stream.sock, events, stream)
        else:
            self._selector.unregister(stream.sock)
        stream.events = events

    def _serve(self, stream: Stream, events: int) -> None:
        if self.streams.get(stream.number) is stream and events & WRITE:
            self._write(stream)
        if self.streams.get(stream.number) is stream and events & READ and stream.events & READ:
            self._read(stream)

    def _read(self, stream: Stream) -> None:
        try:
            data = stream.sock.recv(min(frames.LONGEST, stream.may_send))
        except BlockingIOError:
            return
        except OSError:
            self._drop(stream, tell=True)
            return
        if data:
            stream.may_send -= len(data)
            self.moved += len(data)
            self.link.send(frames.DATA, stream.number, data)
        else:
            stream.sent_end = True
            self.link.send(frames.EOF, stream.number)
        self._settle(stream)

    def _write(self, stream: Stream) -> None:
        try:
            while stream.waiting:
                count = stream.sock.send(stream.waiting)
                del stream.waiting[:count]
                stream.owed += count
        except BlockingIOError:
            pass
        except OSError:
            self._drop(stream, tell=True)
            return
        if stream.owed >= CREDIT // 4 and not stream.came_end:
            self.link.send(frames.WINDOW, stream.number, struct.pack(">I", stream.owed))
            stream.may_come += stream.owed
            stream.owed = 0
        self._settle(stream)

    def _settle(self, stream: Stream) -> None:
        """Hands on the end when all before it was handed on; lets go of a stream that has ended both ways."""
        if stream.came_end and not stream.waiting and not stream.closed_local:
            stream.closed_local = True
            try:
                stream.sock.shutdown(socket.SHUT_WR)
            except OSError:
                self._drop(stream, tell=not stream.sent_end)
                return
        if stream.closed_local and stream.sent_end:
            self._drop(stream, tell=False)
        else:
            self._watch(stream)

    def _drop(self, stream: Stream, tell: bool) -> None:
        if self.streams.pop(stream.number, None) is None:
            return
        if stream.events:
            self._selector.unregister(stream.sock)
            stream.events = 0
        stream.sock.close()
        if tell:
            self.link.send(frames.CLOSE, stream.number)

    def _drop_all(self) -> None:
        for stream in list(self.streams.values()):
            self._drop(stream, tell=False)
