"""The store: one SQLite file, one connection per thread, one writer at a time.

    db = open_database(config.database)
    with db.transaction():
        db.execute("update …")
    rows = db.all("select …")
"""
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import methodcaller
from pathlib import Path
from typing import Any, TypeVar, overload

from engine.errors import Refused
from engine.log import event
from engine.store.copies import sweep
from engine.store.damage import notices, secure, unknown_work
from engine.store.look import look
from engine.store.place import file_at, held, make_folder, refuse_over_work
from engine.store.restoring import settle
from engine.store.sqlite_errors import gone
from engine.store.upgrade import upgrade

BUSY_SECONDS = 10.0


Parameters = Sequence[Any] | Mapping[str, Any]
Row = TypeVar("Row")


class Database:
    """A database file and its connections. Any thread may use it: each thread gets its own connection.

    One lock in this process allows one writing transaction at a time, so threads queue here and not in SQLite's busy loop;
    other processes wait up to BUSY_SECONDS. After each commit that changed a row, the subscribers are called outside the lock."""

    def __init__(self, path: Path, synchronous: str = "FULL") -> None:
        self.path, self.synchronous = path, synchronous
        self.notices: list[str] = []  # sentences about what the start found
        self._file: tuple[int, int] | None = None  # device and inode of the file that was opened first
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
        """A new connection in autocommit mode: only transaction() opens transactions. Only the first connection may create the file."""
        self.check()
        mode = "rwc" if self._file is None else "rw"
        connection = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=BUSY_SECONDS,
                                     check_same_thread=False)
        if self._file is None:
            self._file = file_at(self.path)
        connection.row_factory = sqlite3.Row
        connection.text_factory = _text
        connection.execute("pragma foreign_keys = on")
        connection.execute("pragma wal_autocheckpoint = 8000")
        connection.execute("pragma temp_store = memory")  # a statement that changes 16 pages, as a claim does, would make a temporary file each time
        connection.execute(f"pragma synchronous = {self.synchronous}")
        return connection

    def check(self) -> None:
        """Raises Unavailable if the file that was opened is no longer at its path. SQLite would go on with a file that nobody finds again."""
        if self._file is not None and file_at(self.path) != self._file:
            raise gone(self.path)

    def all_notices(self) -> list[str]:
        """What people must know of this database: what the start found, and losses that nobody has dealt with."""
        return [*self.notices, *notices(self.path.parent)]

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
        """All rows. row: a TypedDict from engine/tickets/rows.py, which names the columns. Rows get their types only here;
        without `row` a row is a tuple, and its columns have no names."""
        return self.execute(sql, parameters).fetchall()

    @overload
    def one(self, sql: str, parameters: Parameters = ()) -> tuple[Any, ...] | None: ...
    @overload
    def one(self, sql: str, parameters: Parameters, row: type[Row]) -> Row | None: ...

    def one(self, sql: str, parameters: Parameters = (), row: type | None = None) -> Any:
        """The first row, or None. row: as in all()."""
        return self.execute(sql, parameters).fetchone()

    def the(self, sql: str, parameters: Parameters, row: type[Row]) -> Row:
        """The first row, which must be there. Raises LookupError."""
        found = self.one(sql, parameters, row)
        if found is None:
            raise LookupError(f"no row: {sql} {parameters}")
        return found

    def pairs(self, sql: str, parameters: Parameters = ()) -> dict[Any, Any]:
        """{first column: second column}"""
        return {row[0]: row[1] for row in self.execute(sql, parameters)}

    def value(self, sql: str, parameters: Parameters = ()) -> Any:
        """The first column of the first row, or None."""
        row = self.one(sql, parameters)
        return row[0] if row else None

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator["Database"]:
        """BEGIN IMMEDIATE … COMMIT; inside an open transaction of this thread it joins that one. Any exception rolls everything back.

        durable=False: the commit is visible at once, but does not wait for the disk at synchronous FULL. A power cut may undo it, but never
        a commit before it."""
        connection = self.connection
        if connection.in_transaction:
            yield self
            return
        with self._writer:
            before = connection.total_changes
            wait = durable or self.synchronous != "FULL"
            if not wait:
                connection.execute("pragma synchronous = normal")
            try:
                connection.execute("begin immediate")
                yield self
                self.check()  # only here, because nothing is in any file before
                connection.execute("commit")
            except BaseException as error:
                if connection.in_transaction:  # after a full disk or an I/O error, SQLite has rolled back already
                    connection.execute("rollback")
                if isinstance(error, sqlite3.OperationalError):
                    self.check()  # of a file that is gone, SQLite says that its disk fails
                raise
            finally:
                if not wait:
                    connection.execute("pragma synchronous = full")
        if connection.total_changes != before:
            self.notify()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Calls callback() after every commit of this process that changed a row. It must be quick and must not raise."""
        self._subscribers.append(callback)

    def notify(self) -> None:
        for callback in self._subscribers:
            callback()


# Text as read. A shell or another program may have written bytes that are not UTF-8; they must not make the whole row unreadable. Every text of every row
# comes through here, so it is no function of Python.
_text = methodcaller("decode", "utf-8", "replace")


def as_dict(row: Any) -> dict[str, Any]:
    """A row as a dict of all its columns. Uses zip, because dict(row) looks up each column by name, which is six times slower with many columns."""
    return dict(zip(row.keys(), row, strict=True))


def open_database(path: Path, synchronous: str = "FULL") -> Database:
    """Opens the database: creates the file, takes over an older form, or migrates it. Raises Refused for any other file, and leaves it unchanged."""
    if sqlite3.sqlite_version_info < (3, 37):
        raise Refused(f"SQLite {sqlite3.sqlite_version} is too old. Install 3.37 or newer, because the tables are STRICT.")
    make_folder(path)
    with held(path.parent):
        finished = settle(path)
        sweep(path.parent / "backups")
        cut = secure(path)
        found = look(path)
        if found.form == "new":
            refuse_over_work(path)
        db = Database(path, synchronous)
        try:
            if cut:
                db.execute("pragma wal_checkpoint(truncate)")
            if found.form != "ours":
                upgrade(path, db.connect, found)
            db.execute("pragma journal_mode = wal")
            db.notices = [sentence for sentence in (finished, unknown_work(path.parent, db.value)) if sentence]
        except sqlite3.Error as error:
            db.close()
            raise Refused(f"{path} cannot be prepared: {error}. The file was not changed.") from error
    for sentence in db.all_notices():
        event("storage_notice", logging.WARNING, notice=sentence)
    return db
