"""Turns errors of SQLite into errors of this product. Not in errors.py, because the process of a run does not need sqlite3."""
import sqlite3
from pathlib import Path

from engine.errors import SwarmError, Unavailable
from engine.store import disk
from engine.store.place import restore_words, unwritable


def from_sqlite(error: sqlite3.Error, database: Path) -> SwarmError:
    """The error for the user of a failed statement. SQLITE_FULL and I/O errors come from the disk; BUSY and LOCKED pass by themselves."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary == sqlite3.SQLITE_FULL:
        return _unavailable("storage_full", "The disk is full, so nothing was saved. Free some space and try again.")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _unavailable("storage_busy", None, 1)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _unavailable("storage_damaged", f"The database {database} is damaged ({error}), so nothing was saved. "
                            f"Stop the server. {restore_words(database, 'Restore')}, and start the server again.")
    if primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        why = unwritable(database)
        if why:
            return _unavailable("storage_read_only", f"{why} Nothing was saved.")
        if not database.exists():
            return gone(database)
        return _unavailable("storage_failed", f"The database {database} cannot be written ({error}), so nothing was saved. "
                            "Check the disk of the data folder.")
    return SwarmError()


def gone(database: Path) -> Unavailable:
    """The error for whoever uses a database whose file was deleted or replaced under the server."""
    what = "was replaced by another file" if database.exists() else "is gone"
    return _unavailable("storage_gone", f"The database {database} {what} while the server was running, so nothing was saved. Stop the server. "
                        f"{'Put the right file there' if database.exists() else 'Put the file back'}, or "
                        f"{restore_words(database, 'restore')}. Then start the server again.")


def _unavailable(code: str, sentence: str | None, retry_after: int = 30) -> Unavailable:
    failure = Unavailable(sentence, retry_after=retry_after)
    failure.code = code
    return failure


def is_of_storage(error: Exception) -> bool:
    """True for what the database or the disk did, which passes or needs someone, and is no bug of what was being done."""
    return isinstance(error, sqlite3.OperationalError | Unavailable) or type(error) is sqlite3.DatabaseError or disk.is_at_fault(error)
