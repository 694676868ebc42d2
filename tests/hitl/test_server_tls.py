"""TLS with own certificate files: the same server behind it, and a pair of files that does not fit is refused at the start."""
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from conftest import HANG, require, until
from flask import Flask, Response, request
from held_load import connect, get, half_head, held, rest
from model_upstream import certificate
from running import Server as Program
from serving import application, served, serving
from serving import session as new_session
from simple_websocket import Client

from engine.config import ROOT, Config
from engine.errors import Refused
from hitl.server.admission import everyone
from hitl.server.limits import Limits
from hitl.server.server import Server
from hitl.server.tls import context_of

BIG = os.urandom(65536) * 128  # 8 MB


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate's file; its key is beside it."""
    require("openssl")
    return certificate(tmp_path_factory.mktemp("tls"), "localhost")


@contextmanager
def small(pair: Path, admit=everyone, **limits: float) -> Iterator[Server]:
    app = Flask("small")

    @app.get("/")
    def page() -> str:
        return request.scheme

    @app.get("/big")
    def big() -> Response:
        return Response(BIG)

    @app.post("/")
    def back() -> Response:
        return Response(request.get_data())

    with serving(Server(app, socket.create_server(("127.0.0.1", 0), backlog=1024), admit, Limits(**limits),  # type: ignore[arg-type]
                        tls=context_of(pair, pair.with_suffix(".key")))) as server:
        yield server


def trusting(pair: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(pair))


