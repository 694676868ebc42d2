"""A model provider of our own: a real HTTP (or HTTPS) server whose replies a test scripts. It keeps every request that it got."""
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from conftest import HANG

Reply = Callable[["Handler", Any], None]


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Upstream:
    """reply(handler, body) answers each request. url: of the server, without a path."""

    reply: Reply
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)   # a client left in the middle of a reply


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: Upstream

    def log_message(self, format: str, *arguments: Any) -> None:
        return

    def do_GET(self) -> None:
        data = self._chunked() if self.headers.get("Transfer-Encoding") else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(data) if data else None
        self.upstream.seen.append(Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.close_connection = True
        try:
            self.upstream.reply(self, body)
        except OSError:
            self.upstream.hung_up.set()

    do_POST = do_GET

    def _chunked(self) -> bytes:
        data = b""
        while count := int(self.rfile.readline(), 16):
            data += self.rfile.read(count)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def answer(self, value: Any, status: int = 200, **headers: str) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(data)

    def stream(self, events: Iterator[Any] | list[Any], pause: float = 0.0) -> None:
        """Server-sent events, chunked; a str is sent as it is, anything else as JSON."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            name = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
            data = f"{name}data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
            time.sleep(pause)
        self.wfile.write(b"0\r\n\r\n")


def chat(handler: Handler, body: Any) -> None:
    """A small reply in the shape that was asked for, as any provider gives it: 100 tokens in, 20 of them cached, 10 out."""
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, "prompt_tokens_details": {"cached_tokens": 20}}
    if body.get("stream"):
        events: list[Any] = [{"choices": [{"delta": {"content": word}}]} for word in ("Hello", ", ", "world")]
        if (body.get("stream_options") or {}).get("include_usage"):
            events.append({"choices": [], "usage": usage})
        handler.stream([*events, "[DONE]"])
    else:
        handler.answer({"choices": [{"message": {"role": "assistant", "content": "Hello"}}], "usage": usage})


@contextmanager
def served(reply: Reply = chat, certificate: Path | None = None) -> Iterator[Upstream]:
    upstream = Upstream(reply)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"upstream": upstream}))
    server.daemon_threads = True
    server.handle_error = lambda request, client: None  # type: ignore[method-assign]
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    upstream.url = f"http{'s' if certificate else ''}://{'localhost' if certificate else '127.0.0.1'}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        server.shutdown()
        server.server_close()
        thread.join(HANG)


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate for `name`, with its key beside it, made by openssl."""
    path = folder / f"{name}.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName=DNS:{name}", "-keyout", str(path.with_suffix(".key")), "-out", str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    return path


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
