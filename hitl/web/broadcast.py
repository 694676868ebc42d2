"""One thread sends committed events to all clients and never waits for any of them. A client that cannot take a message at once is left to its
own thread. That thread may wait, and the client joins the broadcast again when it has caught up."""
import json
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, Protocol

from engine.store import journal
from engine.store.db import Database

LOOK_SECONDS = 1.0  # a commit of another process gives no signal without a listening engine, so the journal is read this often


class ClientSocket:
    """A client's socket. Its writes are whole, happen one at a time, and give up after `seconds`. (The pinging thread also writes.)

    closed() is called when the reading thread has closed it, which is the last that this thread does: some of its earlier signals come before it has
    noted that the client is gone."""

    def __init__(self, sock: socket.socket, seconds: int, closed: Callable[[], None]) -> None:
        self._sock, self._lock, self._rest, self._closed = sock, threading.Lock(), b"", closed
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", seconds, 0))

    def send(self, data: bytes) -> int:
        """Sends the rest that offer() left over, then the data. Waits. Raises OSError."""
        with self._lock:
            rest, self._rest = self._rest, b""
            self._sock.sendall(rest + data)
        return len(data)

    def offer(self, data: bytes) -> bool:
        """Sends without waiting. False: nothing was sent. If only a part was sent, the next send() sends the rest first."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._rest:
                return False
            self._rest = data[self._sock.send(data, socket.MSG_DONTWAIT):]
            return True
        except OSError:  # full, or gone: its own thread will see which
            return False
        finally:
            self._lock.release()

    @property
    def is_stuck(self) -> bool:
        """Whether a part of a message still has to be sent."""
        return bool(self._rest)

    def shut(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other side has closed it already

    def close(self) -> None:
        self._sock.close()
        self._closed()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class Since(Protocol):
    """Gives the events after a cursor, as journal.since does."""

    def __call__(self, db: Database, after: int, *, session: str | None) -> list[dict[str, Any]]: ...


def with_progress(progress: Callable[[Database, str], int | None]) -> Since:
    """The journal's events; those about a session have its progress as it is now."""
    def since(db: Database, after: int, *, session: str | None) -> list[dict[str, Any]]:
        return [{**event, "progress": progress(db, event["session"])} if event["kind"] == "session" else event
                for event in journal.since(db, after, session=session)]
    return since


class Follower(Protocol):
    """A client that has all events up to a seq of the journal."""

    session: str | None
    socket: ClientSocket

    def left_behind(self, at: int) -> None:
        """The client has all events up to `at`, and the broadcast no longer sends it the next ones."""


class Broadcast:
    """Sends the journal's events to its followers, in order and each event once. Its thread runs while there are followers."""

    def __init__(self, db: Database, changes: journal.Changes, since: Since = journal.since) -> None:
        self._db, self._changes, self._since, self._lock = db, changes, since, threading.Lock()
        self._followers: dict[Follower, None] = {}
        self._at = 0
        self._thread: threading.Thread | None = None

    def join(self, follower: Follower, after: int) -> bool:
        """Adds a follower that has all events up to `after`. -> False if it must first catch up with the others."""
        with self._lock:
            if self._thread is None:
                self._at = journal.bounds(self._db)[1]
            if after < self._at:
                return False
            self._followers[follower] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="broadcast", daemon=True)
                self._thread.start()
            return True

    def leave(self, follower: Follower) -> None:
        with self._lock:
            self._followers.pop(follower, None)
        self._changes.ring()  # wakes the thread, which ends if this was the last follower

    def _run(self) -> None:
        seen = -1
        try:
            while self._tell():
                seen = self._changes.wait(LOOK_SECONDS, seen)
        finally:
            self._db.close()

    def _tell(self) -> bool:
        """Sends the new events -> whether there are followers."""
        with self._lock:
            newest = journal.bounds(self._db)[1] if self._followers else self._at
            if newest != self._at:
                said: dict[str | None, bytes] = {}
                for follower in list(self._followers):
                    if follower.session not in said:
                        said[follower.session] = self._frames(newest, follower.session)
                    self._hand(follower, said[follower.session], newest)
                self._at = newest
            if not self._followers:
                self._thread = None
            return self._thread is not None

    def _hand(self, follower: Follower, data: bytes, newest: int) -> None:
        taken = not data or follower.socket.offer(data)
        if not taken or follower.socket.is_stuck:
            del self._followers[follower]
            follower.left_behind(newest if taken else self._at)

    def _frames(self, newest: int, session: str | None) -> bytes:
        found, after = [], self._at
        while part := [event for event in self._since(self._db, after, session=session) if event["seq"] <= newest]:
            found += part
            after = part[-1]["seq"]
        return b"".join(frame(text(event)) for event in found)


def text(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))


def frame(message: str) -> bytes:
    """One unmasked text frame of a server (RFC 6455, section 5.2)."""
    data = message.encode()
    size = len(data)
    head = bytes((0x81, size)) if size < 126 else struct.pack("!BBH", 0x81, 126, size) if size < 65536 else struct.pack("!BBQ", 0x81, 127, size)
    return head + data
