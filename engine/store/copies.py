"""Makes a complete copy of a database, or no copy, while other processes read and write it."""
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from engine.errors import Refused
from engine.files import fsync_folder
from engine.store.columns import APPLICATION_ID

_HEADER = 100  # bytes; https://www.sqlite.org/fileformat2.html#the_database_header


def copy_whole(source: Path, target: Path) -> None:
    """VACUUM INTO a temporary file, fsync, rename. Raises Refused; then there is no target file."""
    if target.exists():
        raise Refused(f"{target} exists already.")
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _vacuum(source, part)
            check(part)
            sync(part)
            os.rename(part, target)
        finally:
            part.unlink(missing_ok=True)
        fsync_folder(target.parent)
        fsync_folder(target.parent.parent)
    except (sqlite3.Error, OSError) as error:
        raise Refused(f"The backup could not be written: {error}. {target} was not created.") from error


def _vacuum(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(source, timeout=10)) as connection:
        connection.execute("vacuum into ?", (str(target),))


def sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def check(path: Path) -> None:
    """Raises Refused unless the file is an undamaged SQLite database."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            answer = connection.execute("pragma integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        answer = str(error)
    if answer != "ok":
        raise Refused(f"{path} is damaged: {answer}. Take another backup.")


def newest_copy(folder: Path, version: int) -> Path | None:
    """The newest backup in `folder` that a program of this version can open, or None."""
    usable = [path for path in folder.glob("*.db") if 0 < _version(path) <= version]
    return max(usable, key=lambda path: (path.stat().st_mtime, path.name), default=None)


def _version(path: Path) -> int:
    """user_version from the file's header; 0 if the file is not a database of HITL Swarm."""
    with open(path, "rb") as file:
        header = file.read(_HEADER)
    return int.from_bytes(header[60:64], "big") if int.from_bytes(header[68:72], "big") == APPLICATION_ID else 0
