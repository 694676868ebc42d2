"""Who may connect: asked for each accepted connection, before a byte of it is read and before it costs a thread.

    def admit(connection: Connection) -> str | None: ...
    Server(app, listener, admit)

A request finds its connection in its WSGI environ: connection_of(request.environ)."""
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ENVIRON = "swarm.connection"


@dataclass
class Connection:
    """One accepted connection. The addresses are those that it had at accept; the client may have closed its end since."""

    socket: socket.socket  # as accepted; with TLS this is the encrypted side
    peer: tuple[str, int]  # address and port of the client
    here: tuple[str, int]  # our own address and port that it came to
    uid: int | None = None     # for an admission to note: the user that the connection belongs to
    refused: str | None = None  # what the admission said; every request of the connection is answered 403 with this sentence


Admission = Callable[[Connection], str | None]
"""-> None: welcome; a sentence: refused, the client gets it with 403. It runs in the thread that accepts: it must be quick and must not raise."""


def everyone(connection: Connection) -> str | None:
    """The admission that refuses nobody."""
    return None


def admitted(accepted: socket.socket, peer: tuple[Any, ...], admit: Admission) -> Connection:
    """The connection of a socket that accept() has just given, with the client's address, after the admission was asked."""
    connection = Connection(accepted, peer[:2], accepted.getsockname()[:2])
    connection.refused = admit(connection)
    return connection


def connection_of(environ: Mapping[str, Any]) -> Connection | None:
    """The connection that a request came by; None under a server that is not ours (gunicorn, a test client)."""
    found = environ.get(ENVIRON)
    return found if isinstance(found, Connection) else None
