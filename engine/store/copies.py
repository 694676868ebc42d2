"""Makes a complete copy of a database, or no copy, while other processes read and write it."""
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from engine.crash import point
from engine.errors import Refused
from engine.files import fsync_folder
from engine.store.columns import APPLICATION_ID

PART = ".swarm-part"  # the end of an unfinished copy's name: ours in any folder, so it can be removed there
_HEADER = 100  # bytes; https://www.sqlite.org/fileformat2.html#the_database_header


def copy_whole(source: Path, target: Path) -> None:
    """VACUUM INTO a temporary file, fsync, rename. Raises Refused; then there is no target file."""
    if target.exists():
        raise Refused(f"{target} exists already.")
    part = target.with_name(f".{target.name}{PART}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        with _writing(target.parent):
            try:
                _vacuum(source, part)
                point("backup-written")
                check(part)
                sync(part)
                os.rename(part, target)
            finally:
                part.unlink(missing_ok=True)
        fsync_folder(target.parent)
        fsync_folder(target.parent.parent)
    except (sqlite3.Error, OSError) as error:
        raise Refused(f"The backup could not be written: {error}. {target} was not created.") from error


def sweep(folder: Path) -> None:
    """Removes the unfinished copies of processes that were killed, unless a copy is being written there now."""
    parts = [path for pattern in (f".*{PART}*", "swarm-*.db.part*") for path in folder.glob(pattern)]
    if parts:
        with _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
            for part in parts if alone else ():
                part.unlink(missing_ok=True)


def _writing(folder: Path) -> AbstractContextManager[bool]:
    """While it is open, sweep() of other processes leaves the unfinished copies alone."""
    return _locked(folder, fcntl.LOCK_SH)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[bool]:
    """A lock on the folder itself, so that no file remains -> False if it cannot be had at once."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, how)
            held = True
        except BlockingIOError:
            held = False
        yield held
    finally:
        os.close(descriptor)


def _vacuum(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=10)) as connection:
        connection.execute("vacuum into ?", (str(target),))


def sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def check(path: Path) -> None:
    """Raises Refused unless the file is an undamaged SQLite database."""
    answer = soundness(path)
    if answer != "ok":
        raise Refused(f"{path} is damaged: {answer}. Take another backup.")


def soundness(path: Path) -> str:
    """'ok' for an undamaged SQLite database, otherwise what SQLite says."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return str(connection.execute("pragma integrity_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return str(error)


def newest_copy(folder: Path, version: int) -> Path | None:
    """The newest backup in `folder` that a program of this version can open, or None."""
    usable = [path for path in folder.glob("*.db") if 0 < _version(path) <= version]
    return max(usable, key=lambda path: (path.stat().st_mtime, path.name), default=None)


def _version(path: Path) -> int:
    """user_version from the file's header; 0 if the file is not a readable database of HITL Swarm."""
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER)
    except OSError:
        return 0
    return int.from_bytes(header[60:64], "big") if int.from_bytes(header[68:72], "big") == APPLICATION_ID else 0
