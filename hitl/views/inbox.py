"""The items that wait for you: open requests, and sessions that need your action."""
import json
from typing import Any

from engine.store.db import Database
from engine.tickets.rows import RequestRow
from hitl.views.ticket import request_dict


def requests_view(db: Database, tenant: str, session_id: str | None = None) -> list[dict[str, Any]]:
    """The open requests, oldest first: of all sessions, or of one."""
    only = "" if session_id is None else " and q.session_id = :session"
    return [request_dict(row) for row in db.all(
        "select q.*, s.project_name, t.title, t.type as ticket_type from requests q join hitl_sessions s on s.id = q.session_id"
        " left join tickets t on t.id = q.ticket_id"
        f" where q.tenant_id = :tenant and q.state = 'open'{only} order by q.seq", {"tenant": tenant, "session": session_id}, RequestRow)]


def waiting_count(db: Database, tenant: str, states: tuple[str, ...], most: int) -> int:
    """Number of open requests plus sessions in these states, counting at most `most` sessions of each state."""
    sessions_of: dict[str, int] = db.pairs(
        "select state, count(*) from hitl_sessions where tenant_id = ? and state in (select value from json_each(?)) group by state",
        (tenant, json.dumps(states)))
    open_requests: int = db.value("select count(*) from requests where tenant_id = ? and state = 'open'", (tenant,))
    return open_requests + sum(min(most, count) for count in sessions_of.values())
