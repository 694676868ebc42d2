"""What SQLite reports, in the words of this product. Apart from the tree of errors because a run's own process has no use for sqlite3."""
import sqlite3

from engine.errors import SwarmError, Unavailable


def from_sqlite(error: sqlite3.Error) -> SwarmError:
    """What a failed statement means to the user. SQLITE_FULL and I/O errors are the disk's; BUSY and LOCKED pass by themselves."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary == sqlite3.SQLITE_FULL:
        failure = Unavailable("The disk is full; nothing was saved. Free some space and try again.", retry_after=30)
        failure.code = "storage_full"
    elif primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        failure = Unavailable(retry_after=1)
        failure.code = "storage_busy"
    elif primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT):
        failure = Unavailable("The database cannot be written; nothing was saved. Look at the disk that holds the data folder.", retry_after=30)
        failure.code = "storage_failed"
    else:
        return SwarmError()
    return failure
