"""Databases of a size, filled by SQL: tickets that are ready or done, of one tenant or of many."""
import shutil
import sqlite3
from pathlib import Path

from engine.store.db import Database, open_database

NUMBERS = "with recursive numbers (n) as (select 0 union all select n + 1 from numbers where n + 1 < :count)"
BUILDING = ("insert into hitl_sessions (id, tenant_id, project_name, state) select 's' || n, printf('tenant-%04d', n % :tenants), 'Bench', 'building'"
            " from numbers")
# An epic that runs, and a ticket of its own that waits for a person: no build ends under the measurement.
EPICS = ("insert into tickets (id, session_id, tenant_id, type, title, status, base_sha, branch_name)"
         " select 'E' || n, 's' || n, printf('tenant-%04d', n % :tenants), 'epic', 'Epic', 'running', 'b', 'swarm/b' from numbers")
WAITING = ("insert into tickets (id, session_id, tenant_id, type, title, status, parent_id)"
           " select 'W' || n, 's' || n, printf('tenant-%04d', n % :tenants), 'feature', 'Waits', 'needs_input', 'E' || n from numbers")
FEATURES = ("insert into tickets (id, session_id, tenant_id, type, title, description, status, parent_id, position, run_no)"
            " select printf(:prefix || '%07d', n), 's' || (n * :sessions / :count), printf('tenant-%04d', (n * :sessions / :count) % :tenants),"
            " 'feature', 'Feature ' || n, 'What it is to do', :status, 'E' || (n * :sessions / :count), n + 1, :status = 'completed' from numbers")
RUNS = ("insert into runs (id, ticket_id, session_id, kind, state, claim_token, claimed_by, run_no, outcome, started_at, ended_at)"
        " select id || '-1-abcdef', id, session_id, 'feature', 'ended', 'abcdef', 'bench', 1, 'merged', created_at, updated_at"
        " from tickets where status = 'completed'")


def filled(path: Path, ready: int, done: int = 0, tenants: int = 1, synchronous: str = "NORMAL") -> Database:
    """A database with so many ready and completed features; the completed ones have had their run, the journal is pruned."""
    db = open_database(path, synchronous)
    connection = db.connection
    sessions = max(tenants, (ready + done) // 1000, 1)
    triggers = [row[0] for row in db.execute("select sql from sqlite_schema where type = 'trigger'")]
    connection.execute("pragma synchronous = off")
    connection.execute("pragma foreign_keys = off")
    drop_triggers(connection)
    with db.transaction():
        for sql in (BUILDING, EPICS, WAITING):
            _fill(db, sql, sessions, {"tenants": tenants})
        for prefix, count, status in (("D", done, "completed"), ("R", ready, "ready")):
            if count:
                _fill(db, FEATURES, count, {"tenants": tenants, "sessions": sessions, "prefix": prefix, "status": status})
        db.execute(RUNS)
    for sql in triggers:
        db.execute(sql)
    connection.execute("pragma foreign_keys = on")
    connection.execute(f"pragma synchronous = {synchronous}")
    db.execute("pragma wal_checkpoint(truncate)")
    return db


def _fill(db: Database, sql: str, count: int, parameters: dict) -> None:
    into, _, rest = sql.partition(" select ")
    db.execute(f"{into} {NUMBERS} select {rest}", {"count": count, **parameters})


def drop_triggers(connection: sqlite3.Connection) -> None:
    for (name,) in connection.execute("select name from sqlite_schema where type = 'trigger'").fetchall():
        connection.execute(f"drop trigger {name}")


def bare_copy(db: Database, path: Path) -> Path:
    """The same tables, rows and indexes without the journal's triggers: what raw sqlite3 gets to work on."""
    shutil.copyfile(db.path, path)
    connection = sqlite3.connect(path)
    drop_triggers(connection)
    connection.commit()
    connection.close()
    return path


def raw_connection(path: Path, synchronous: str) -> sqlite3.Connection:
    """The pragmas of engine.db, and no code of it."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma foreign_keys = on")
    connection.execute(f"pragma synchronous = {synchronous}")
    return connection
