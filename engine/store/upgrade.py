"""A file that is not of this version made one that is: created, taken over, or migrated; by one process at a time, behind a backup."""
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

from engine.crash import point
from engine.errors import Refused
from engine.log import event
from engine.store.columns import APPLICATION_ID, VERSION, schema_sql
from engine.store.copies import copy_whole
from engine.store.look import Found, look
from engine.store.migrations import migrate
from engine.store.older_form import OLD_TABLES, take_over

STOP_SECONDS = 2.0  # that a server which was told to stop may still need to be gone


def upgrade(path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
    """Returns when the database at `path` is of this version. connect: opens it.

    Raises Refused while a server of an earlier version has its engine on this folder; Refused or sqlite3.Error when a step fails. What
    was there is then there as before, or as the last migration that succeeded left it."""
    with _held(path.parent):
        found = look(path)
        if found.form == "new":
            with closing(connect()) as connection:
                _create(connection)
        elif found.form != "ours":
            with _without_engine(path.parent):
                _behind_a_backup(path, connect, found)


def _behind_a_backup(path: Path, connect: Callable[[], sqlite3.Connection], found: Found) -> None:
    point("before-backup")
    backup = _free_name(path, found.version)
    copy_whole(path, backup)
    event("upgrading", database=path, version=found.version, to=VERSION, backup=backup)
    point("after-backup")
    with closing(connect()) as connection:
        try:
            if found.form == "older":
                _take_over(connection)
            else:
                migrate(connection, found.version)
        except (sqlite3.Error, Refused):
            if connection.execute("pragma user_version").fetchone()[0] == found.version:
                backup.unlink()  # nothing has changed: a service that starts again and again must not fill the disk
            raise
    event("upgraded", database=path, version=VERSION)


def _free_name(path: Path, version: int) -> Path:
    """data/backups/swarm-version-1-<UTC time>.db; copies that a crash cut off go."""
    folder, name = path.parent / "backups", f"{path.stem}-version-{version}"
    for part in folder.glob(f"{name}-*.part"):
        part.unlink()
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (folder / f"{name}-{now}{f'-{number}' if number else ''}.db" for number in count())
    return next(target for target in names if not target.exists())


def _create(connection: sqlite3.Connection, before: str = "") -> None:
    """schema.sql in one transaction. before: statements that make room for it; then there are rows to be taken over."""
    try:
        connection.executescript(f"begin immediate;\n{before}{schema_sql()}")
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        connection.execute(f"pragma user_version = {VERSION}")
        if before:
            take_over(connection)
        point("before-migrated")
        connection.execute("commit")
    finally:
        if connection.in_transaction:
            connection.execute("rollback")


def _take_over(connection: sqlite3.Connection) -> None:
    """The older form: its tables step aside for those of schema.sql, and their rows come over."""
    connection.execute("pragma foreign_keys = off")
    connection.execute("pragma legacy_alter_table = on")
    _create(connection, "".join(f"alter table {name} rename to old_{name};\n" for name in OLD_TABLES))


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """One process at a time: the others wait here, and then find it done. The lock is the folder's own, which leaves no file behind."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _without_engine(folder: Path) -> Iterator[None]:
    """Nobody has the engine of this folder, and nobody starts one meanwhile. Raises Refused."""
    descriptor = os.open(folder / "engine.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + STOP_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise Refused(f"A server of an earlier version is running on {folder}. Stop it first: what it has started goes on, and "
                                  "the new one takes it over.") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
