"""Keeps a damaged write-ahead log, and says what was lost until a person has dealt with it. Finds files that the database should know.

    damaged/<UTC time>/swarm.db-wal, swarm.db-shm    as they were found
    damaged/<UTC time>/what-was-lost.txt             the notice is shown while this file is there
"""
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.files import fsync_folder
from engine.store.copies import sync
from engine.store.place import beside, restore_words
from engine.store.wal import examine

TEXT = "what-was-lost.txt"
_looked: set[Path] = set()  # see examine(): later this process may have connections


def secure(path: Path) -> bool:
    """Looks at the write-ahead log once for each process and database. If something is lost: keeps the log and the notice.
    -> True if the log is still in use and must be written back and cut, so that nothing behind its readable part is met again.

    The caller holds the folder. Raises Refused if no state of the database is whole."""
    if path.absolute() in _looked or not path.exists() or path.stat().st_size == 0:
        return False
    _looked.add(path.absolute())
    loss = examine(path)
    if loss is None:
        return False
    folder = path.parent / "damaged" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = [beside(path, suffix) for suffix in ("-wal", "-shm") if beside(path, suffix).exists()]
    for file in files:
        shutil.copyfile(file, folder / file.name)
        sync(folder / file.name)
    (folder / TEXT).write_text(f"{loss.fact} The log is kept in {folder}. If you need what is missing: "
                               f"{restore_words(path, 'restore')}, or ask someone who knows SQLite.", encoding="utf-8")
    sync(folder / TEXT)
    for each in (folder, folder.parent, path.parent):
        fsync_folder(each)
    for file in files if loss.aside else ():
        os.unlink(file)
    return not loss.aside


def notices(data: Path) -> list[str]:
    """A sentence for each loss that nobody has dealt with yet, oldest first."""
    return [f"{file.read_text(encoding='utf-8')} To end this notice, move the folder away." for file in sorted((data / "damaged").glob(f"*/{TEXT}"))]


def unknown_work(data: Path, value: Callable[[str, tuple[str, ...]], Any]) -> str | None:
    """A sentence if there are run folders or repositories that the database does not know, because it is older than they are.
    value: the database's first column of the first row, or None."""
    runs = [path for path in (data / "runs").glob("TKT-*") if value("select 1 from runs where id = ?", (path.name,)) is None]
    repositories = [path for path in (data / "repos").glob("*.git") if value("select 1 from hitl_sessions where id = ?", (path.stem,)) is None]
    found = [f"{len(each)} {one if len(each) == 1 else many}" for each, one, many in (
        (runs, "run folder", "run folders"), (repositories, "repository", "repositories")) if each]
    if not found:
        return None
    return (f"{' and '.join(found)} in {data} {'is' if len(runs + repositories) == 1 else 'are'} not in the database. Either the database is older, "
            f"as after a restore, or rows were deleted. First: {(runs + repositories)[0]}. They stay there; restore a newer backup, or move them away.")
