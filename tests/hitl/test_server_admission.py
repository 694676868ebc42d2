"""Who may connect is asked once for each connection, before a byte of it is read; a request finds its connection in its environ."""
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from conftest import HANG, until
from flask import Flask, jsonify, request
from serving import ask, serving

from hitl.server.admission import Admission, Connection, connection_of
from hitl.server.server import Server


@contextmanager
def small(admit: Admission) -> Iterator[int]:
    app = Flask("small")

    @app.route("/", methods=["GET", "POST"])
    def seen() -> object:
        connection = connection_of(request.environ)
        assert connection is not None
        return jsonify(peer=connection.peer, here=connection.here, uid=connection.uid, open=connection.socket.fileno() >= 0)

    with serving(Server(app, socket.create_server(("127.0.0.1", 0)), admit)) as server:
        yield server.port


def test_it_is_asked_before_a_byte_is_sent_and_the_request_finds_what_it_noted() -> None:
    asked: list[Connection] = []

    def admit(connection: Connection) -> None:
        connection.uid = 7
        asked.append(connection)

    with small(admit) as port, socket.create_connection(("127.0.0.1", port)) as silent:
        until(lambda: asked)
        assert asked[0].peer == silent.getsockname() and asked[0].here == ("127.0.0.1", port)
        status, _, found = ask(port, "GET", "/")
        assert (status, found["uid"], found["here"], found["open"]) == (200, 7, ["127.0.0.1", port], True)
        assert found["peer"] == list(asked[1].peer) and len(asked) == 2


def test_a_connection_that_is_refused_is_answered_403_with_the_sentence_and_the_application_sees_nothing_of_it() -> None:
    with small(lambda connection: "This server answers its own user alone.") as port:
        for method in ("GET", "POST"):
            status, headers, body = ask(port, method, "/", b"{}" if method == "POST" else None)
            assert (status, headers["content-type"]) == (403, "application/json")
            assert body == {"error": "This server answers its own user alone.", "code": "forbidden"}


def test_an_admission_that_breaks_costs_its_connection_and_not_the_server() -> None:
    def admit(connection: Connection) -> None:
        if len(asked) == 1:
            raise LookupError("a bug")
    asked = [1]
    with small(admit) as port:
        with socket.create_connection(("127.0.0.1", port), HANG) as first:
            assert first.recv(1) == b""
        asked.clear()
        assert ask(port, "GET", "/")[0] == 200


def test_under_another_server_there_is_no_connection_to_find() -> None:
    assert connection_of({}) is None
