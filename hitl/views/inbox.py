"""The items that wait for you: open requests, and sessions that need your action."""
import json
from typing import Any

from engine.store.db import Database
from engine.tickets.rows import OwnedRequestRow
from hitl.views.ticket import request_dict


def requests_view(db: Database, tenant: str, session_id: str | None = None) -> list[dict[str, Any]]:
    """The open requests, oldest first: of all sessions and repositories, or of one session. project_name: of the session, or else the repository's name;
    repository: the id of the repository that a request about an environment is about."""
    only = "" if session_id is None else " and q.session_id = :session"
    return [request_dict(row) for row in db.all(
        "select q.*, coalesce(s.project_name, p.name, 'This installation') as project_name, p.id as repository, p.name as repository_name,"
        " t.title, t.type as ticket_type from requests q left join hitl_sessions s on s.id = q.session_id left join tickets t on t.id = q.ticket_id"
        " left join repositories p on p.id = iif(q.owner_kind = 'repository', q.owner, s.repository_id) and q.kind = 'environment'"
        f" where q.tenant_id = :tenant and q.state = 'open'{only} order by q.seq", {"tenant": tenant, "session": session_id}, OwnedRequestRow)]


def waiting_count(db: Database, tenant: str, states: tuple[str, ...], most: int) -> int:
    """Number of open requests plus sessions in these states, counting at most `most` sessions of each state."""
    sessions_of: dict[str, int] = db.pairs(
        "select state, count(*) from hitl_sessions where tenant_id = ? and state in (select value from json_each(?)) group by state",
        (tenant, json.dumps(states)))
    open_requests: int = db.value("select count(*) from requests where tenant_id = ? and state = 'open'", (tenant,))
    return open_requests + sum(min(most, count) for count in sessions_of.values())
