"""Clients of the WebSocket that leave, at any moment: nothing of them stays behind, and nobody goes on sending to them."""
import socket
import struct
import threading

import pytest
from conftest import HANG, until
from live_clients import asked, connected, follows, names, started
from serving import served
from simple_websocket import ConnectionClosed, Server

PING = b"\x89\x00"  # the frame


@pytest.fixture
def port(app):
    with served(app) as port:
        yield port


def test_a_client_that_leaves_is_forgotten(app, port):
    before = set(threading.enumerate())
    client = connected(port)
    follows()
    client.close()
    with pytest.raises(ConnectionClosed):
        client.receive()
    until(lambda: not started(before), what="its threads are gone")


class Late(threading.Thread):
    """A thread that reads what a client sends, but has no turn before `turn` is set, as on a busy machine."""

    turn = threading.Event()

    def run(self):
        self.turn.wait(HANG)
        super().run()


def test_a_client_that_breaks_off_before_the_server_has_read_it_is_forgotten(app, port, monkeypatch):
    monkeypatch.setattr(Late, "turn", threading.Event())
    app.config["SOCK_SERVER_OPTIONS"] = {**app.config["SOCK_SERVER_OPTIONS"], "thread_class": Late}
    before = set(threading.enumerate())
    with socket.create_connection(("127.0.0.1", port), HANG) as raw:
        asked(raw, port)
        follows()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets the connection
    until(lambda: "broadcast" not in names(), what="nothing is sent to it any longer")
    Late.turn.set()
    until(lambda: not started(before), what="its threads are gone")


def test_a_client_that_says_too_much_is_forgotten_whenever_its_end_is_noted(app, port, monkeypatch):
    """The thread that reads it signals its end before it notes it."""
    handle = Server._handle_events

    def slowly(server):
        going_on = handle(server)
        if not going_on:
            until(lambda: not server.event.is_set(), what="the signal was seen")
        return going_on
    monkeypatch.setattr(Server, "_handle_events", slowly)
    before = set(threading.enumerate())
    with socket.create_connection(("127.0.0.1", port), HANG) as raw:
        asked(raw, port)
        received = b""
        while PING not in received:  # its own thread now waits for a signal
            received += raw.recv(1000)
        raw.sendall(b"\x81\xfe" + struct.pack("!HI", 2000, 0) + b"x" * 2000)
        until(lambda: not started(before), what="its threads are gone")