def ask(pair: Path, port: int, path: str = "/", body: bytes | None = None) -> tuple[int, bytes]:
    raw = socket.create_connection(("127.0.0.1", port), HANG)
    connection = HTTPSConnection("localhost", port, context=trusting(pair))
    connection.sock = trusting(pair).wrap_socket(raw, server_hostname="localhost")
    try:
        connection.request("GET" if body is None else "POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_requests_and_large_bodies_go_through_in_both_directions(pair: Path) -> None:
    with small(pair) as server:
        assert ask(pair, server.port) == (200, b"https")
        assert ask(pair, server.port, "/big") == (200, BIG)
        assert ask(pair, server.port, "/", BIG) == (200, BIG)


def test_who_says_nothing_or_shakes_half_a_hand_is_closed_and_the_others_are_answered(pair: Path) -> None:
    with small(pair, waiting=10, head_seconds=0.2) as server, held(server.port, 30), held(server.port, 3, b"\x16\x03\x01\x00\xff\x01") as halves:
        assert ask(pair, server.port) == (200, b"https")
        assert [rest(half) for half in halves] == [b""] * 3


def test_plain_http_is_told_to_use_https(pair: Path) -> None:
    with small(pair) as server:
        answer = rest(connect(server.port, get(server.port, "/")))
        assert answer.startswith(b"HTTP/1.1 400 ") and b"https://" in answer
        assert ask(pair, server.port) == (200, b"https")


def test_who_reads_nothing_holds_no_place_for_answers_and_is_cut_in_the_end(pair: Path) -> None:
    with small(pair, answers=1, downloads=3, grace_seconds=1.0, least_rate=10**9) as server, ExitStack() as stack:
        for _ in range(3):
            sock = stack.enter_context(trusting(pair).wrap_socket(connect(server.port, small=True), server_hostname="localhost"))
            sock.sendall(get(server.port, "/big"))
        assert ask(pair, server.port) == (200, b"https")
        until(lambda: server.lanes.counts()["downloads"] == 0)
        relay = server._relay
        assert relay is not None
        until(lambda: not relay._lines, what="the last bytes have their deadline, too")


def test_a_refusal_arrives_and_the_admission_had_the_clients_own_connection(pair: Path) -> None:
    with small(pair, lambda connection: f"not from {connection.peer[1]}") as server:
        status, body = ask(pair, server.port)
        assert status == 403 and json.loads(body)["error"].startswith("not from ")


def test_a_stop_lets_a_client_read_its_answer(pair: Path) -> None:
    with small(pair) as server, trusting(pair).wrap_socket(connect(server.port), server_hostname="localhost") as sock:
        sock.sendall(get(server.port, "/big"))
        assert sock.recv(12) == b"HTTP/1.1 200"
        reading = threading.Thread(target=server.shutdown)
        reading.start()
        assert rest(sock).endswith(BIG[-1000:])
        reading.join(HANG)


def test_a_websocket_hears_changes_and_each_side_may_speak_at_any_time(pair: Path, config: Config) -> None:
    app = application(replace(config, tls_cert=pair, tls_key=pair.with_suffix(".key")))
    with served(app) as port:
        raw = trusting(pair)
        client = Client(f"wss://localhost:{port}/ws?after=0", thread_class=partial(threading.Thread, daemon=True), ssl_context=raw)
        until(lambda: "broadcast" in {thread.name for thread in threading.enumerate()})
        app.testing = True
        for _ in range(50):
            client.send("x" * 100)
        made = new_session(app.test_client())
        heard = json.loads(client.receive(HANG))
        assert (heard["kind"], heard["session"]) == ("session", made["id"])
        client.close()
    app.extensions["swarm"].db.close()


@pytest.mark.parametrize(("given", "words"), [
    (("cert", None), "SWARM_TLS_KEY is not"), ((None, "key"), "SWARM_TLS_CERT is not"), (("absent", "key"), "absent cannot be read: No such file"),
    (("cert", "folder"), "folder cannot be read: Is a directory"), (("cert", "cert"), "SWARM_TLS_KEY: "), (("key", "key"), "SWARM_TLS_CERT: "),
    (("empty", "key"), "has not a certificate"), (("cert", "other"), "does not belong to"), (("cut", "key"), "cannot be used"),
    (("cert", "encrypted"), "is encrypted")])
def test_files_that_do_not_fit_or_cannot_be_read_are_refused_with_a_sentence(pair: Path, tmp_path: Path, given: tuple, words: str) -> None:
    files = {"cert": pair, "key": pair.with_suffix(".key"), "other": certificate(tmp_path, "other").with_suffix(".key"), "absent": tmp_path / "absent",
             "folder": tmp_path / "folder", "empty": tmp_path / "empty", "cut": tmp_path / "cut", "encrypted": tmp_path / "encrypted"}
    files["folder"].mkdir()
    files["empty"].touch()
    files["cut"].write_text(pair.read_text()[:200])
    subprocess.run(["openssl", "pkey", "-aes256", "-passout", "pass:x", "-in", str(files["key"]), "-out", str(files["encrypted"])], check=True)
    with pytest.raises(Refused) as refused:
        context_of(*(files[name] if name else None for name in given))
    assert words in refused.value.sentence and refused.value.sentence.endswith((".", ">."))


def test_the_program_serves_https_and_does_not_start_with_the_wrong_files(pair: Path, tmp_path: Path) -> None:
    key = str(pair.with_suffix(".key"))
    program = Program(tmp_path / "data", SWARM_TLS_CERT=str(pair), SWARM_TLS_KEY=key)
    try:
        assert program.url.startswith("https://127.0.0.1:")
        assert ask(pair, int(program.url.rpartition(":")[2]), "/static/shared/live.js")[0] == 200
        with held(int(program.url.rpartition(":")[2]), 1, half_head(1)):
            assert program.stop() == 0
    finally:
        program.process.kill()
    for command in (["app.py"], ["app.py", "--reload"], ["-m", "gunicorn", "app:create_app()"]):
        ended = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=HANG, env={
            **os.environ, "SWARM_DATA": str(tmp_path / "data2"), "SWARM_PORT": "0", "SWARM_TLS_CERT": str(pair),
            "SWARM_TLS_KEY": key if command != ["app.py"] else str(pair)})
        assert ended.returncode == 2 and "HITL Swarm does not start: " in ended.stderr and "Traceback" not in ended.stderr
