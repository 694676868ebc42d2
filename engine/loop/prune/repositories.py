"""Removes our own repositories of sessions whose result is elsewhere, by age and size. One that is the only copy of a result stays, whatever its age
and size: of a build without a repository of yours, and of one that failed, was cancelled, was not delivered or is still watched."""
import contextlib
import os
import random
import shutil
from pathlib import Path

from engine.config import Config
from engine.delivery import copies
from engine.errors import Transient
from engine.git.branches import repository_path
from engine.git.repository import Repository
from engine.log import event
from engine.store.db import Database
from engine.times import utc

REMOVED = ".removed"  # end of the name of a folder that is being removed
MOST = 20             # repositories in one round, because each remote is asked first


def prune_repositories(db: Database, config: Config) -> int:
    """Removes those that ended longer ago than keep_repository_days, the oldest first, and more while the rest of those that could go is larger than
    keep_repository_mb. -> bytes"""
    for left in (config.data / "repos").glob(f"*{REMOVED}"):  # by a process that was killed below
        shutil.rmtree(left, ignore_errors=True)
    sessions = [row for row in copies.delivered(db) if repository_path(config, row["id"]).is_dir()]
    sizes = {row["id"]: bytes_in(repository_path(config, row["id"])) for row in sessions}
    rest, freed, old, going = sum(sizes.values()), 0, utc(after=-config.keep_repository_days * 86400), []
    for row in sessions:
        if row["updated_at"] < old or rest > config.keep_repository_mb * 1_000_000:
            going.append(row)
            rest -= sizes[row["id"]]
    for row in random.sample(going, min(MOST, len(going))):  # others each time: the same ones may have to stay
        if copies.is_elsewhere(db, config, row["id"]) and _remove(db, config, row["id"]):
            freed += sizes[row["id"]]
    return freed


def _remove(db: Database, config: Config, session_id: str) -> bool:
    """False: it is busy, or the session goes on meanwhile. It is renamed first, so that a kill leaves no half of a repository."""
    repository = Repository(repository_path(config, session_id))
    try:
        with repository.locked(wait=1):
            if not copies.is_delivered(db, session_id):
                return False
            gone = repository.path.with_name(repository.path.name + REMOVED)
            os.rename(repository.path, gone)
            shutil.rmtree(gone, ignore_errors=True)
        repository.path.with_name(repository.path.name + ".lock").unlink(missing_ok=True)
    except Transient:
        return False
    event("repository_pruned", session=session_id)
    return True


def bytes_in(folder: Path) -> int:
    """Bytes in a folder; files that a worker removes meanwhile do not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
