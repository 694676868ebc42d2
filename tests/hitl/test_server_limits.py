"""The server within its limits: who is slow, silent or one too many, and what the others notice of it. Small limits, real sockets."""
import fcntl
import os
import resource
import socket
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from conftest import HANG, until
from flask import Flask, Response, request
from held_load import LARGE, connect, get, half_head, held, part_of_body, rest
from serving import ask

from hitl.server import workers
from hitl.server.head import read_head
from hitl.server.limits import KEPT, OPEN, Limits
from hitl.server.server import Server

BIG = b"x" * 8_000_000  # more than the sockets of both sides hold


class Small:
    """A server of a small application whose /wait answers when it is told to."""

    def __init__(self, **limits: float) -> None:
        self.go, self.begun, self.left = threading.Event(), threading.Semaphore(0), list[int]()
        app = Flask("small")

        @app.get("/")
        def page() -> str:
            return "page"

        @app.get("/wait")
        def wait() -> str:
            self.begun.release()
            self.go.wait(HANG)
            return "done"

        @app.get("/big")
        def big() -> Response:
            return Response((BIG[:100_000] for _ in range(80)), headers={"Content-Length": str(len(BIG))})

        @app.get("/parts")
        def parts() -> Response:
            return Response(iter([b"one ", b"two"]))

        @app.get("/broken")
        def broken() -> Response:
            def content() -> Iterator[bytes]:
                yield b"one"
                raise ValueError("in the middle")
            return Response(content())

        @app.post("/")
        def read() -> str:
            return str(len(request.get_data()))

        self.server = Server(app, socket.create_server(("127.0.0.1", 0), backlog=1024), limits=Limits(**limits),  # type: ignore[arg-type]
                             leave=lambda: self.left.append(threading.get_ident()))
        self.port, self.lanes = self.server.port, self.server.lanes
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def answers(self) -> bool:
        return ask(self.port, "GET", "/")[2] == "page"


def small(**limits: float) -> AbstractContextManager[Small]:
    return serving(Small(**limits))


@contextmanager
def serving(made: Small) -> Iterator[Small]:
    made.thread.start()
    try:
        yield made
    finally:
        made.go.set()
        made.server.shutdown()
        made.thread.join(HANG)


