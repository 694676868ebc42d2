"""Rows of environments: what was made for a repository, when, and how large it is. Their files: engine/environments/layers.py."""
from collections.abc import Mapping
from typing import Any

from engine.repositories.rows import EnvironmentRow
from engine.store.db import Database
from engine.times import NOW


def record(db: Database, tenant: str, repository_id: str, sha256: str, commit: str, run_id: str, ground: Mapping[str, Any], ticket: str | None = None) -> None:
    """A snapshot that a run made or found. ground: of its result."""
    db.execute("insert into environments (tenant_id, repository_id, key, sha256, ticket_id, commit_sha, state, seconds, bytes, built_at, used_at, run_id)"
               f" values (?, ?, ?, ?, ?, ?, 'ready', ?, ?, {NOW}, {NOW}, ?) on conflict (tenant_id, repository_id, key) do update set state = 'ready',"
               " reason = null, seconds = excluded.seconds, bytes = excluded.bytes, used_at = excluded.used_at,"
               " built_at = iif(?, built_at, excluded.built_at), run_id = iif(?, run_id, excluded.run_id)",
               (tenant, repository_id, ground["key"], sha256, ticket, commit, ground.get("seconds"), ground.get("bytes"), run_id,
                bool(ground.get("reused")), bool(ground.get("reused"))))


def newest(db: Database, repository_id: str) -> EnvironmentRow | None:
    """The snapshot of the repository that was used last."""
    return db.one("select * from environments where repository_id = ? and ticket_id is null and state = 'ready' order by used_at desc, seq desc limit 1",
                  (repository_id,), EnvironmentRow)


def is_known(db: Database, repository_id: str, key: str) -> bool:
    """True if a snapshot was made or found for this repository, and not removed."""
    return db.value("select 1 from environments where repository_id = ? and key = ? and state = 'ready'", (repository_id, key)) is not None


def is_old(db: Database, repository_id: str, key: str, days: int) -> bool:
    """True if a known snapshot is older than `days`, so it is made again; 0: at any age it is not."""
    return bool(days) and db.value("select 1 from environments where repository_id = ? and key = ? and state = 'ready'"
                                   " and built_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?)", (repository_id, key, f"-{days} days")) is not None


def of_ticket(db: Database, ticket_id: str) -> tuple[str, ...]:
    """Keys of those that were made for a ticket's commits, the newest first."""
    return tuple(row[0] for row in db.all("select key from environments where ticket_id = ? and state = 'ready' order by used_at desc, seq desc limit 20",
                                          (ticket_id,)))


def of_merged(db: Database, session_id: str) -> tuple[str, ...]:
    """Keys of those that were made for what a session has merged, or for changes that wait for their merge, the newest first."""
    return tuple(row[0] for row in db.all(
        "select n.key from environments n join tickets t on t.id = n.ticket_id where t.session_id = ? and n.state = 'ready' and (t.type = 'epic'"
        " or t.status = 'completed' or exists (select 1 from runs r where r.ticket_id = t.id and r.state = 'queued' and r.ended_at is null))"
        " order by n.used_at desc, n.seq desc limit 20", (session_id,)))


def used(db: Database, repository_id: str, key: str) -> None:
    """Notes that a build begins to use a snapshot."""
    db.execute(f"update environments set used_at = {NOW} where repository_id = ? and key = ?", (repository_id, key))


def all_of(db: Database, repository_id: str) -> list[EnvironmentRow]:
    """All that were made and not removed, the newest first."""
    return db.all("select * from environments where repository_id = ? and state = 'ready' order by seq desc", (repository_id,), EnvironmentRow)
