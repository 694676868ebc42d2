"""A small server for forges in tests: git over http by git's own http-backend, with a login, and JSON routes of whoever derives from it.

It notes every request with its headers, and answers as its `mood` says: that is how refusals, waits and redirects are made."""
import base64
import json
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from conftest import GIT_ENV

TOKEN = "tok-" + "a1B2c3D4e5F6g7H8"


class Server:
    """root: the folder whose bare repositories are served as /<path>.git. mood(method, path) -> (status, headers, body) or None."""

    def __init__(self, root: Path, token: str = TOKEN) -> None:
        self.root, self.token = root, token
        self.seen: list[tuple[str, str, dict[str, str]]] = []   # method, path, headers
        self.mood: Callable[[str, str], tuple[int, dict[str, str], bytes] | None] = lambda method, path: None
        self.lock = threading.RLock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self._body()
                server.seen.append((self.command, self.path, dict(self.headers)))
                wanted = server.mood(self.command, self.path)
                if wanted is None:
                    wanted = server.git(self.command, self.path, self.headers, body) if ".git/" in self.path else server.answer(
                        self.command, self.path, dict(self.headers), body)
                status, headers, data = wanted
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_PUT = handle_any

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    data = b""
                    while size := int(self.rfile.readline().strip() or b"0", 16):
                        data += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                    return data
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def log_message(self, *args: Any) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def repository(self, project: str) -> Path:
        return self.root / f"{project}.git"

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        return reply(404, {"message": "Not Found"})

    def git(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        kind, _, given = headers.get("Authorization", "").partition(" ")
        if kind != "Basic" or base64.b64decode(given).decode().partition(":")[2] != self.token:
            return 401, {"WWW-Authenticate": 'Basic realm="git"'}, b"Authentication failed"
        parts = urlsplit(path)
        env = {**GIT_ENV, "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "REQUEST_METHOD": method, "PATH_INFO": parts.path,
               "QUERY_STRING": parts.query, "CONTENT_TYPE": headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)), "REMOTE_USER": "swarm",
               "REMOTE_ADDR": "127.0.0.1", "HTTP_CONTENT_ENCODING": headers.get("Content-Encoding", ""), "GIT_PROTOCOL": headers.get("Git-Protocol", "")}
        out = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=env, check=False).stdout
        head, _, data = out.partition(b"\r\n\r\n")
        found = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n"))
        return int(found.pop("Status", "200").split()[0]), found, data


def reply(status: int, value: Any, **headers: str) -> tuple[int, dict[str, str], bytes]:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return status, {"Content-Type": "application/json; charset=utf-8", **named}, json.dumps(value).encode()


def query(path: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}


def head_of(repository: Path, branch: str) -> str | None:
    argv = ["git", "-C", str(repository), "rev-parse", "--quiet", "--verify", f"refs/heads/{branch}"]
    done = subprocess.run(argv, capture_output=True, text=True, env=GIT_ENV, check=False)
    return done.stdout.strip() or None
