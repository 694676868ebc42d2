"""Answers one request by the application, on the streams of its exchange."""
import io
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler

from engine.log import event
from hitl.server.admission import ENVIRON
from hitl.server.exchange import Exchange, Inlet, Move, Outlet
from hitl.server.head import LIVE

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

BUFFER = 65536


class Handler(WSGIRequestHandler):
    """Werkzeug reads the head and makes the environ. The rest is here: one answer for each connection, in writes that may change the lane."""

    protocol_version = "HTTP/1.1"
    server_version = "HITL-Swarm"
    sys_version = ""

    def __init__(self, exchange: Exchange, server: BaseWSGIServer, move: Move, stall: float) -> None:
        """stall: seconds that the client may send or take nothing."""
        self.exchange, self._move, self._stall = exchange, move, stall
        super().__init__(exchange.socket, exchange.connection.peer, server)

    def setup(self) -> None:
        self.connection = self.exchange.socket
        self.connection.settimeout(None if self.exchange.lane == LIVE else self._stall)
        self.rfile = io.BufferedReader(Inlet(self.exchange, self._move), BUFFER)
        self.wfile = Outlet(self.exchange, self._move, self._stall)

    def make_environ(self) -> "WSGIEnvironment":
        return {**super().make_environ(), ENVIRON: self.exchange.connection}

    def run_wsgi(self) -> None:
        self.environ = environ = self.make_environ()
        answer = _Answer(self)
        parts: Iterable[bytes] = ()
        try:
            parts = self.server.app(environ, answer.start)
            for part in parts:
                answer.write(part)
            answer.finish()
        except OSError as error:  # the client is gone, or too slow
            event("client_gone", logging.DEBUG, request=f"{self.command} {self.path}", why=error)
        except Exception as error:  # the outer edge of the request: the application has answered its own errors, so this one is in what it streams
            event("error", logging.ERROR, where=f"{self.command} {self.path}", error=f"{type(error).__name__}: {error}")
        finally:
            self.close_connection = True
            if hasattr(parts, "close"):
                parts.close()

    def log(self, type: str, message: str, *args: Any) -> None:
        """What clients do wrong is no event of the product."""
        logging.getLogger("werkzeug").debug(message, *args)


class _Answer:
    """start() and write() as PEP 3333 describes them. Without a length the body is sent in chunks."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._status, self._headers = "", list[tuple[str, str]]()
        self._begun = self._chunked = False

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if exc_info and self._begun:
            raise exc_info[1].with_traceback(exc_info[2])
        self._status, self._headers = status, headers
        return self.write

    def write(self, data: bytes) -> None:
        if self._is_taken():
            return
        self._begin()
        if data and self._handler.command != "HEAD":
            self._handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data)

    def finish(self) -> None:
        if self._is_taken():
            return
        self._begin()
        if self._chunked:
            self._handler.wfile.write(b"0\r\n\r\n")

    def _is_taken(self) -> bool:
        """A WebSocket has had its handshake: what flask-sock returns when it is over is no answer."""
        return self._handler.exchange.lane == LIVE and self._status.startswith("200")

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun, handler = True, self._handler
        code, _, words = self._status.partition(" ")
        names = {name.lower() for name, _ in self._headers}
        handler.send_response(int(code), words)
        for name, value in self._headers:
            handler.send_header(name, value)
        has_body = handler.command != "HEAD" and not code.startswith("1") and code not in ("204", "304")
        self._chunked = has_body and "content-length" not in names and handler.request_version >= "HTTP/1.1"
        if self._chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Connection", "close")
        handler.end_headers()
