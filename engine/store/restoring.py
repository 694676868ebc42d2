"""Puts a copy in the place of a database, in steps between which a kill may come. The next start or restore finishes what was decided
and undoes what was not.

    restoring/swarm.db       the copy that is to be the database
    restoring/decided.json   written when the copy is complete and sound: from here on the restore goes forward only
"""
import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from itertools import count
from pathlib import Path

from engine.crash import point
from engine.errors import Refused
from engine.files import fsync_folder, write_json
from engine.store.columns import VERSION
from engine.store.copies import newest_copy, soundness, sync
from engine.store.look import look
from engine.store.place import SUFFIXES, beside
from engine.store.wal import examine

PLAN = "decided.json"


def put_back(path: Path, source: Path) -> Path | None:
    """Replaces the database at `path` with a copy of `source`. -> where the old one is kept, or None if there was none.

    The old database is moved and never opened, because it may be damaged. The caller holds the folder. Raises Refused with nothing replaced."""
    room = path.parent / "restoring"
    advice = "Nothing was replaced." + _another(path, source)
    _refuse_at_sight(path, source, advice)
    try:
        room.mkdir(mode=0o700)
        point("restore-begun")
        _copy(source, room / path.name, path.parent)
        point("restore-copied")
        _judge(room / path.name, source, advice)
        kept = _free(path.with_name(time.strftime(f"{path.stem}-before-restore-%Y%m%dT%H%M%SZ.db", time.gmtime())))
        write_json(room / PLAN, {"source": str(source), "kept": kept.name if path.exists() else None})
    except BaseException as error:
        shutil.rmtree(room, ignore_errors=True)
        if isinstance(error, OSError):
            raise Refused(f"{source} could not be copied: {error.strerror or error}. {advice}") from error
        raise
    point("restore-decided")
    return _go_on(path)


def settle(path: Path) -> str | None:
    """Finishes or undoes a restore that was stopped halfway -> a sentence about it, or None. The caller holds the folder."""
    room = path.parent / "restoring"
    if not room.exists():
        return None
    if (room / PLAN).exists():
        source = json.loads((room / PLAN).read_text(encoding="utf-8"))["source"]
        kept = _go_on(path)
        return (f"A restore of {source} was stopped halfway. It is finished now."
                + (f" The database before it is kept as {kept}." if kept else ""))
    begun = any(room.iterdir())
    shutil.rmtree(room)
    return "A restore was stopped before it replaced anything. The database is as it was before." if begun else None


def _go_on(path: Path) -> Path | None:
    """From the decision to the end, as far as it is not done yet."""
    room = path.parent / "restoring"
    name = json.loads((room / PLAN).read_text(encoding="utf-8"))["kept"]
    kept = None if name is None else path.with_name(name)
    new = room / path.name
    if new.exists():  # then what stands at `path` is still the old database
        for suffix in reversed(SUFFIXES):
            old = beside(path, suffix)
            if old.exists():
                os.rename(old, _free(beside(kept or path.with_name(f"{path.stem}-before-restore.db"), suffix)))
                point("restore-moved")
        fsync_folder(path.parent)
        os.rename(new, path)
        fsync_folder(path.parent)
        point("restore-placed")
    (room / PLAN).unlink()
    shutil.rmtree(room)  # nothing of it matters any more
    return kept


def _refuse_at_sight(path: Path, source: Path, advice: str) -> None:
    """Raises Refused for a source that need not be opened to know that it is no backup."""
    if not source.exists():
        raise Refused(f"There is no file {source}. {advice}")
    if not source.is_file():
        raise Refused(f"{source} is not a file. {advice}")
    if path.exists() and source.samefile(path):
        raise Refused(f"{source} is the database itself. {advice}")
    if source.stat().st_size == 0:
        raise Refused(f"{source} is empty. {advice}")


def _copy(source: Path, target: Path, folder: Path) -> None:
    """Copies all files of a database, for this user alone; as root: for the owner of the data folder."""
    owner = folder.stat()
    for suffix in SUFFIXES:
        if beside(source, suffix).exists():
            copy = beside(target, suffix)
            os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            shutil.copyfile(beside(source, suffix), copy)
            if os.geteuid() == 0:
                os.chown(copy, owner.st_uid, owner.st_gid)


def _judge(copy: Path, source: Path, advice: str) -> None:
    """Raises Refused unless the copy is sound, a database of ours, and of a version that this program knows. Makes it one file."""
    try:
        loss = examine(copy)
    except Refused as refused:
        raise Refused(f"{refused.sentence.partition(' They were not changed.')[0].replace(str(copy), str(source))} {advice}") from refused
    if loss is not None and not loss.harmless:
        raise Refused(f"{loss.fact.replace(str(copy), str(source))} To restore {source.name} without its log, move the log away first. {advice}")
    if loss is not None:
        beside(copy, "-wal").unlink()
    if look(copy, called=source, advice=advice).form == "new":
        raise Refused(f"{source} is empty: it has no tables. {advice}")
    answer = soundness(copy)
    if answer != "ok":
        raise Refused(f"{source} is damaged: {answer}. {advice}")
    try:
        with closing(sqlite3.connect(copy)) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
    except sqlite3.Error as error:
        raise Refused(f"{source} is damaged: {error}. {advice}") from error
    for suffix in SUFFIXES[1:]:
        beside(copy, suffix).unlink(missing_ok=True)
    sync(copy)
    fsync_folder(copy.parent)


def _another(path: Path, source: Path) -> str:
    copy = newest_copy(path.parent / "backups", VERSION)
    better = copy is not None and not (source.exists() and copy.samefile(source))
    return f" Name another backup: make restore FILE={copy if better else 'data/backups/….db'}"


def _free(path: Path) -> Path:
    """The path itself, or with a number if it is taken."""
    names = (path if not number else path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count())
    return next(name for name in names if not name.exists())
