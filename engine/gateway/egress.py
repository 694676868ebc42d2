"""The proxy: CONNECT and absolute-form http for the operator's list of hosts. It counts bytes and does not read content."""
import select
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from engine.gateway import http1
from engine.gateway.addresses import PORTS, Address, Resolve, host_and_port, kind_of
from engine.gateway.http1 import Gone, Head, Refusal, Wire
from engine.gateway.parent import Parent
from engine.gateway.reach import Reach
from engine.gateway.record import Asked

CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 60.0   # for the first byte of an answer through a tunnel: a greeting takes no longer, whatever is asked after it
HEAD_SECONDS = 180.0    # for the head of an answer without a tunnel, which may be made only now
PIECE = 65_536


@dataclass
class Egress:
    """reach: where the run may go. megabytes: in both directions together, for the whole run. parent: the proxy to all public hosts; None for none."""

    reach: Reach
    megabytes: int
    resolve: Resolve
    parent: Parent | None = None
    _used: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tunnel(self, client: Wire, head: Head, asked: Asked) -> None:
        """CONNECT host:port. Raises Refusal before the tunnel stands, Gone after."""
        asked.host = head.start[1]
        host, port = host_and_port(head.start[1], 443, self.reach.named)
        addresses = self._allowed(host, port, asked)
        up = self._connect(host, port, addresses, client) if addresses else self._parent().tunnel(host, port, client.end)
        asked.allowed = True
        try:
            client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            asked.status = 200
            up.send(self.count(asked, sent=client.take(len(client.buffer))))
            client.send(self.count(asked, received=up.take(len(up.buffer))))
            self._pump(client.sock, up.sock, client.end, asked)
        finally:
            up.close()
            if asked.sent and not asked.received:
                asked.why = self._silent(host, port)

    def forward(self, client: Wire, head: Head, asked: Asked) -> None:
        """GET http://host/path: one request there, one response back."""
        method, target, minor = head.start
        url = urlsplit(target)
        asked.host, asked.path = url.netloc, url.path
        if url.scheme != "http" or "@" in url.netloc or method == "TRACE":
            raise Refusal(400, "malformed", "The proxy accepts http://host/path, and CONNECT for everything else.")
        length = http1.length_of(head, minor)
        host, port = host_and_port(url.netloc, 80, self.reach.named)
        addresses = self._allowed(host, port, asked)
        up = self._connect(host, port, addresses, client) if addresses else self._parent().connect(client.end)
        asked.allowed = True
        try:
            fields = [("host", url.netloc), *head.passed_on("host", "content-length"), ("connection", "close")]
            fields += [("transfer-encoding", "chunked")] if length == "chunked" else [("content-length", str(length))] if length else []
            fields += [] if addresses else self._parent().fields
            path = f"{url.path or '/'}{'?' + url.query if url.query else ''}"
            up.send(http1.head_bytes(f"{method} {path if addresses else f'http://{url.netloc}{path}'} HTTP/1.1", fields))
            if head.one("expect"):
                client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._send_body(client, up, length, asked)
            self._answer(client, up, method, asked)
        except Gone:
            if asked.status:
                raise
            raise Refusal(504, "unreachable", self._silent(host, port)) from None
        finally:
            up.close()

    def _send_body(self, client: Wire, up: Wire, length: int | str, asked: Asked) -> None:
        """Sends the body. A server may answer and close before it has read everything; its answer is still passed on."""
        for data in http1.body(client, length):
            self.count(asked, sent=data)
            with suppress(Gone):
                up.send(http1.chunk(data) if length == "chunked" else data)
        if length == "chunked":
            with suppress(Gone):
                up.send(b"0\r\n\r\n")

    def _answer(self, client: Wire, up: Wire, method: str, asked: Asked) -> None:
        up.reader = client
        head = response_head(up, HEAD_SECONDS)
        asked.status = int(head.start[1])
        empty = method == "HEAD" or asked.status in (204, 304)
        length = 0 if empty else http1.length_of(head, head.start[0], to_the_end=True)
        fields = [*head.passed_on("content-length"), ("connection", "close")]
        fields += [("content-length", value) for value in head.all("content-length")] if empty or isinstance(length, int) else []
        client.send(http1.head_bytes(f"HTTP/1.1 {asked.status} -", fields))  # a body of unknown length ends with the connection
        for data in http1.body(up, length):
            client.send(self.count(asked, received=data))

    def count(self, asked: Asked, sent: bytes = b"", received: bytes = b"") -> bytes:
        """Counts the data and returns it. Raises Gone when the run has moved the allowed number of bytes."""
        with self._lock:
            self._used += len(sent) + len(received)
            if self._used > self.megabytes * 1_000_000:
                asked.why = f"The run has transferred more than {self.megabytes} MB."
                raise Gone(asked.why)
        asked.sent += len(sent)
        asked.received += len(received)
        return sent or received

    def _allowed(self, host: str, port: int, asked: Asked) -> list[Address]:
        """The addresses to connect to; none for a host that the parent proxy connects to. Raises Refusal for what the run may not reach."""
        asked.host = host if port in PORTS else f"{host}:{port}"
        self.reach.check(host, port)
        if self._used >= self.megabytes * 1_000_000:
            raise Refusal(403, "egress_used_up", f"The run has transferred {self.megabytes} MB, which is its limit (SWARM_EGRESS_MB).")
        try:
            addresses = self.resolve(host, port)
        except Refusal as refusal:
            if refusal.status != 502:
                raise
            if self.parent is None:
                raise Refusal(502, "unreachable", f"{refusal.sentence} {self.reach.unreachable(host, port)}".rstrip()) from None
            return []  # the parent looks up what this machine cannot
        inside = self.parent is None or any(kind_of(address) != "public" for address, _ in addresses)
        return addresses if inside else []

    def _silent(self, host: str, port: int) -> str:
        where = host if port in PORTS else f"{host}:{port}"
        return f"{where} was reached, but it answered nothing. {self.reach.unreachable(host, port)}".rstrip()

    def _parent(self) -> Parent:
        if self.parent is None:
            raise Refusal(502, "unreachable", "The host has no address.")
        return self.parent

    def _connect(self, host: str, port: int, addresses: list[Address], client: Wire) -> Wire:
        for address in addresses:
            try:
                return Wire(socket.create_connection(address, CONNECT_SECONDS), client.end)
            except OSError:
                continue
        where = host if port in PORTS else f"{host}:{port}"
        raise Refusal(502, "unreachable", f"{where} could not be reached. {self.reach.unreachable(host, port)}".rstrip())

    def _pump(self, client: socket.socket, up: socket.socket, end: float, asked: Asked) -> None:
        """Passes data in both directions until both have ended."""
        waiting = {client: b"", up: b""}   # to be written to this socket
        other = {client: up, up: client}
        reading = {client, up}
        for sock in waiting:
            sock.setblocking(False)
        while reading or any(waiting.values()):
            poll = select.poll()
            for sock in waiting:
                events = (select.POLLIN if sock in reading and not waiting[other[sock]] else 0) | (select.POLLOUT if waiting[sock] else 0)
                if events:
                    poll.register(sock, events)
            most = http1.IDLE_SECONDS if asked.received or not asked.sent else ANSWER_SECONDS
            ready = dict(poll.poll(max(0.0, min(most, end - time.monotonic())) * 1000))
            if not ready:
                raise Gone("silent for too long")
            try:
                for sock in waiting:
                    if sock in reading and not waiting[other[sock]] and ready.get(sock.fileno(), 0) & ~select.POLLOUT:
                        data = sock.recv(PIECE)
                        waiting[other[sock]] = self.count(asked, sent=data) if sock is client else self.count(asked, received=data)
                        if not data:
                            reading.discard(sock)
                            other[sock].shutdown(socket.SHUT_WR)
                    if waiting[sock] and ready.get(sock.fileno(), 0):
                        waiting[sock] = waiting[sock][sock.send(waiting[sock]):]
            except BlockingIOError:
                continue
            except OSError as error:
                raise Gone(str(error)) from error


def response_head(up: Wire, seconds: float = http1.IDLE_SECONDS) -> Head:
    """The head of the final response, without provisional ones. Raises Gone, Refusal."""
    while True:
        head = http1.read_head(up, request=False, seconds=seconds)
        if head is None:
            raise Gone("closed without an answer")
        if not head.start[1].startswith("1"):
            return head
