"""What others notice while clients hold the server's connections: the slowest of several answers, and the age of the engine's last tick. Loopback only."""
import json
import re
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.children import hurry, server, until
from bench.rows import Row
from bench.sizes import Size

ASKED = 20        # answers of each kind under each load
SECOND = 1000.0   # ms: what is aimed at
LOG = 16_000_000  # bytes of the download: more than the sockets of both sides hold


def measure(size: Size, folder: Path) -> Iterator[Row]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
    with server(folder / "load", RUNTIME="process", POLL_SECONDS="0.2") as process:
        port = int(re.findall(r":(\d+) ", hurry(process))[0])
        download = _download(folder / "load", port)
        for path in ("/api/health", "/") * ASKED:
            _get(port, path)  # what the first request of each thread loads
        idle, idle_memory = _answers(port), _memory(process)
        for name, count, data in _loads(size, port, download):
            with ExitStack() as stack:
                for _ in range(count):
                    stack.enter_context(_connect(port, data))
                found = _answers(port)
            yield from (Row(f"{path} while {count:,} {name} are held, slowest of {ASKED}", "ms", found[path], raw=idle[path], target=("≤", SECOND),
                            note=f"{found[path] / idle[path]:.1f}× the slowest when idle") for path in ("/api/health", "/"))
            yield Row(f"oldest tick of the engine while {count:,} {name} are held", "ms", found["tick"], raw=idle["tick"], target=("≤", SECOND))
        until(lambda: len(list(Path("/proc", str(process.pid), "task").iterdir())) < 20, "the threads of the loads have ended")
        time.sleep(1.0)  # the next look of the server, which gives the memory back
        after = _memory(process)
        yield Row("memory after all loads ÷ idle", "MB", after, raw=idle_memory, ratio=after / idle_memory, target=("≤", 1.5))


def _loads(size: Size, port: int, download: str) -> list[tuple[str, int, bytes]]:
    host = f"Host: 127.0.0.1:{port}\r\n"
    post = f"POST /api/hitl HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: "
    upgrade = f"GET /ws HTTP/1.1\r\n{host}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'x' * 22}==\r\n\r\n"
    return [("half heads", size.held, f"GET / HTTP/1.1\r\n{host}X-More: ".encode()), ("silent connections", size.held, b""),
            ("WebSockets", size.held // 10, upgrade.encode()), ("slow bodies", size.held // 40, f"{post}1000\r\n\r\n{{".encode()),
            ("slow large bodies", size.held // 40, f"{post}1000000\r\n\r\n{{".encode()),
            ("downloads", size.held // 100, f"GET {download} HTTP/1.1\r\n{host}\r\n".encode())]


def _connect(port: int, data: bytes) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", port))
    connection.sendall(data)
    return connection


def _get(port: int, path: str, body: bytes | None = None) -> bytes:
    sent = "" if body is None else f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{sent}\r\n"
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(head.encode() + (body or b""))
        answer = b""
        while part := connection.recv(65536):
            answer += part
    if not answer.startswith(b"HTTP/1.1 20"):
        raise RuntimeError(f"{path}: {answer[:80]!r}")
    return answer.partition(b"\r\n\r\n")[2]


def _answers(port: int) -> dict[str, float]:
    """ms: the slowest of each kind, and the oldest tick."""
    found: dict[str, list[float]] = {"/api/health": [], "/": [], "tick": []}
    for _ in range(ASKED):
        for path in ("/api/health", "/"):
            since = time.perf_counter()
            answer = _get(port, path)
            found[path].append((time.perf_counter() - since) * 1000)
            if path == "/api/health":
                found["tick"].append(json.loads(answer)["last_tick_age"] * 1000)
    return {name: max(values) for name, values in found.items()}


def _download(data: Path, port: int) -> str:
    """A ticket's log that is large."""
    card = {"name": "Load", "features": [{"title": "F"}]}
    made = json.loads(_get(port, "/api/hitl", json.dumps({"project_name": "Load", "spec_card": card}).encode()))
    _get(port, f"/api/hitl/{made['id']}/approve", json.dumps({"spec_sha256": made["spec_sha256"]}).encode())
    _get(port, f"/api/hitl/{made['id']}/start-build", b'{"confirmed": true}')
    until(lambda: json.loads(_get(port, f"/api/hitl/{made['id']}"))["state"] == "completed", "the build")
    run = next(path.name for path in (data / "runs").iterdir() if path.name.startswith("TKT-002"))
    with open(data / "runs" / run / "log", "ab") as log:
        log.write(b"a line of a log\n" * (LOG // 16))
    return f"/tickets/TKT-002/log.txt?run={run}"


def _memory(process: subprocess.Popen[str]) -> float:
    lines = Path("/proc", str(process.pid), "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000
