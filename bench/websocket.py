"""From a commit in the server's process to the message at each of many clients, which live in another process. Loopback only."""
import json
import logging
import os
import resource
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.children import child, hurry, tell, until
from bench.rows import Row, percentile
from bench.sizes import Size
from bench.store import filled
from engine.config import Config

LIMITS = {200: 50.0, 1000: 250.0}
MESSAGES, SECONDS = 10, 30.0
RELEASE = "update tickets set priority = priority + 1, status = iif(status = 'blocked', 'pending', 'blocked') where id = 'R0000000'"


def measure(size: Size, folder: Path) -> Iterator[Row]:
    for count in size.clients:
        data = folder / f"websocket-{count}"
        db = filled(data / "swarm.db", ready=1)
        db.execute("update tickets set tenant_id = 'default'")
        db.close()
        server = child("bench.websocket", "server", str(data))
        clients = child("bench.websocket", "clients", hurry(server), str(count))
        try:
            if hurry(clients, SECONDS) != "ready":
                raise RuntimeError("the clients are not there")
            latencies, publishing = [], []
            for _ in range(MESSAGES):
                tell(clients, "next")
                tell(server, "next")
                committed, took = map(float, hurry(server, SECONDS).split())
                latencies += [at - committed for at in json.loads(hurry(clients, SECONDS))]
                publishing.append(took)
        finally:
            for process in (clients, server):
                process.kill()
                process.communicate()
        if len(latencies) != MESSAGES * count:
            raise RuntimeError(f"{MESSAGES * count - len(latencies)} messages were not received")
        limit = LIMITS.get(count)
        name = f"WebSocket, {count:,} clients"
        yield Row(f"{name}: commit to message, p50", "ms", percentile(latencies, 0.5) * 1000)
        yield Row(f"{name}: commit to message, p99", "ms", percentile(latencies, 0.99) * 1000, target=("≤", limit) if limit else None)
        yield Row(f"{name}: the publisher's transaction, slowest", "ms", max(publishing) * 1000, note="NORMAL; with the bell rung")


def server(data: str) -> None:
    """Serves; at each line it commits one change and says when that was done and how long it took."""
    import threading

    from app import create_app, http_server
    _many_files()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    app = create_app(Config(data=Path(data), runtime="fake", synchronous="NORMAL"))
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)  # a thousand clients come at once
    serving = http_server(app, listener)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    print(serving.port, flush=True)
    db = app.extensions["swarm"].db
    committed: list[float] = []
    db._subscribers.insert(0, lambda: committed.append(time.monotonic()))  # first: the clock starts when it is committed
    for _ in sys.stdin:
        since = time.monotonic()
        with db.transaction():
            db.execute(RELEASE)
        print(committed[-1], time.monotonic() - since, flush=True)


def clients(port: str, count: str) -> None:
    """Opens so many WebSockets; at each line waits for the next message on all, and says when each came."""
    _many_files()
    selector = selectors.DefaultSelector()
    for _ in range(int(count)):
        selector.register(_handshake(int(port)), selectors.EVENT_READ)
    time.sleep(1.0)  # until the last thread has begun to wait
    print("ready", flush=True)
    for _ in sys.stdin:
        waiting, times, end = set(selector.get_map()), [], time.monotonic() + SECONDS
        while waiting and time.monotonic() < end:
            for key, _ in selector.select(1.0):
                data = os.read(key.fd, 4096)
                if b'"kind":"ticket"' in data and key.fd in waiting:
                    waiting.discard(key.fd)
                    times.append(time.monotonic())
        print(json.dumps(times), flush=True)


def _handshake(port: int) -> socket.socket:
    connection = until(lambda: socket.create_connection(("127.0.0.1", port), timeout=SECONDS), "a connection")
    connection.sendall(f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        part = connection.recv(1)
        if not part:
            raise ConnectionError(answer.decode())
        answer += part
    if b" 101 " not in answer.split(b"\r\n")[0]:
        raise ConnectionError(answer.decode())
    return connection


def _many_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))


if __name__ == "__main__":
    if sys.argv[1] == "server":
        server(sys.argv[2])
    else:
        clients(*sys.argv[2:])
