"""The gateway of one run: unix sockets for its sandboxes, a thread for each connection, one request a connection."""
import json
import os
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from engine.gateway import http1
from engine.gateway.egress import Egress
from engine.gateway.http1 import Gone, Head, Refusal, Wire
from engine.gateway.model import Models
from engine.gateway.record import Asked, Record
from engine.gateway.shapes import Shape, shape_of

PORT = 8787                  # on which the relay listens inside, where that is free
CONNECTIONS = 128            # at the same time, of one run
REQUEST_SECONDS = 6 * 3600.0
DRAIN_SECONDS = 2.0          # for a client that still sends what was refused, so that it reads the reason
INSIDE = (f"127.0.0.1:{PORT}", f"localhost:{PORT}")  # clients that send even this through a proxy mean the gateway itself


@dataclass
class Gateway:
    """models: None where no sandbox of the run has an agent that needs one."""

    models: Models | None
    egress: Egress
    record: Record
    _doors: dict[Path, socket.socket] = field(default_factory=dict)
    _clients: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, path: Path, models: bool) -> None:
        """Starts to serve on a unix socket. models: True if it offers the models. Raises OSError."""
        door = socket.socket(socket.AF_UNIX)
        folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
        try:
            door.bind(f"/proc/self/fd/{folder}/{path.name}")  # a socket's path may have at most 107 bytes
            path.chmod(0o600)
            door.listen(CONNECTIONS)
        finally:
            os.close(folder)
        self._doors[path] = door
        threading.Thread(target=self._accept, args=(door, models), name=f"gateway {path.name}", daemon=True).start()

    def close(self, path: Path) -> None:
        """Closes the socket and its connections, so that nothing is paid for after the end of a sandbox."""
        door = self._doors.pop(path, None)
        if door is not None:
            path.unlink(missing_ok=True)
            for sock in (door, *self._clients):
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            end = time.monotonic() + DRAIN_SECONDS
            while self._clients and time.monotonic() < end:
                time.sleep(0.002)  # each books what it has used

    def _accept(self, door: socket.socket, models: bool) -> None:
        while True:
            try:
                sock, _ = door.accept()
            except OSError:  # shut down
                door.close()
                return
            with self._lock:
                full = len(self._clients) >= CONNECTIONS
                if not full:
                    self._clients.add(sock)
            if full:
                sock.close()
            else:
                threading.Thread(target=self._serve, args=(sock, models), name="gateway connection", daemon=True).start()

    def _serve(self, sock: socket.socket, models: bool) -> None:
        client = Wire(sock, time.monotonic() + REQUEST_SECONDS)
        asked = Asked("egress", began=time.monotonic())
        try:
            head = http1.read_head(client, request=True)
            if head is not None:
                self._answer(client, head, models, asked)
                self.record.add(asked)
        except Gone as gone:
            asked.why = asked.why or str(gone)
            self.record.add(asked)
        except Refusal as refusal:  # of the head itself
            self._refuse(client, refusal, None, asked)
            self.record.add(asked)
        finally:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            with self._lock:
                self._clients.discard(sock)
            sock.close()

    def _answer(self, client: Wire, head: Head, models: bool, asked: Asked) -> None:
        shape = None
        try:
            method, target, minor = head.start
            asked.method = method
            if method == "CONNECT" and target in INSIDE:
                client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
                client.sent = 0
                inner = http1.read_head(client, request=True)
                if inner is None:
                    raise Gone("nothing was asked")
                head = inner
                method, target, minor = head.start
                asked.method = method
            url = urlsplit(target)
            if url.scheme == "http" and url.netloc in INSIDE:
                target = target[len("http://") + len(url.netloc):] or "/"
                head = head._replace(start=(method, target, minor))
            if head.one("expect") not in (None, "100-continue"):
                raise Refusal(417, "malformed", "The gateway supports only Expect: 100-continue.")
            if method == "CONNECT":
                self.egress.tunnel(client, head, asked)
            elif not target.startswith("/"):
                self.egress.forward(client, head, asked)
            else:
                asked.side, asked.path = "model", url.path
                shape = shape_of(target.partition("?")[0])
                if self.models is None or not models or shape is None:
                    raise Refusal(404, "no_such_path", "This address does not exist. Models are under /openai, /anthropic and /gemini, "
                                  "for runs whose agent needs one.")
                self.models.forward(client, head, shape, asked)
        except Refusal as refusal:
            self._refuse(client, refusal, shape, asked)
        except ValueError as error:  # urlsplit, of a target that is none
            self._refuse(client, http1.malformed(f"This is not a valid address: {error}."), None, asked)

    def _refuse(self, client: Wire, refusal: Refusal, shape: Shape | None, asked: Asked) -> None:
        """Answers in the provider's form of errors. A client that has left gets nothing."""
        asked.status, asked.why = refusal.status, refusal.sentence
        if client.sent:
            return  # an answer has begun: all that can be done is to end it
        body = json.dumps(shape.error(refusal.status, refusal.code, refusal.sentence) if shape else refusal.as_json()).encode()
        fields = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        fields += [("retry-after", "5")] if refusal.status == 429 else []
        # Clients show the reason of a refused CONNECT, and never its body.
        reason = refusal.sentence.encode("ascii", "replace").decode() if asked.method == "CONNECT" else refusal.code
        with suppress(OSError):
            client.send(http1.head_bytes(f"HTTP/1.1 {refusal.status} {reason}", fields) + (b"" if asked.method == "HEAD" else body))
            client.sock.shutdown(socket.SHUT_WR)
            client.end = min(client.end, time.monotonic() + DRAIN_SECONDS)
            while client.fill():
                client.buffer.clear()


def tls_context(authorities: str = "") -> ssl.SSLContext:
    """The system's certificate authorities, and those of a file. Raises OSError for a file that holds none."""
    context = ssl.create_default_context()
    if authorities:
        context.load_verify_locations(authorities)
    return context
