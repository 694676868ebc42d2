"""The whole application over a temporary database, for tests of what it answers. No engine runs."""
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from typing import Any

from conftest import HANG
from flask import Flask
from flask.testing import FlaskClient
from simple_websocket import Client

from app import create_app, http_server
from engine.config import Config

CARD = {"name": "Test", "features": [{"title": "F1", "description": "Feature 1"}, {"title": "F2", "depends_on": ["F1"]}], "checks": ["true"]}


def application(config: Config) -> Flask:
    return create_app(config, testing=True)


def session(client: FlaskClient, card: Any = CARD, approved: bool = False) -> dict[str, Any]:
    """A new session with a card, approved if asked for."""
    made = client.post("/api/hitl", json={"project_name": "Test", "spec_card": card})
    assert made.status_code == 201, made.json
    if approved:
        answer = client.post(f"/api/hitl/{made.json['id']}/approve", json={"spec_sha256": made.json["spec_sha256"]})
        assert answer.status_code == 200, answer.json
        return dict(answer.json)
    return dict(made.json)


def websocket(url: str, headers: dict[str, str] | None = None) -> Client:
    """A connected client whose thread does not keep a failed test run from ending."""
    return Client(url, headers=headers, thread_class=partial(threading.Thread, daemon=True))


@contextmanager
def served(app: Flask) -> Iterator[int]:
    """The product's own server on a port of its own -> the port."""
    with serving(http_server(app, socket.create_server(("127.0.0.1", 0), backlog=128))) as server:
        yield server.port


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """A server in a thread of its own, until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(HANG)


def ask(port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None,
        chunked: bool = False) -> tuple[int, dict[str, str], Any]:
    """Over a real connection -> (status, headers with small names, JSON or text)."""
    connection = HTTPConnection("127.0.0.1", port, timeout=HANG)
    try:
        connection.request(method, path, body, headers or {}, encode_chunked=chunked)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8")
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, json.loads(text) if found.get("content-type", "").startswith("application/json") else text
    finally:
        connection.close()
