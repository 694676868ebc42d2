"""The store: one SQLite file, one connection per thread, one writer at a time.

    db = open_database(config.database)
    with db.transaction():
        db.execute("update …")
    rows = db.all("select …")
"""
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, overload

from engine.errors import Refused
from engine.store.look import look
from engine.store.upgrade import upgrade

BUSY_SECONDS = 10.0


Parameters = Sequence[Any] | Mapping[str, Any]
Row = TypeVar("Row")


class Database:
    """A path and how to reach it. Any thread may use it: each gets its own connection.

    In this process one lock lets one transaction write at a time, so that threads queue here and not in SQLite's busy loop;
    other processes wait up to BUSY_SECONDS. After each commit that changed a row the subscribers are called, outside the lock."""

    def __init__(self, path: Path, synchronous: str = "FULL") -> None:
        self.path, self.synchronous = path, synchronous
        self._local = threading.local()
        self._writer = threading.Lock()
        self._subscribers: list[Callable[[], None]] = []

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        known: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if known is None:
            known = self._local.connection = self.connect()
        return known

    def connect(self) -> sqlite3.Connection:
        """A new connection, in autocommit mode: transactions are only those of transaction()."""
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("pragma foreign_keys = on")
        connection.execute("pragma wal_autocheckpoint = 8000")
        connection.execute(f"pragma synchronous = {self.synchronous}")
        return connection

    def close(self) -> None:
        """Closes this thread's connection."""
        if hasattr(self._local, "connection"):
            self._local.connection.close()
            del self._local.connection

    def execute(self, sql: str, parameters: Parameters = ()) -> sqlite3.Cursor:
        return self.connection.execute(sql, parameters)

    @overload
    def all(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]: ...
    @overload
    def all(self, sql: str, parameters: Parameters, row: type[Row]) -> list[Row]: ...

    def all(self, sql: str, parameters: Parameters = (), row: type | None = None) -> list[Any]:
        """row: a TypedDict of engine/tickets/rows.py, which says what columns there are. The one place where rows get their
        types; without one a row is a tuple, and no column of it can be named."""
        return self.execute(sql, parameters).fetchall()

    @overload
    def one(self, sql: str, parameters: Parameters = ()) -> tuple[Any, ...] | None: ...
    @overload
    def one(self, sql: str, parameters: Parameters, row: type[Row]) -> Row | None: ...

    def one(self, sql: str, parameters: Parameters = (), row: type | None = None) -> Any:
        """The first row, or None; row: as all() takes it."""
        return self.execute(sql, parameters).fetchone()

    def the(self, sql: str, parameters: Parameters, row: type[Row]) -> Row:
        """The first row, which must be there. Raises LookupError."""
        found = self.one(sql, parameters, row)
        if found is None:
            raise LookupError(f"no row: {sql} {parameters}")
        return found

    def pairs(self, sql: str, parameters: Parameters = ()) -> dict[Any, Any]:
        """The first column to the second."""
        return {row[0]: row[1] for row in self.execute(sql, parameters)}

    def value(self, sql: str, parameters: Parameters = ()) -> Any:
        """The first column of the first row, or None."""
        row = self.one(sql, parameters)
        return row[0] if row else None

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator["Database"]:
        """BEGIN IMMEDIATE … COMMIT; joins the transaction that this thread has open. Any exception rolls all of it back.

        durable=False: it is seen at once, but at synchronous FULL does not wait for the disk; a power cut may take it back, and never
        anything that was committed before it."""
        connection = self.connection
        if connection.in_transaction:
            yield self
            return
        with self._writer:
            before = connection.total_changes
            wait = durable or self.synchronous != "FULL"
            if not wait:
                connection.execute("pragma synchronous = normal")
            connection.execute("begin immediate")
            try:
                yield self
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:  # a full disk or an I/O error has rolled back by itself
                    connection.execute("rollback")
                raise
            finally:
                if not wait:
                    connection.execute("pragma synchronous = full")
        if connection.total_changes != before:
            self.notify()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """callback() after every commit of this process that changed a row; it must be quick and must not raise."""
        self._subscribers.append(callback)

    def notify(self) -> None:
        for callback in self._subscribers:
            callback()


def as_dict(row: Any) -> dict[str, Any]:
    """A row with all its columns. Zipped, because dict(row) looks every column up by its name: with many columns that is six times slower."""
    return dict(zip(row.keys(), row, strict=True))


def open_database(path: Path, synchronous: str = "FULL") -> Database:
    """Creates the file, takes over an older form, or migrates. Raises Refused, with the file untouched, for anything else."""
    if sqlite3.sqlite_version_info < (3, 37):
        raise Refused(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed, because the tables are STRICT.")
    path.parent.mkdir(parents=True, exist_ok=True)
    found = look(path)
    db = Database(path, synchronous)
    try:
        if found.form != "ours":
            upgrade(path, db.connect)
        db.execute("pragma journal_mode = wal")
    except sqlite3.Error as error:
        db.close()
        raise Refused(f"{path} cannot be prepared: {error}. It was left as it was.") from error
    return db
