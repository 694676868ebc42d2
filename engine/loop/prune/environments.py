"""Removes environments that no build has used for long, or the oldest while all of them are too large; and what killed runs left of one."""
import time

from engine.config import Config
from engine.environments import layers
from engine.host.folders import remove
from engine.log import event
from engine.repositories.rows import EnvironmentRow
from engine.store.db import Database

# Never one on which a build stands that goes on, or may go on.
FREE = ("select * from environments n where state = 'ready' and not exists (select 1 from tickets e join hitl_sessions s on s.id = e.session_id"
        " where e.environment = n.key and s.state in ('building', 'failed')) order by coalesce(used_at, built_at), seq")

# One that someone deleted, and on which no build stands any more.
DELETED = ("select 1 from environments where key = :key and state = 'removed' and not exists (select 1 from tickets e join hitl_sessions s"
           " on s.id = e.session_id where e.environment = :key and s.state in ('building', 'failed'))")


def prune_environments(db: Database, config: Config) -> int:
    """-> bytes of the removed environments. The rows stay, with the state removed."""
    _remove_leftovers(db, config)
    total = int(db.value("select coalesce(sum(bytes), 0) from (select key, max(bytes) as bytes from environments where state = 'ready' group by key)"))
    freed = 0
    for row in db.all(FREE, (), EnvironmentRow):
        old = db.value("select ? < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?)", (row["used_at"] or row["built_at"], f"-{config.keep_environment_days} days"))
        if (old or total - freed > config.keep_environment_mb * 1_000_000) and remove_environment(db, config, row["key"]):
            freed += row["bytes"] or 0
    return freed


def remove_environment(db: Database, config: Config, key: str) -> bool:
    """Removes a snapshot and says so in its rows. False: a run stands on it now."""
    if not layers.delete(config.data, key):
        return False
    with db.transaction():
        db.execute("update environments set state = 'removed' where key = ?", (key,))
    event("environment_removed", key=key)
    return True


def _remove_leftovers(db: Database, config: Config) -> None:
    """Removes unfinished snapshots of runs that are not live, those that someone deleted while a run or a build stood on them, and, after
    keep_environment_days, those that the database does not know."""
    alive = {row[0] for row in db.execute("select id from runs where ended_at is null")}
    for folder in layers.leftovers(config.data, alive):
        remove(folder)
    for folder in layers.root(config.data).glob("*/"):
        if len(folder.name) == 64 and (db.value(DELETED, {"key": folder.name}) or time.time() - folder.stat().st_mtime > config.keep_environment_days * 86400) \
                and db.value("select 1 from environments where key = ? and state = 'ready'", (folder.name,)) is None:
            layers.delete(config.data, folder.name)
