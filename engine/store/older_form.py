"""A swarm.db in the older form: user_version 0, two tables, exactly these columns. Its rows are taken over in one transaction."""
import re
import sqlite3

OLD_TABLES = {
    "hitl_sessions": ("id", "tenant_id", "project_name", "description", "state", "spec_card", "created_at", "updated_at"),
    "tickets": ("id", "session_id", "tenant_id", "type", "title", "description", "acceptance_criteria", "status", "parent_id",
                "assigned_vm", "branch_name", "pr_url", "created_at", "updated_at"),
}
_MARK, _TENANT_AT = "waits:", 20  # a mark in counters: waits:<seq of the session, 12 digits>:<tenant>; and where the tenant begins in it
IS_MARK = f"name > '{_MARK}' and name < '{_MARK}~'"
MARKS = f"select value as seq, substr(name, {_TENANT_AT}) as tenant from counters where {IS_MARK}"
_TIME = "coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', {0}), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))"


def is_older_form(connection: sqlite3.Connection, tables: set[str]) -> bool:
    """True if the database has exactly these two tables with exactly these columns."""
    return tables == set(OLD_TABLES) and all(
        {row[1] for row in connection.execute(f"pragma table_info({name})")} == set(columns) for name, columns in OLD_TABLES.items())


def take_over(connection: sqlite3.Connection) -> None:
    """Copies old_hitl_sessions and old_tickets into the tables of schema.sql and drops them, inside the caller's transaction.

    A build in progress continues: claimed and running tickets start again, because their runs are not known here. A build of another tenant than
    'default' is paused and marked instead: engine/loop/taken_over.py lets it continue.
    Raises sqlite3.IntegrityError for a state or type that the schema does not know."""
    connection.execute(
        f"insert into hitl_sessions (id, tenant_id, project_name, description, state, spec_card, created_at, updated_at)"
        f" select id, coalesce(tenant_id, 'default'), coalesce(project_name, ''), coalesce(description, ''), coalesce(state, 'draft'), spec_card,"
        f" {_TIME.format('created_at')}, {_TIME.format('updated_at')} from old_hitl_sessions order by rowid")
    connection.execute(
        f"insert into tickets (id, session_id, tenant_id, type, title, description, acceptance_criteria, status, parent_id, assigned_vm,"
        f" branch_name, pr_url, created_at, updated_at)"
        f" select id, session_id, coalesce(tenant_id, 'default'), coalesce(type, 'feature'), coalesce(title, ''), coalesce(description, ''),"
        f" coalesce(acceptance_criteria, '[]'), coalesce(status, 'pending'), parent_id, assigned_vm, branch_name, pr_url,"
        f" {_TIME.format('created_at')}, {_TIME.format('updated_at')} from old_tickets order by rowid")
    connection.execute("update tickets set position = (select count(*) from tickets b where b.parent_id = tickets.parent_id and b.seq <= tickets.seq)"
                       " where parent_id is not null")
    _hold_back(connection)
    connection.execute("update tickets set assigned_vm = null, status = iif(type = 'epic' and not (select paused from hitl_sessions s"
                       " where s.id = session_id), 'ready', 'blocked')"
                       " where status in ('pending', 'blocked', 'ready', 'claimed', 'running') and session_id in"
                       " (select id from hitl_sessions where state = 'building')")
    numbers = [int(m[1]) for row in connection.execute("select id from tickets") if (m := re.fullmatch(r"TKT-(\d{1,15})", row[0]))]
    connection.execute("update counters set value = ? where name = 'ticket'", (max(numbers, default=0),))
    connection.execute("drop table old_tickets")
    connection.execute("drop table old_hitl_sessions")


def _hold_back(connection: sqlite3.Connection) -> None:
    """Pauses and marks each session of another tenant, or with a ticket of another tenant, that is building, or would be: an ended one with an
    open ticket. There is a mark for each of its tenants."""
    connection.execute(
        f"insert into counters select distinct printf('{_MARK}%012d:%s', s.seq, o.tenant_id), s.seq from hitl_sessions s"
        " join (select id as session_id, tenant_id from hitl_sessions union select session_id, tenant_id from tickets) o on o.session_id = s.id"
        " where o.tenant_id <> 'default' and (s.state = 'building' or s.state in ('completed', 'failed') and exists"
        " (select 1 from tickets t where t.session_id = s.id and t.status not in ('completed', 'failed', 'cancelled')))")
    connection.execute(f"update hitl_sessions set paused = 1 where seq in (select value from counters where {IS_MARK})")
