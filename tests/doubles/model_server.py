"""A scripted model server in the shape of OpenAI's chat completions, for tests of what our client makes of its answers."""
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from conftest import HANG

Step = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class ModelServer:
    """steps: one for each request, the last one for all further ones. asked: the bodies of the requests; keys: their Authorization."""

    url: str = ""
    steps: list[Step] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, kind: str = "application/json") -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def says(content: Any, ended: str = "stop") -> Step:
    """A completion with this text, or with this value as JSON."""
    text = content if isinstance(content, str) else json.dumps(content)
    message = {"index": 0, "finish_reason": ended, "message": {"role": "assistant", "content": text}}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [message]}
    return lambda handler: send(handler, 200, json.dumps(whole).encode())


def fails(status: int) -> Step:
    """An error that repeats the key, as some servers do."""
    return lambda handler: send(handler, status, json.dumps({"error": {"message": f"no: {handler.headers['Authorization']}"}}).encode())


def raw(body: bytes, kind: str = "application/json") -> Step:
    return lambda handler: send(handler, 200, body, kind)


def hangs(server: ModelServer) -> Step:
    def step(handler: BaseHTTPRequestHandler) -> None:
        server.done.wait(HANG)
    return step


def drips(server: ModelServer) -> Step:
    """A byte at a time, without end."""
    def step(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        while not server.done.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()
    return step


def floods(server: ModelServer) -> Step:
    """As much as is read, without end."""
    def step(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        while not server.done.is_set():
            handler.wfile.write(b'{"choices": ' + b" " * 100_000)
    return step


@contextmanager
def model_server() -> Iterator[ModelServer]:
    state = ModelServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            state.keys.append(self.headers.get("Authorization", ""))
            step = state.steps[min(len(state.asked), len(state.steps)) - 1]
            try:
                step(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client has had enough

        def log_message(self, format: str, *args: Any) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        state.done.set()
        server.shutdown()
        thread.join(HANG)
        server.server_close()
