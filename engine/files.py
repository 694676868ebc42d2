"""Small files, which are written whole or not at all; files that a sandbox wrote, which are read with a size limit; and the room on a disk."""
import errno
import json
import os
import stat
from pathlib import Path

from engine.errors import Permanent
from engine.text import cleaned

SMALL = 1 << 20  # bytes; the size limit for a small file that a sandbox wrote
LEAST_FREE = 256_000  # bytes; with less free, nothing new starts, because live runs need the rest for their results
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}  # of a disk, whoever uses it


def shortage(folder: Path, least: int = LEAST_FREE) -> str | None:
    """A sentence if the disk of this folder is full: less than `least` bytes are free. Otherwise None. Raises OSError if the folder cannot be read."""
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free < least:
        return f"The disk is full: {free // 1000} kB are free on {folder}. Free some space; the engine then continues by itself."
    if status.f_files and not status.f_favail:
        return f"The disk is full: {folder} has no room for more files. Remove some; the engine then continues by itself."
    return None


def write_json(path: Path, value: object) -> None:
    """Writes the whole file or nothing; it is on the disk when this returns: temporary file, fsync, rename, fsync of the folder.
    Never raises for what the value contains: what is no JSON is written as cleaned() leaves it."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(_encoded(value))
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    fsync_folder(path.parent)


def _encoded(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError):  # half an emoji, NaN, a loop
        return json.dumps(cleaned(value), ensure_ascii=False).encode()


def fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_foreign(path: Path, limit: int) -> int:
    """Opens a file that a sandbox wrote -> its descriptor. Raises Permanent unless it is a regular file, one link, at most `limit` bytes;
    OSError for trouble of the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise
        raise Permanent(f"The run left no {path.name} that can be read: {error.strerror}.") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_size > limit:
        os.close(descriptor)
        raise Permanent(f"The run left a {path.name} that is not a plain file of at most {limit // 1_000_000 or 1} MB.")
    return descriptor


def read_foreign(path: Path, limit: int = SMALL) -> bytes:
    """The bytes of a small file that a sandbox wrote. Raises Permanent, as open_foreign() does."""
    with os.fdopen(open_foreign(path, limit), "rb") as file:
        return file.read(limit + 1)[:limit]
