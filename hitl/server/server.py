"""The server of `python app.py`, on a listener that is open already."""
import json
import socket
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from engine.errors import Forbidden
from hitl.server.admission import ENVIRON, Admission, Connection, admitted, everyone

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Handler(WSGIRequestHandler):
    """Answers one connection."""

    server: "Server"

    def make_environ(self) -> "WSGIEnvironment":
        return {**super().make_environ(), ENVIRON: self.server.connections[self.connection]}

    def run_wsgi(self) -> None:
        refused = self.server.connections[self.connection].refused
        if refused is None:
            super().run_wsgi()
            return
        body = json.dumps(Forbidden(refused).as_json()).encode()
        self.send_response(Forbidden.status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadedWSGIServer):
    """Serves the app on `listener`, which stays the caller's."""

    def __init__(self, app: Flask, listener: socket.socket, admit: Admission = everyone) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__(host, port, app, Handler, fd=listener.fileno())
        self.admit = admit
        self.connections: dict[Any, Connection] = {}

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted, address = self.socket.accept()
        self.connections[accepted] = admitted(accepted, address, self.admit)
        return accepted, address

    def shutdown_request(self, request: Any) -> None:
        self.connections.pop(request, None)
        super().shutdown_request(request)
