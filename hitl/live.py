"""The WebSocket: it says what changed, never what it looks like.

    {"seq": 41, "kind": "ticket", "session": "…", "ticket": "TKT-002", "run": null, "from": "ready", "to": "claimed"}
    {"kind": "log", "ticket": "TKT-002", "run": "…", "size": 5120}      not in the journal: fetch from where you are
    {"kind": "reset"}                                                  the cursor cannot be continued: fetch everything anew
"""
import json
import re
import socket
import struct
import threading
import time
from typing import Any

from flask import Flask, current_app, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server  # type: ignore[import-untyped]
from wsproto.events import Ping

from engine import events
from engine.config import Config
from engine.db import Database
from engine.errors import BadRequest
from hitl import guard

PING_SECONDS = 20
SEND_SECONDS = 5    # a client that takes nothing for so long is dropped
FRESH_SECONDS = 0.2  # how long what was read of the journal counts: another process's commit rings no bell here
NUDGE_SECONDS = 0.1  # some clients overlook what comes with the answer to their handshake until more comes: a ping follows
LOG_SECONDS = 1.0   # how often the sizes of growing logs are looked at, and how often a silent peer's departure


def install(app: Flask) -> None:
    """Registers /ws?after=<seq>&session=<id>. Without `after` it begins now; without `session` it tells of all sessions."""
    app.config["LIVE_SEND_SECONDS"] = SEND_SECONDS
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": PING_SECONDS, "max_message_size": 1024}
    sock, tail = Sock(), Tail(app.extensions["swarm"].db)

    @app.before_request
    def before_the_handshake() -> None:
        if request.path == "/ws":
            guard.check_origin()
            _cursor()

    @sock.route("/ws")
    def ws(client: Server) -> None:
        swarm = current_app.extensions["swarm"]
        client.sock = Line(client.sock, current_app.config["LIVE_SEND_SECONDS"])
        try:
            Feed(client, swarm.db, swarm.config, swarm.changes, tail, request.args.get("session") or None).run(_cursor())
        except OSError:  # it reads nothing, or is gone: ending this thread's socket is all there is to do
            client.connected = False
            client.sock.shut()
        finally:
            swarm.db.close()

    sock.init_app(app)


def _cursor() -> int | None:
    text = request.args.get("after", "")
    if text and not re.fullmatch(r"\d{1,18}", text):
        raise BadRequest("after must be a whole number: the seq of the last message that was seen.")
    return int(text) if text else None


class Line:
    """The client's socket, with whole writes, one at a time, that give up after `seconds`. (The pinging thread writes, too.)"""

    def __init__(self, sock: socket.socket, seconds: int) -> None:
        self._sock, self._lock = sock, threading.Lock()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", seconds, 0))

    def send(self, data: bytes) -> int:
        with self._lock:
            self._sock.sendall(data)
        return len(data)

    def shut(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other side was first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class Tail:
    """The journal's end as text, read once for all the clients that stand at the same cursor: a thousand of them ask at the same moment."""

    def __init__(self, db: Database) -> None:
        self._db, self._lock = db, threading.Lock()
        self._kept: dict[tuple[int, str | None], list[tuple[int, str]]] = {}
        self._seen, self._read = -1, 0.0

    def since(self, after: int, session: str | None, seen: int) -> list[tuple[int, str]]:
        """[(seq, message)] after the cursor. seen: the count of commits that the caller has heard of; nothing of them is missed."""
        with self._lock:
            now = time.monotonic()
            if seen > self._seen or now - self._read > FRESH_SECONDS:
                self._kept, self._seen, self._read = {}, max(seen, self._seen), now
            if (after, session) not in self._kept:
                self._kept[after, session] = [(event["seq"], json.dumps(event, separators=(",", ":")))
                                              for event in events.since(self._db, after, session=session)]
            return self._kept[after, session]


class Feed:
    """What one client is told."""

    def __init__(self, client: Server, db: Database, config: Config, changes: events.Changes, tail: Tail,
                 session: str | None) -> None:
        self.client, self.db, self.config, self.changes, self.tail, self.session = client, db, config, changes, tail, session
        self.sizes: dict[str, int] = {}
        self.looked = 0.0

    def run(self, after: int | None) -> None:
        """Replays from the cursor, then follows, until the client goes."""
        oldest, newest = events.bounds(self.db)
        if after is not None and not oldest - 1 <= after <= newest:
            self.say({"kind": "reset"})
            after = None
        after = self.replay(newest if after is None else after, self.changes.count)
        time.sleep(NUDGE_SECONDS)
        self.client.sock.send(self.client.ws.send(Ping()))
        while self.client.connected:
            seen = self.changes.count
            after = self.replay(after, seen)
            self.look_at_logs()
            self.changes.wait(LOG_SECONDS, seen)

    def replay(self, after: int, seen: int) -> int:
        """Sends what the journal has after the cursor. -> the new cursor."""
        while found := self.tail.since(after, self.session, seen):
            for seq, text in found:
                self.send(text)
                after = seq
        return after

    def look_at_logs(self) -> None:
        if self.session is None or time.monotonic() - self.looked < LOG_SECONDS:
            return
        self.looked = time.monotonic()
        for run in self.db.all("select id, ticket_id from runs where session_id = ? and ended_at is null", (self.session,)):
            try:
                size = (self.config.data / "runs" / run["id"] / "log").stat().st_size
            except FileNotFoundError:
                continue
            if self.sizes.get(run["id"]) != size:
                self.sizes[run["id"]] = size
                self.say({"kind": "log", "ticket": run["ticket_id"], "run": run["id"], "size": size})

    def say(self, message: dict[str, Any]) -> None:
        self.send(json.dumps(message, separators=(",", ":")))

    def send(self, text: str) -> None:
        if not self.client.connected:
            raise ConnectionClosed()
        self.client.send(text)