def unsent(client: socket.socket) -> int:
    """Bytes that have not reached the other side yet. What was sent may come later than what another sent after it, on a busy machine."""
    return int.from_bytes(fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def test_a_full_room_closes_who_has_waited_longest_and_still_answers() -> None:
    with small(waiting=10) as server, held(server.port, 25, half_head(server.port)) as clients:
        assert [rest(client) for client in clients[:15]] == [b""] * 15, "closed before the head was there"
        assert server.answers()
        clients[-1].sendall(b"y\r\n\r\n")
        assert rest(clients[-1]).startswith(b"HTTP/1.1 200"), "who came last is served when its head is complete"


def test_a_request_that_has_come_is_never_closed_for_one_that_has_not() -> None:
    """All of them have come before the server looks for the first time."""
    server = Small(waiting=8)
    with held(server.port, 100), held(server.port, 100, get(server.port, "/")) as clients, held(server.port, 100):
        until(lambda: not any(map(unsent, clients)), what="the requests have come")
        with serving(server):
            assert {rest(client)[-4:] for client in clients} == {b"page"}


def test_silence_and_half_a_head_end_at_their_deadline_and_a_head_without_end_at_its_size() -> None:
    with small(head_seconds=0.2, head_bytes=5000) as server:
        assert rest(connect(server.port)) == b""
        assert rest(connect(server.port, half_head(server.port))) == b""
        assert rest(connect(server.port, half_head(server.port) + b"y" * 6000)) == b""


def test_slow_small_bodies_cost_no_thread_and_are_answered_when_they_are_complete() -> None:
    earlier = set(threading.enumerate())  # threads of other tests may end only now
    with small(answers=1) as server, held(server.port, 30, part_of_body(server.port, 10, "/")) as clients:
        assert server.answers() and len(set(threading.enumerate()) - earlier) < 30
        for client in clients:
            client.sendall(b"123456789")
        assert {rest(client)[-2:] for client in clients} == {b"10"}


def test_a_small_body_that_does_not_come_ends_at_its_deadline() -> None:
    with small(head_seconds=0.1, body_seconds=0.1) as server:
        assert rest(connect(server.port, part_of_body(server.port, 10, "/"))) == b""


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_who_finds_all_answers_and_the_queue_taken_gets_503_in_its_own_form_and_the_queue_is_answered_afterwards(accept: str) -> None:
    with small(answers=1, queue=2) as server, held(server.port, 3, get(server.port, "/wait")) as clients:
        assert server.begun.acquire(timeout=HANG)
        until(lambda: server.lanes.counts()["queue"] == 2)
        found, headers, body = ask(server.port, "GET", "/", headers={"Accept": accept})
        assert (found, headers["retry-after"]) == (503, "2") and headers["content-type"].startswith(accept)
        assert "Try again in a few seconds" in (body if accept == "text/html" else body["error"])
        server.go.set()
        assert {rest(client)[-4:] for client in clients} == {b"done"}
        until(lambda: sum(server.lanes.counts().values()) == 0)


def test_large_bodies_have_a_lane_of_their_own_whose_limit_others_do_not_notice() -> None:
    with small(uploads=2, answers=1) as server, held(server.port, 2, part_of_body(server.port, LARGE, "/")) as clients:
        until(lambda: server.lanes.counts()["uploads"] == 2)
        assert server.answers()
        assert ask(server.port, "POST", "/", b"y" * LARGE)[0] == 503, "the answer arrives although its body was not read"
        clients[0].sendall(b"y" * (LARGE - 1))
        assert rest(clients[0]).endswith(str(LARGE).encode())


def test_a_body_that_is_too_slow_as_a_whole_is_cut() -> None:
    with small(grace_seconds=0.2, least_rate=10**9) as server, held(server.port, 1, part_of_body(server.port, LARGE, "/")) as clients:
        assert b" 200 " not in rest(clients[0])
        until(lambda: server.lanes.counts()["uploads"] == 0)


def test_an_answer_that_nobody_reads_leaves_its_place_to_others() -> None:
    with small(answers=1) as server, held(server.port, 3, get(server.port, "/big"), small=True):
        until(lambda: server.lanes.counts()["downloads"] == 3)
        assert server.answers() and server.lanes.counts()["downloads"] == 3, "they hold none of the places for answers"


def test_an_answer_that_nobody_reads_is_cut_in_the_end() -> None:
    with small(grace_seconds=0.2, least_rate=10**9) as server, held(server.port, 3, get(server.port, "/big"), small=True) as clients:
        assert [client.recv(1) for client in clients] == [b"H"] * 3, "all have begun"
        until(lambda: sum(server.lanes.counts().values()) == 0)
        assert all(len(rest(client)) < len(BIG) for client in clients)


def test_one_slow_reader_too_many_costs_the_slowest_its_place() -> None:
    with small(downloads=1) as server, held(server.port, 1, get(server.port, "/big"), small=True) as clients:
        until(lambda: server.lanes.counts()["downloads"] == 1)
        with held(server.port, 1, get(server.port, "/big"), small=True) as others:
            received = rest(others[0])
        assert received.endswith(BIG[-1000:]) and len(received) > len(BIG)
        assert len(rest(clients[0])) < len(BIG)


def test_a_download_that_is_read_slowly_but_steadily_arrives_whole() -> None:
    with small(grace_seconds=0.5, least_rate=1_000) as server, held(server.port, 1, get(server.port, "/big"), small=True) as clients:
        assert len(rest(clients[0])) > len(BIG)


def test_a_stop_lets_a_complete_request_end_and_takes_no_new_one() -> None:
    with small() as server, held(server.port, 1, get(server.port, "/wait")) as clients, connect(server.port) as silent:
        assert server.begun.acquire(timeout=HANG)
        stopping = threading.Thread(target=server.server.shutdown)
        stopping.start()
        assert rest(silent) == b"", "who has sent nothing is closed"
        with pytest.raises(ConnectionRefusedError):
            connect(server.port)
        assert server.thread.is_alive()
        server.go.set()
        assert rest(clients[0]).endswith(b"done")
        stopping.join(HANG)
        server.thread.join(HANG)
        assert not server.thread.is_alive()


def test_a_stop_does_not_wait_for_ever() -> None:
    with small(drain_seconds=0.1) as server, held(server.port, 1, get(server.port, "/wait")):
        assert server.begun.acquire(timeout=HANG)
        server.server.shutdown()


def test_threads_that_are_not_needed_end_and_each_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.1)
    with small(answers=8) as server, held(server.port, 8, get(server.port, "/wait")) as clients:
        for _ in clients:
            assert server.begun.acquire(timeout=HANG)
        server.go.set()
        assert all(rest(client) for client in clients)
        until(lambda: len(server.left) == 8)
        assert len(set(server.left)) == 8 and server.answers()


