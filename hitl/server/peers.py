"""Which users of this machine the server answers. There is no login: who can connect to loopback can do everything that the server's user can.

The uid of a connection is that of its socket; headers count for nothing. It is looked up at accept, before a byte is read, and again before
a method that changes something: of a program that has closed its socket the kernel says uid 0."""
import os
import pwd
import socket

from flask import Flask, current_app, request

from engine.errors import Forbidden
from engine.host.socket_owner import owner
from engine.log import event
from hitl.server.admission import Connection, connection_of

ROOT = 0
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
SOCKETS = ("werkzeug.socket", "gunicorn.socket")  # where servers that are not ours put the connection
TOLD = 100  # users of whom the log says that they were refused; each one once


class Peers:
    """The users whose connections are answered: the server's own, root, and those of SWARM_LOCAL_USERS."""

    def __init__(self, local_users: tuple[str, ...]) -> None:
        self.everyone = "*" in local_users
        self.given = [int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid for user in local_users if user != "*"]
        self._told: set[int | None] = set()

    def own(self) -> list[int]:
        """The server's own user, and for root by sudo also who called sudo."""
        uid, by_sudo = os.geteuid(), os.environ.get("SUDO_UID", "")
        return [uid, int(by_sudo)] if uid == ROOT and by_sudo.isdecimal() and int(by_sudo) != ROOT else [uid]

    def admit(self, connection: Connection) -> str | None:
        """The Admission of the server."""
        if self.everyone:
            return None
        connection.uid = owner(connection.socket)
        return self.allow(connection.uid)

    def allow(self, uid: int | None) -> str | None:
        """None: the user is answered; else the sentence of the refusal. uid None: the kernel does not say."""
        if self.everyone or (uid is not None and uid in (ROOT, *self.own(), *self.given)):
            return None
        if uid not in self._told and len(self._told) < TOLD:
            self._told.add(uid)
            event("refused", uid="unknown" if uid is None else uid, setting=None if uid is None else self._setting(uid))
        if uid is None:
            return (f"{self._alone()}. The system does not say whose this connection is: its program has closed it or is in another network namespace."
                    " Keep it open until the answer comes.")
        return f"{self._alone()}; the request came from uid {uid}: {self._setting(uid)}."

    def check(self) -> None:
        """Before each request. Raises Forbidden."""
        if self.everyone:
            return
        connection = connection_of(request.environ)
        if connection is not None and request.method in SAFE_METHODS:
            return  # refused at accept, if at all
        used = connection.socket if connection else next((request.environ[name] for name in SOCKETS if name in request.environ), None)
        if used is None and current_app.testing:
            return  # Flask's test client has no connection
        if not isinstance(used, socket.socket):
            raise Forbidden(f"{self._alone()}, and the program that serves it does not show whose a connection is."
                            " Serve it by python app.py or gunicorn, or for every user of the machine: SWARM_LOCAL_USERS=*.")
        refused = self.allow(owner(used))
        if refused:
            raise Forbidden(refused)

    def described(self) -> str:
        """One sentence for the start."""
        if self.everyone:
            return "Every user of this machine can use it (SWARM_LOCAL_USERS=*)."
        users = [self._own(), *(["root"] if ROOT not in self.own() else []), *(f"uid {uid}" for uid in self.given)]
        return f"It answers its own user ({users[0]}){''.join(f' and {user}' for user in users[1:])} alone; for other users set SWARM_LOCAL_USERS."

    def _alone(self) -> str:
        return f"This server answers its own user ({self._own()}) alone"

    def _own(self) -> str:
        return " and ".join(f"uid {uid}" for uid in self.own())

    def _setting(self, uid: int) -> str:
        return f"SWARM_LOCAL_USERS={','.join(map(str, [*self.given, uid]))}"


def install(app: Flask, local_users: tuple[str, ...]) -> Peers:
    """Checks every request of the app before anything else does."""
    peers = Peers(local_users)
    app.before_request(peers.check)
    return peers
