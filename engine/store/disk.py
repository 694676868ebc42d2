"""The disk under the data folder: is there room to work, and was a failure its doing?"""
import errno
import os
import re
from pathlib import Path

LEAST_FREE = 256_000  # bytes; with less nothing new is started: what runs needs the rest for its result
_SPACE = re.compile(r"no space left on device|disk quota exceeded|the disk is full|database or disk is full", re.I)
_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


def trouble(data: Path) -> str | None:
    """A sentence for people if nothing new should start, else None."""
    try:
        status = os.statvfs(data)
    except OSError as error:
        return f"The data folder {data} cannot be read: {error.strerror}."
    free = status.f_bavail * status.f_frsize
    if free < LEAST_FREE:
        return f"The disk is full: {free // 1000} kB are free on {data}. Free some space; the engine goes on by itself."
    return None


def is_at_fault(what: BaseException | str) -> bool:
    """True if this failure came from the disk: no ticket is to blame for it."""
    if isinstance(what, OSError) and what.errno in _ERRNOS:
        return True
    return _SPACE.search(str(what)) is not None