@pytest.mark.parametrize(("sent", "ending"), [
    (b"GET /parts HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"), (b"GET /parts HTTP/1.0\r\n\r\n", b"\r\n\r\none two"),
    (b"GET / HTTP/1.1\nHost: x\n\n", b"\r\n\r\npage"), (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n\r\n"),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n", b"\r\n\r\n5"),
    (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n123", b"\r\n\r\n3"),
    (b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n3\r\none\r\n")])
def test_every_form_of_a_request_is_answered_once_and_the_connection_ends(sent: bytes, ending: bytes) -> None:
    with small() as server:
        received = rest(connect(server.port, sent))
        assert received.endswith(ending) and received.count(b"HTTP/1.1 200") == 1 and b"Connection: close" in received
        assert received.count(b"100 Continue") == (1 if b"100-continue" in sent else 0)


def test_where_a_head_ends_and_how_long_its_body_is() -> None:
    assert read_head(b"GET / HTTP/1.1\r\nX: y\r\n") is None
    for data, body, lane in ((b"GET / HTTP/1.1\r\n\r\n", 0, "answers"), (b"POST / HTTP/1.1\r\ncontent-length: 7\r\n\r\nz", 7, "answers"),
                             (b"POST / HTTP/1.1\nContent-Length:99999\n\n", 99999, "uploads"),
                             (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", None, "uploads"),
                             (b"GET /ws HTTP/1.1\r\nUpgrade: WebSocket\r\n\r\n", 0, "live")):
        head = read_head(data)
        assert head is not None and (head.body, head.lane(49152)) == (body, lane)
    assert read_head(b"A: b\r\n\r", 0) is None and read_head(b"A: b\r\n\r\n", 7) is not None, "an end that comes in two pieces is found"


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("descriptors", [1024, 4096, 65536])
def test_all_limits_together_leave_descriptors_for_the_engine(descriptors: int, tls: bool) -> None:
    limits, each = Limits.within(descriptors, tls), 3 if tls else 1
    assert (limits.waiting + limits.queue) * each + (limits.answers + limits.uploads + limits.downloads) * (OPEN + each - 1) \
        + limits.live * (each + 1) <= descriptors - KEPT
    assert min(limits.waiting, limits.queue, limits.answers, limits.uploads, limits.downloads, limits.live) > 0


def test_without_descriptors_it_waits_and_goes_on_when_there_are_some() -> None:
    with small() as server:
        assert server.answers()
        taken: list[int] = []
        try:
            with connect(server.port, get(server.port, "/")) as late:
                assert rest(late).endswith(b"page")
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            client = socket.socket()
            client.settimeout(HANG)
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
            try:
                while True:
                    taken.append(os.dup(0))
            except OSError:
                client.connect(("127.0.0.1", server.port))
                client.sendall(get(server.port, "/"))
            until(lambda: not server.server._listens, what="it has noticed, and does not spin")
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert rest(client).endswith(b"page")
            client.close()
        finally:
            for descriptor in taken:
                os.close(descriptor)
