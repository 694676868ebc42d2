"""The folder of a database: one process at a time prepares it, this user can write it, and no new database is made over the work of another."""
import fcntl
import os
import pwd
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from engine.errors import Refused
from engine.store.columns import VERSION
from engine.store.copies import newest_copy

SUFFIXES = ("", "-wal", "-shm")  # of the files that together are one database


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def file_at(path: Path) -> tuple[int, int] | None:
    """(device, inode) of the file at a path, or None. A file that was moved there has another one."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Allows one process at a time: the others wait here and then find the work done. The lock is on the folder itself, so no file remains."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Makes the folder of a database. Raises Refused if it cannot be made, or if this user cannot write there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"The data folder {path.parent} cannot be created by the user {_user()}: {error.strerror}. "
                      "Create it for this user, or set SWARM_DATA to another folder.") from error
    sentence = unwritable(path)
    if sentence:
        raise Refused(sentence)


def unwritable(path: Path) -> str | None:
    """A sentence if this user cannot write the database, or cannot create files beside it, otherwise None."""
    if not _may(path.parent, os.R_OK | os.W_OK | os.X_OK):
        verb = "is read-only for" if _may(path.parent, os.R_OK | os.X_OK) else "cannot be opened by"
        return (f"The data folder {path.parent} {verb} the user {_user()}. Make it writable for this user, "
                "or set SWARM_DATA to another folder.")
    for file in (*(beside(path, suffix) for suffix in SUFFIXES), path.parent / "engine.lock"):
        if file.exists() and not _may(file, os.R_OK | os.W_OK):
            verb = "is read-only for" if _may(file, os.R_OK) else "cannot be opened by"
            return f"The file {file} {verb} the user {_user()}. Make it writable for this user."
    return None


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=True)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # such as a user of a container that has no name
        return str(os.geteuid())


def refuse_over_work(path: Path) -> None:
    """Raises Refused if there is no database at `path`, but its folder holds the work of one: a new, empty one would hide that."""
    found = [f"{count} {one if count == 1 else many}" for count, one, many in (
        (_folders(path.parent / "runs"), "run folder", "run folders"),
        (_folders(path.parent / "repos"), "repository", "repositories"),
        (int(beside(path, "-wal").exists() and beside(path, "-wal").stat().st_size > 0), "write-ahead log", "")) if count]
    copy = newest_copy(path.parent / "backups", VERSION)
    if found or copy:
        what = "is empty" if path.exists() else "is missing"
        holds = f"its folder holds the work of one ({', '.join(found)})" if found else "its folder holds backups of one"
        fresh = "runs/, repos/ and swarm.db-wal" if found else "backups/"
        raise Refused(f"The database {path} {what}, but {holds}. No new one was created. {restore_words(path, 'Restore')}; "
                      f"to begin with nothing, move {fresh} away, or set SWARM_DATA to another folder.")


def _folders(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    with closing(os.scandir(folder)) as entries:
        return sum(entry.is_dir(follow_symlinks=False) for entry in entries)


def restore_words(path: Path, verb: str) -> str:
    """'Restore …', naming the newest backup that this program can open."""
    copy = newest_copy(path.parent / "backups", VERSION)
    return f"{verb} {'the' if copy else 'a'} backup (make restore FILE={copy or '…'})"
