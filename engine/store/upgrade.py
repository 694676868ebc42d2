"""Brings a database file to this version: creates it, takes over an older form, or migrates it. One process at a time, after a backup."""
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
from engine.store.look import Found
from engine.store.migrations import migrate
from engine.store.older_form import OLD_TABLES, take_over

STOP_SECONDS = 2.0  # time that a stopping server may still need


def upgrade(path: Path, connect: Callable[[], sqlite3.Connection], found: Found) -> None:
    """Returns when the database at `path` has this version. connect: opens it. found: what look() says. The caller holds the folder.

    Raises Refused while a server of an earlier version runs its engine on this folder; Refused or sqlite3.Error when a step fails. The data
    is then as before, or as the last successful migration left it."""
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
                backup.unlink()  # nothing changed; a service that restarts again and again must not fill the disk
            raise
    event("upgraded", database=path, version=VERSION)


def _free_name(path: Path, version: int) -> Path:
    """data/backups/swarm-version-1-<UTC time>.db"""
    folder, name = path.parent / "backups", f"{path.stem}-version-{version}"
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (folder / f"{name}-{now}{f'-{number}' if number else ''}.db" for number in count())
    return next(target for target in names if not target.exists())


def _create(connection: sqlite3.Connection, before: str = "") -> None:
    """Runs schema.sql in one transaction. before: statements that run first, when the rows of older tables are taken over."""
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
    """Takes over the older form: renames its tables, creates those of schema.sql, and copies the rows."""
    connection.execute("pragma foreign_keys = off")
    connection.execute("pragma legacy_alter_table = on")
    _create(connection, "".join(f"alter table {name} rename to old_{name};\n" for name in OLD_TABLES))


@contextmanager
def _without_engine(folder: Path) -> Iterator[None]:
    """No engine runs on this folder, and none can start meanwhile. Raises Refused."""
    descriptor = os.open(folder / "engine.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + STOP_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise Refused(f"A server of an earlier version is running on {folder}. Stop it first; its live runs continue, and "
                                  "the new server takes them over.") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
