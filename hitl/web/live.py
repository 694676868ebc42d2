"""The WebSocket: it says what changed. Clients fetch the new content over HTTP.

    {"seq": 41, "kind": "ticket", "session": "…", "ticket": "TKT-002", "run": null, "from": "ready", "to": "claimed"}
    {"seq": 42, "kind": "session", "session": "…", "ticket": null, "run": null, "from": "review", "to": "approved", "progress": 90}
    {"kind": "log", "ticket": "TKT-002", "run": "…", "size": 5120}      not in the journal: fetch the log from your offset
    {"kind": "reset"}                                                  the cursor cannot be continued: fetch everything again
"""
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from flask import Flask, current_app, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server  # type: ignore[import-untyped]
from wsproto.events import Ping
from wsproto.utilities import LocalProtocolError

from engine.config import Config
from engine.errors import BadRequest
from engine.store import journal
from engine.store.db import Database
from hitl.web import guard
from hitl.web.broadcast import Broadcast, ClientSocket, Since, text, with_progress
from hitl.web.context import Swarm, tenant
from hitl.web.numbers import whole_number

PING_SECONDS = 20
SEND_SECONDS = 5    # a client that reads nothing for this long is dropped
NUDGE_SECONDS = 0.1  # some clients overlook data that arrives with the handshake until more data comes, so a ping follows
LOG_SECONDS = 1.0   # how often the sizes of growing logs are checked
READERS = 2         # threads that read the database for all clients: a connection for each would cost 300 kB and three descriptors

Found = TypeVar("Found")


def install(app: Flask, progress: Callable[[Database, str], int | None]) -> None:
    """Registers /ws?after=<seq>&session=<id>&repository=<id>. Without `after` it starts with new events; without `session` it covers all sessions.
    It tells of growing logs of the session's runs, or of the repository's own and of those that fetch it for a session.

    progress(db, session id): the progress of a session, for the messages about sessions."""
    app.config["LIVE_SEND_SECONDS"] = SEND_SECONDS
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": PING_SECONDS, "max_message_size": 1024}
    parts: Swarm = app.extensions["swarm"]
    since = with_progress(progress)
    sock, broadcast, readers = Sock(), Broadcast(parts.db, parts.changes, since), ThreadPoolExecutor(READERS, "live-reader")

    @app.before_request
    def before_the_handshake() -> None:
        if request.path == "/ws":
            guard.check_origin()
            _cursor()
            request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)  # its compression would cost 300 kB a client, for messages of 100 bytes

    @sock.route("/ws")  # type: ignore[untyped-decorator]  # flask-sock has no types
    def ws(client: Server) -> None:
        client.sock = ClientSocket(client.sock, current_app.config["LIVE_SEND_SECONDS"], client.event.set)
        try:
            owner = Owner(request.args.get("session") or None, request.args.get("repository") or None, tenant())
            Feed(client, parts.db, parts.config, broadcast, readers, since, owner).run(_cursor())
        except (OSError, LocalProtocolError):  # the client reads nothing or is gone, so only the socket has to be closed
            client.connected = False
            client.sock.shut()
            client.thread.join(PING_SECONDS)  # the server closes the socket next, and a thread that had not seen its end would see none before its ping

    sock.init_app(app)


def _cursor() -> int | None:
    given = request.args.get("after", "")
    cursor = whole_number(given)
    if given and cursor is None:
        raise BadRequest("after must be a whole number: the seq of the last message that you received.")
    return cursor


class Owner(NamedTuple):
    """Whose runs a client follows. session: whose events it gets alone; None: all."""

    session: str | None
    repository: str | None
    tenant: str

    @property
    def is_one(self) -> bool:
        return bool(self.session or self.repository)


class Feed:
    """The events for one client. Its own thread first sends the events that it missed; then the broadcast sends new events. Threads that serve all
    clients read the database for it."""

    def __init__(self, client: Server, db: Database, config: Config, broadcast: Broadcast, readers: ThreadPoolExecutor, since: Since,
                 owner: Owner) -> None:
        self.client, self.db, self.config, self.broadcast, self.readers, self.since = client, db, config, broadcast, readers, since
        self.session, self.owner = owner.session, owner
        self.socket: ClientSocket = client.sock
        self.sizes: dict[str, int] = {}
        self.looked = 0.0
        self.behind: int | None = None  # the seq up to which the client has all events; None while the broadcast serves it

    def run(self, after: int | None) -> None:
        """Replays events from the cursor, then follows until the client disconnects."""
        oldest, newest = self.read(journal.bounds)
        if after is not None and not oldest - 1 <= after <= newest:
            self.say({"kind": "reset"})
            after = None
        self.behind = newest if after is None else after
        try:
            self.catch_up()
            time.sleep(NUDGE_SECONDS)
            if self.client.connected:
                self.socket.send(self.client.ws.send(Ping()))
            while self.client.connected:
                self.catch_up()
                self.look_at_logs()
                self.client.event.wait(LOG_SECONDS if self.owner.is_one else None)
                self.client.event.clear()
                self.client.input_buffer.clear()  # messages from clients have no meaning
        finally:
            self.broadcast.leave(self)

    def catch_up(self) -> None:
        while self.behind is not None and self.client.connected:
            self.socket.send(b"")
            after, self.behind = self.replay(self.behind), None
            if not self.broadcast.join(self, after):
                self.behind = after

    def left_behind(self, at: int) -> None:
        self.behind = at
        self.client.event.set()

    def replay(self, after: int) -> int:
        """Sends the journal's events after the cursor -> the new cursor: the end of the journal, even if its last events are for other sessions."""
        newest = self.read(journal.bounds)[1]
        while found := self.read(self.since, after, session=self.session):
            for event in found:
                self.say(event)
                after = event["seq"]
        return max(after, newest)

    def read(self, what: Callable[..., Found], *arguments: object, **options: object) -> Found:
        """what(db, …), in a thread that has a connection."""
        return self.readers.submit(what, self.db, *arguments, **options).result()

    def look_at_logs(self) -> None:
        if not self.owner.is_one or time.monotonic() - self.looked < LOG_SECONDS:
            return
        self.looked = time.monotonic()
        for run_id, ticket_id in self.read(_live_runs, self.owner):
            try:
                size = (self.config.data / "runs" / run_id / "log").stat().st_size
            except FileNotFoundError:
                continue
            if self.sizes.get(run_id) != size:
                self.sizes[run_id] = size
                self.say({"kind": "log", "ticket": ticket_id, "run": run_id, "size": size})

    def say(self, message: dict[str, Any]) -> None:
        if not self.client.connected:
            raise ConnectionClosed()
        self.client.send(text(message))


def _live_runs(db: Database, owner: Owner) -> list[tuple[Any, ...]]:
    if owner.session:
        return db.all("select id, ticket_id from runs where session_id = ? and tenant_id = ? and ended_at is null", (owner.session, owner.tenant))
    return db.all("select id, ticket_id from runs where owner_kind = 'repository' and owner = :repository and tenant_id = :tenant and ticket_id is null"
                  " and ended_at is null union all select r.id, r.ticket_id from runs r join hitl_sessions s on s.id = r.session_id"
                  " where s.repository_id = :repository and r.tenant_id = :tenant and r.kind in ('prepare', 'baseline') and r.ended_at is null",
                  {"repository": owner.repository, "tenant": owner.tenant})
