"""Strict HTTP/1.1 for the gateway: one message per connection, and nothing that two readers could understand differently.

Both sides are read with the same rules, so a smuggling guest and a lying upstream get the same refusal."""
import re
import select
import socket
import ssl
import time
from collections.abc import Iterator
from typing import NamedTuple

from engine.errors import SwarmError

HEAD_BYTES, LINE_BYTES, LINES = 65_536, 16_384, 100
HEAD_SECONDS = 20.0      # for a whole head, or for TCP and TLS
IDLE_SECONDS = 600.0     # without a byte in either direction; models think long
CHUNK_LINE = 1024
LEFT = "the client left"   # what Gone says then
_REQUEST = re.compile(rb"([A-Z]{3,10}) ([\x21-\x7e]{1,12000}) HTTP/1\.([01])")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00-\x08\x0a-\x1f\x7f]*)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\x00-\x1f]*)?")
# Headers of one connection, not of the message; they are not passed on. The same is true for headers that a Connection header names.
HOP_BY_HOP = frozenset(("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
                        "transfer-encoding", "upgrade", "http2-settings", "expect"))


class Refusal(SwarmError):
    """The gateway itself answers the request, with this status and sentence."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.code = status, code


class Gone(ConnectionError):
    """The other side went away in the middle of a message, or was silent for too long."""


class Head(NamedTuple):
    """start: the three parts of the first line: (method, target, minor version) or (minor version, status, ''). Names are lower case."""

    start: tuple[str, str, str]
    fields: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def one(self, name: str) -> str | None:
        """The value of a field that may come once. Raises Refusal when it came twice."""
        values = self.all(name)
        if len(values) > 1:
            raise malformed(f"The header {name} comes {len(values)} times.")
        return values[0] if values else None

    def passed_on(self, *without: str) -> list[tuple[str, str]]:
        named = {part.strip().lower() for value in self.all("connection") for part in value.split(",")}
        return [(name, value) for name, value in self.fields if name not in HOP_BY_HOP and name not in named and name not in without]


def malformed(sentence: str) -> Refusal:
    return Refusal(400, "malformed", sentence)


class Wire:
    """A connected socket and what was read of it too far. end: monotonic; nothing is waited for beyond it. reader: who gets what is
    read here; when that one leaves, reading ends."""

    reader: "Wire | None" = None

    def __init__(self, sock: socket.socket, end: float) -> None:
        self.sock, self.end = sock, end
        self.buffer = bytearray()
        self.received = self.sent = 0

    def fill(self, seconds: float = IDLE_SECONDS) -> bool:
        """Reads something more -> False at the end of the stream. Raises Gone."""
        if self.reader:
            wait(self, self.reader, seconds)
        left = min(seconds, self.end - time.monotonic())
        if left <= 0:
            raise Gone("too late")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65_536)
        except OSError as error:
            raise Gone(str(error)) from error
        self.buffer += data
        self.received += len(data)
        return bool(data)

    def send(self, data: bytes, seconds: float = IDLE_SECONDS) -> None:
        """Sends data, and waits for a slow reader while it still reads. Raises Gone."""
        rest = memoryview(data)
        while rest:
            self.sock.settimeout(max(0.001, min(seconds, self.end - time.monotonic())))
            try:
                count = self.sock.send(rest)
            except OSError as error:
                raise Gone(str(error)) from error
            self.sent += count
            rest = rest[count:]

    def take(self, count: int) -> bytes:
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def line(self) -> bytes:
        """A short line without its end."""
        while (at := self.buffer.find(b"\r\n")) < 0:
            if len(self.buffer) > CHUNK_LINE or not self.fill():
                raise malformed("A chunk is malformed.")
        if at > CHUNK_LINE:
            raise malformed("A chunk is malformed.")
        return self.take(at + 2)[:-2]

    def has_data(self) -> bool:
        """True if something can be read without waiting."""
        pending = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()
        return bool(self.buffer or pending)

    def close(self) -> None:
        self.sock.close()


def read_head(wire: Wire, request: bool, seconds: float = HEAD_SECONDS) -> Head | None:
    """The head of a request or of a response; None where the peer closed without a byte. seconds: for all of it."""
    end = time.monotonic() + seconds
    while (at := wire.buffer.find(b"\r\n\r\n")) < 0:
        if len(wire.buffer) > HEAD_BYTES:
            raise Refusal(431, "malformed", f"The headers are longer than {HEAD_BYTES} bytes.")
        if not wire.fill(max(0.0, end - time.monotonic())):
            if wire.buffer:
                raise Gone("ended within a head")
            return None
    if at > HEAD_BYTES:
        raise Refusal(431, "malformed", f"The headers are longer than {HEAD_BYTES} bytes.")
    first, *lines = wire.take(at + 4)[:-4].split(b"\r\n")
    if len(lines) > LINES or any(len(line) > LINE_BYTES for line in (first, *lines)):
        raise Refusal(431, "malformed", f"There are more than {LINES} headers, or one is longer than {LINE_BYTES} bytes.")
    start = (_REQUEST if request else _STATUS).fullmatch(first)
    fields = [_FIELD.fullmatch(line) for line in lines]
    if not start or not all(fields):
        raise malformed("This is not valid HTTP/1.1.")
    parts = [part.decode("ascii") for part in start.groups()] + [""]
    return Head((parts[0], parts[1], parts[2]), tuple((f[1].decode("ascii").lower(), f[2].decode("latin-1").strip(" \t")) for f in fields if f))


def length_of(head: Head, minor: str, to_the_end: bool = False) -> int | str:
    """How long the body is: bytes, 'chunked', or 'end' (of the stream; responses only). Raises Refusal for anything ambiguous."""
    coding, length = head.one("transfer-encoding"), head.one("content-length")
    if coding is not None:
        if coding.lower() != "chunked" or length is not None or minor != "1":
            raise malformed("Transfer-Encoding can only be chunked, in HTTP/1.1, and without a Content-Length.")
        return "chunked"
    if length is not None:
        if not re.fullmatch(r"[0-9]{1,12}", length):
            raise malformed("The Content-Length is not a number.")
        return int(length)
    return "end" if to_the_end else 0


def body(wire: Wire, length: int | str) -> Iterator[bytes]:
    """The pieces of a body as they come. Raises Gone when it ends early, Refusal when a chunk is malformed."""
    if length == "chunked":
        while count := _chunk_size(wire):
            yield from _counted(wire, count)
            if wire.line():
                raise malformed("A chunk is longer than it says.")
        for _ in range(LINES):
            if not wire.line():  # trailers end here; nothing of them is passed on
                return
        raise malformed("There are too many trailers.")
    elif length == "end":
        while wire.buffer or wire.fill():
            yield wire.take(len(wire.buffer))
    else:
        yield from _counted(wire, int(length))


def _chunk_size(wire: Wire) -> int:
    found = _CHUNK.fullmatch(wire.line())
    if not found:
        raise malformed("A chunk has no size.")
    return int(found[1], 16)


def _counted(wire: Wire, count: int) -> Iterator[bytes]:
    while count:
        if not wire.buffer and not wire.fill():
            raise Gone("ended within a body")
        data = wire.take(min(count, len(wire.buffer)))
        count -= len(data)
        yield data


def head_bytes(first: str, fields: list[tuple[str, str]]) -> bytes:
    return "\r\n".join([first, *(f"{name}: {value}" for name, value in fields), "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def wait(up: Wire, client: Wire, seconds: float = IDLE_SECONDS) -> None:
    """Until `up` has something to read. Raises Gone when the client has left meanwhile: nobody pays for a reply that nobody reads."""
    poll = select.poll()
    poll.register(up.sock, select.POLLIN)
    poll.register(client.sock, select.POLLIN)
    while not up.has_data():
        left = min(seconds, up.end - time.monotonic())
        ready = dict(poll.poll(max(0.0, left) * 1000))
        if not ready:
            raise Gone("silent for too long")
        if up.sock.fileno() in ready:
            return
        try:
            gone = not client.sock.recv(1, socket.MSG_PEEK)
        except OSError:
            gone = True
        if gone:
            raise Gone(LEFT)
        poll.unregister(client.sock)  # it sends more data that nobody will read
