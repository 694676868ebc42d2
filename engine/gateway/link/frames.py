"""Frames over one byte link, such as a virtio-serial port.

Frame: magic 0xA7, type (1 byte), stream (4), length (4), payload of at most 32 KiB; numbers are big-endian.
  OPEN    guest to host: a new connection           WINDOW  4 bytes: so many more may be sent on this stream
  DATA    bytes of a stream                         HELLO   host to guest, at each start of the link: mark and nonce
  EOF     its sender will send no more              READY   the guest's answer to HELLO, with the same
  CLOSE   the stream is gone, both ways

The host begins with as many zeros as the longest frame has bytes: a guest that was caught in the middle of an old frame eats them,
then looks for the mark. What the host reads before READY is old."""
from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

HEADER = struct.Struct(">BBII")
MAGIC, LONGEST = 0xA7, 32_768
OPEN, DATA, EOF, CLOSE, WINDOW, HELLO, READY = range(1, 8)
MARK, NONCE = b"\x93swarmlink\x00\xff\xfe\x01\r\n", 16
PIECE = 262_144          # bytes that are read or written at once
DEAF = 4_194_304         # bytes waiting to be written: the other end does not read at all


class BrokenLink(ConnectionError):
    """The guest broke a rule, or does not read: the host gives the link up."""


class Frame(NamedTuple):
    kind: int
    stream: int
    payload: bytes


class Link:
    """One end. descriptor: set to non-blocking, and never closed here. A host does not forgive: a guest that breaks a rule loses the
    link. A guest that reads nonsense waits for the next HELLO."""

    def __init__(self, descriptor: int, host: bool) -> None:
        self.descriptor, self.host = descriptor, host
        self.ready = False       # the greeting was exchanged: frames are what they say
        self._in, self._out = bytearray(), bytearray()
        self._nonce = os.urandom(NONCE) if host else b""
        os.set_blocking(descriptor, False)
        if host:
            self._out += bytes(LONGEST + HEADER.size + 1)
            self.send(HELLO, 0, MARK + self._nonce)

    @property
    def unsent(self) -> int:
        return len(self._out)

    def send(self, kind: int, stream: int, payload: bytes = b"") -> None:
        self._out += HEADER.pack(MAGIC, kind, stream, len(payload)) + payload
        if self.host and len(self._out) > DEAF:
            raise BrokenLink("it does not read")

    def write(self) -> bool:
        """Writes what the link takes now. False: it has ended."""
        while self._out:
            try:
                count = os.write(self.descriptor, memoryview(self._out)[:PIECE])
            except BlockingIOError:
                return True
            except OSError:
                return False
            del self._out[:count]
        return True

    def read(self) -> bool:
        """Reads what has come; frames() then has it. False: the link has ended."""
        try:
            data = os.read(self.descriptor, PIECE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._in += data
        return bool(data)

    def frames(self) -> Iterator[Frame]:
        """What has been read, one by one. Of greetings a guest gets HELLO: everything before it is void. Raises BrokenLink (host)."""
        while self.ready or self._find_greeting():
            if not self.host and self._greeted:
                self._greeted = False
                yield Frame(HELLO, 0, b"")
            if len(self._in) < HEADER.size:
                return
            magic, kind, stream, length = HEADER.unpack_from(self._in)
            if magic != MAGIC or length > LONGEST or not OPEN <= kind <= READY:
                self.broken("no frame")
                continue
            if len(self._in) < HEADER.size + length:
                return
            payload = bytes(memoryview(self._in)[HEADER.size:HEADER.size + length])
            if kind == HELLO and not self.host:
                self.ready = False  # found again by its mark, as if it were the first
                continue
            del self._in[:HEADER.size + length]
            if kind in (HELLO, READY) or stream == 0:
                self.broken("a greeting, or stream 0")
            else:
                yield Frame(kind, stream, payload)

    def broken(self, why: str) -> None:
        if self.host:
            raise BrokenLink(why)
        self.ready = False

    _greeted = False

    def _find_greeting(self) -> bool:
        found = self._in.find(MARK + self._nonce)
        end = found + len(MARK) + NONCE
        if found < 0 or end > len(self._in):
            del self._in[:max(0, found if found >= 0 else len(self._in) - len(MARK) - NONCE)]
            return False
        nonce = bytes(self._in[end - NONCE:end])
        del self._in[:end]
        self.ready = True
        if not self.host:
            self._greeted = True
            self._out.clear()
            self.send(READY, 0, MARK + nonce)
        return True
