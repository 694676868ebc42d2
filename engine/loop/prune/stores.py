"""Removes what runs share of a repository when no session needs it any more: files of base commits, and stores from which nobody borrows."""
import os
import time
from pathlib import Path

from engine.config import Config
from engine.errors import Transient
from engine.git.repository import Repository
from engine.host.folders import remove
from engine.log import event
from engine.store.db import Database
from engine.stores import store as stores
from engine.stores import trees

REMOVED = ".removed"  # end of the name of a folder that is being removed
NEEDED = ("select 1 from tickets e join hitl_sessions s on s.id = e.session_id where e.type = 'epic' and e.base_sha = ?"
          " and s.state in ('building', 'failed')")
BUILDING = "select 1 from hitl_sessions where repository_id = ? and state = 'building'"


def prune_stores(db: Database, config: Config) -> None:
    _prune_trees(db, config)
    for store in stores.stores_of(config.data).glob(f"*{REMOVED}"):
        remove(store)
    for path in stores.stores_of(config.data).glob("*.git"):
        if _is_old(path, config.keep_repository_days) and not db.value(BUILDING, (path.name.removesuffix(".git"),)):
            _remove_store(config, path)


def _prune_trees(db: Database, config: Config) -> None:
    """Removes trees that were unused for keep_environment_days, and earlier the ones unused for longest while all together are larger than
    keep_environment_mb. Never one of a build that goes on, or may go on."""
    alive = {row[0] for row in db.execute("select id from runs where ended_at is null")}
    folders = list(trees.root(config.data).glob("*/*"))
    for folder in folders:
        if folder.name.endswith(REMOVED) or (folder.name.endswith(".tmp") and folder.name.split(".")[1] not in alive):
            remove(folder)
    found = sorted((path for path in folders if (path / trees.ABOUT).exists()), key=_used)
    total = sum(trees.size_of(path) for path in found)
    for path in found:
        if (_is_old(path / trees.ABOUT, config.keep_environment_days) or total > config.keep_environment_mb * 1_000_000) and not db.value(NEEDED, (path.name,)):
            total -= trees.size_of(path)
            gone = path.with_name(path.name + REMOVED)
            os.rename(path, gone)
            remove(gone)
            event("tree_removed", tree=f"{path.parent.name}/{path.name}")


def _remove_store(config: Config, path: Path) -> None:
    """Does nothing if a session borrows from it, or a run uses it now."""
    store = Repository(path)
    try:
        with store.locked(wait=0):
            if stores.borrowers(config.data, path):
                return
            gone = path.with_name(path.name + REMOVED)
            os.rename(path, gone)
            remove(gone)
        path.with_name(path.name + ".lock").unlink(missing_ok=True)
    except Transient:
        return
    event("store_removed", store=path.name)


def _used(folder: Path) -> float:
    return (folder / trees.ABOUT).stat().st_mtime


def _is_old(path: Path, days: int) -> bool:
    return time.time() - path.stat().st_mtime > days * 86400
