"""A gateway of its own for a test, and a client that says byte for byte what it wants."""
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import HANG, until

from engine.gateway.addresses import Address
from engine.gateway.serving import Service
from engine.jobs import Access, Budget, Job, Limits

KEY = "sk-the-real-key"
LIMITS = Limits(run_seconds=60, stall_seconds=60, check_seconds=60, log_mb=2, work_mb=64, memory_mb=2048, processes=256)


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Side:
    """What a sandbox sees of a gateway: its door, the token; and what the run sees of it: the service."""

    def __init__(self, folder: Path, models: dict[str, str], run: str = "run-1", hosts: tuple[str, ...] = (), budget: Budget | None = None,
                 names: Callable[[str, int], list[Address]] | None = None, kind: str = "feature", logins: dict[str, str] | None = None, **values: Any) -> None:
        self.folder = folder / "runs" / run
        self.folder.mkdir(parents=True)
        access = Access(models=models, hosts=hosts, megabytes=values.pop("megabytes", 100), budget=budget or Budget(), **values)
        job = Job(run=run, kind=kind, ticket="TKT-002", session="5e55", title="", description="", project="", repository="", integration="",
                  branch="", runtime="bubblewrap", agent="runbook", prompt="", limits=LIMITS, access=access)
        self.service = Service(job, access, self.folder, dict.fromkeys(models, KEY), names, logins or {})
        self.door = self.service.open(agent=True)

    @property
    def token(self) -> str:
        return self.service.token

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(HANG)
        sock.connect(str(self.door))
        return sock

    def raw(self, data: bytes) -> Reply:
        """Sends the bytes, reads to the end."""
        with self.connect() as sock:
            sock.sendall(data)
            return read_reply(sock)

    def ask(self, path: str, body: Any = None, method: str = "POST", token: str | None = None, **headers: str) -> Reply:
        data = b"" if body is None else json.dumps(body).encode()
        fields = {"Host": "127.0.0.1:8787", "Authorization": f"Bearer {self.token if token is None else token}", "Content-Type": "application/json",
                  **({"Content-Length": str(len(data))} if method == "POST" else {}), **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
        return self.raw(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + data)

    def chat(self, model: str = "m", **body: Any) -> Reply:
        return self.ask("/openai/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": "Hi"}], **body})

    def requests(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "requests.jsonl").read_text().splitlines()]

    def usage(self, settled: int = 1) -> dict:
        """Once as many requests are booked."""
        until(lambda: self.service.usage()["requests"] >= settled)
        return self.service.usage()


def read_reply(sock: socket.socket) -> Reply:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(_chunks(body))
    return Reply(int(first.split(" ")[1]), headers, body)


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, body = body.partition(b"\r\n")
        count = int(size, 16)
        yield body[:count]
        assert body[count:count + 2] == b"\r\n"
        body = body[count + 2:]
        if count == 0:
            return
    raise AssertionError("the chunked body has no end")


@contextmanager
def side(folder: Path, models: dict[str, str] | None = None, **values: Any) -> Iterator[Side]:
    made = Side(folder, models or {}, **values)
    try:
        yield made
    finally:
        made.service.close(made.door)
