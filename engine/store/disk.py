"""The disk of the data folder: whether it has enough room, and whether it caused a failure."""
import errno
import os
import re
from pathlib import Path

from engine.store.place import unwritable

LEAST_FREE = 256_000  # bytes; with less free, nothing new starts, because live runs need the rest for their results
_SPACE = re.compile(r"no space left on device|disk quota exceeded|the disk is full|database or disk is full", re.I)
_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


def trouble(database: Path) -> str | None:
    """A sentence if nothing new should start, because the folder of the database cannot take it, otherwise None."""
    data = database.parent
    try:
        status = os.statvfs(data)
    except OSError as error:
        return f"The data folder {data} cannot be read: {error.strerror}. Check the folder and its disk."
    free = status.f_bavail * status.f_frsize
    if free < LEAST_FREE:
        return f"The disk is full: {free // 1000} kB are free on {data}. Free some space; the engine then continues by itself."
    return unwritable(database)


def is_at_fault(what: BaseException | str) -> bool:
    """True if the disk caused this failure, so it is no ticket's fault."""
    if isinstance(what, OSError) and what.errno in _ERRNOS:
        return True
    return _SPACE.search(str(what)) is not None
