"""While clients hold the server's connections, others are answered and the engine goes on; afterwards its memory is what it was."""
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from conftest import until
from held_load import LARGE, get, half_head, held, part_of_body, rest, status, websocket_head
from running import CARD, Server

LOADS = ("half heads", "silence", "WebSockets", "slow bodies", "slow large bodies", "downloads")
ENOUGH = 16_000_000  # bytes: more than the sockets of both sides hold


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("load") / "data", SWARM_POLL_SECONDS="0.05", SWARM_RUNTIME="process")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def download(server: Server) -> str:
    """The path of a large answer."""
    session = server.session(CARD)
    until(lambda: server.state(session) == "completed")
    run = server.sqlite("select id from runs where kind = 'feature'")[0][0]
    with open(server.data / "runs" / run / "log", "ab") as log:
        log.write(b"a line of a log\n" * (ENOUGH // 16))
    return f"/tickets/TKT-002/log.txt?run={run}"


def port(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


def memory(server: Server) -> int:
    lines = Path("/proc", str(server.process.pid), "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def threads(server: Server) -> int:
    return len(list(Path("/proc", str(server.process.pid), "task").iterdir()))


def ticks(server: Server, count: int) -> None:
    """Waits for so many ticks of the engine that were not there before."""
    seen, answered = 0, time.monotonic()
    while seen < count:
        asked = time.monotonic()
        found, health = server.call("/api/health")
        assert found == 200
        if health["last_tick_age"] < asked - answered:  # it was after the answer before
            seen += 1
        else:
            time.sleep(0.01)
            continue
        answered = time.monotonic()


def load(server: Server, what: str, download: str) -> AbstractContextManager[list]:
    at = port(server)
    return {"half heads": lambda: held(at, 2000, half_head(at)), "silence": lambda: held(at, 2000),
            "WebSockets": lambda: held(at, 200, websocket_head(at)), "slow bodies": lambda: held(at, 50, part_of_body(at)),
            "slow large bodies": lambda: held(at, 50, part_of_body(at, LARGE)), "downloads": lambda: held(at, 20, get(at, download), small=True)}[what]()


@pytest.fixture(scope="module")
def idle(server: Server, download: str) -> int:
    """kB of the server that has answered some requests and holds nothing."""
    for path in ("/api/health", "/", "/sessions") * 3:
        status(port(server), path)
    return memory(server)


@pytest.mark.parametrize("what", LOADS)
def test_others_are_answered_and_the_engine_ticks_while_the_load_is_held(server: Server, download: str, idle: int, what: str) -> None:
    with load(server, what, download) as clients:
        assert status(port(server), "/api/health") == 200
        assert status(port(server), "/") == 200
        ticks(server, 3)
        if what == "downloads":
            assert {sock.recv(12) for sock in clients} == {b"HTTP/1.1 200"}
        if what == "WebSockets":
            until(lambda: threads(server) > 400, what="all have their two threads")
        assert server.process.poll() is None
    until(lambda: threads(server) < 20, what="the threads of the load have ended")
    until(lambda: memory(server) <= 1.5 * idle, what=f"its memory is back, from {idle} kB")


def test_with_1024_descriptors_950_silent_connections_leave_room_for_others_and_for_a_build(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", before="ulimit -n 1024;", SWARM_POLL_SECONDS="0.05", SWARM_RUNTIME="process")
    try:
        with held(port(server), 950), held(port(server), 200, websocket_head(port(server))) as sockets:
            assert status(port(server), "/") == 200
            ticks(server, 3)
            session = server.session(CARD)
            until(lambda: server.state(session) == "completed", what="the engine has descriptors for a build")
            assert {sock.recv(12) for sock in sockets} == {b"HTTP/1.1 101"}, "who asks at once is served, however many are silent"
        assert "Too many open files" not in server.log.read_text()
    finally:
        server.stop()


def test_a_stop_answers_what_is_complete_and_a_stopped_server_leaves_no_client_waiting(server: Server, tmp_path: Path) -> None:
    other = Server(tmp_path / "data")
    with held(port(other), 3, websocket_head(port(other))) as sockets, held(port(other), 3) as silent:
        assert {sock.recv(12) for sock in sockets} == {b"HTTP/1.1 101"}
        assert other.stop() == 0
        for sock in [*sockets, *silent]:
            rest(sock)
