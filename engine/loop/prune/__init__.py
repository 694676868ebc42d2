"""Removes old data: folders of old runs, ledgers of old sessions, the oldest part of the journal, a large write-ahead log, repositories whose
result is elsewhere. Never data of an open ticket."""
import shutil
import time

from engine.config import Config
from engine.errors import Transient
from engine.git.branches import repository_path, reviewed_ref
from engine.git.repository import Repository
from engine.log import event
from engine.loop.prune.environments import prune_environments
from engine.loop.prune.repositories import bytes_in, prune_repositories
from engine.loop.prune.stores import prune_stores
from engine.store.db import BUSY_SECONDS, Database
from engine.tickets.rows import RunRow

EVERY = 600.0            # seconds between two rounds
KEEP_EVENTS = 200_000    # of the journal; history and notes do not depend on it
WAL_BYTES = 32_000_000   # a larger write-ahead log is written back and cut
TERMINAL = "('completed', 'failed', 'cancelled')"


class _Ended(RunRow):
    old: int  # it ended longer ago than keep_days


def prune(db: Database, config: Config, wal_bytes: int = WAL_BYTES) -> int:
    """Removes old data. -> bytes of removed run folders. The rows of runs stay: outcome, checks and durations are the history."""
    _trim_journal(db)
    _shrink_wal(db, wal_bytes)
    freed = _prune_runs(db, config)
    _prune_ledgers(db, config)
    _remove_strangers(db, config)
    prune_repositories(db, config)
    prune_environments(db, config)
    prune_stores(db, config)
    return freed


def _prune_runs(db: Database, config: Config) -> int:
    """Removes run folders, oldest first: all that ended more than keep_days ago, and more while the rest is larger than keep_mb. Runs of open tickets
    stay; a run without a ticket may go once it has ended."""
    rows = db.all("select r.id, r.ticket_id, r.session_id, r.run_no, r.outcome, r.ended_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?) as old"
                  " from runs r left join tickets t on t.id = r.ticket_id"
                  f" where r.ended_at is not null and (r.ticket_id is null or t.status in {TERMINAL}) order by r.seq", (f"-{config.keep_days} days",), _Ended)
    sizes = {row["id"]: bytes_in(config.data / "runs" / row["id"]) for row in rows}
    total, freed = sum(sizes.values()), 0
    for row in rows:
        if not row["old"] and total - freed <= config.keep_mb * 1_000_000:
            break
        if sizes[row["id"]] and _forget_review(config, row):
            shutil.rmtree(config.data / "runs" / row["id"], ignore_errors=True)
            freed += sizes[row["id"]]
    if freed:
        event("pruned", bytes=freed)
    return freed


def _forget_review(config: Config, row: _Ended) -> bool:
    """Removes the ref of the reviewed commit together with its run. False: the repository is busy, so try another time."""
    if row["outcome"] != "in_review":
        return True
    repository = Repository(repository_path(config, row["session_id"]))
    if repository.path.is_dir():
        try:
            with repository.locked(wait=1):
                repository.delete_ref(reviewed_ref(row["ticket_id"], row["run_no"]))
        except Transient:
            return False
    return True


def _prune_ledgers(db: Database, config: Config) -> None:
    """Removes ledgers of sessions that ended more than keep_days ago, and of unknown sessions. The rows of runs have what they spent."""
    for folder in (config.data / "budgets").glob("*"):
        if time.time() - folder.stat().st_mtime < EVERY:
            continue
        kept = db.value("select not (state in ('completed', 'failed', 'cancelled') and updated_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?)"
                        " and not exists (select 1 from runs r where r.session_id = s.id and r.ended_at is null)) from hitl_sessions s where id = ?",
                        (f"-{config.keep_days} days", folder.name))
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_strangers(db: Database, config: Config) -> None:
    """Removes folders without a row after keep_days. Until then they show what a database does not know that was restored or has lost rows."""
    for folder in (config.data / "runs").glob("TKT-*"):
        if time.time() - folder.stat().st_mtime > config.keep_days * 86400 and db.value("select 1 from runs where id = ?", (folder.name,)) is None:
            shutil.rmtree(folder, ignore_errors=True)


def _trim_journal(db: Database) -> None:
    with db.transaction():
        db.execute("delete from events where seq <= (select max(seq) from events) - ?", (KEEP_EVENTS,))


def _shrink_wal(db: Database, wal_bytes: int) -> None:
    """SQLite reuses the log from its start when no reader needs an old state. While another program reads one, the log grows and cannot
    be cut; the log line says so (busy=1). Our own readers fetch all rows at once and hold nothing."""
    wal = db.path.with_name(db.path.name + "-wal")
    size = wal.stat().st_size if wal.exists() else 0
    if size > wal_bytes:
        db.execute("pragma busy_timeout = 100")  # do not block writers while another program reads
        busy = db.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
        db.execute(f"pragma busy_timeout = {int(BUSY_SECONDS * 1000)}")
        event("wal_checkpoint", bytes=size, busy=busy)
