"""Turns errors of SQLite into errors of this product. Not in errors.py, because the process of a run does not need sqlite3."""
import sqlite3

from engine.errors import SwarmError, Unavailable


def from_sqlite(error: sqlite3.Error) -> SwarmError:
    """The error for the user of a failed statement. SQLITE_FULL and I/O errors come from the disk; BUSY and LOCKED pass by themselves."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary == sqlite3.SQLITE_FULL:
        failure = Unavailable("The disk is full, so nothing was saved. Free some space and try again.", retry_after=30)
        failure.code = "storage_full"
    elif primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        failure = Unavailable(retry_after=1)
        failure.code = "storage_busy"
    elif primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT):
        failure = Unavailable("The database cannot be written, so nothing was saved. Check the disk of the data folder.", retry_after=30)
        failure.code = "storage_failed"
    else:
        return SwarmError()
    return failure
