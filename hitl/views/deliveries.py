"""The deliveries of a build to a repository elsewhere, for JSON and for pages."""
from typing import Any

from engine.store.db import Database
from engine.tickets.rows import DeliveryRow
from hitl.session import sessions

SHOWN = ("ticket_id", "state", "repository", "branch", "base_branch", "tip_sha", "pushed_sha", "forge", "project", "number", "pr_url", "waiting", "tries",
         "rounds", "not_before", "reason", "created_at", "updated_at")


def deliveries_view(db: Database, tenant: str, session_id: str) -> list[dict[str, Any]]:
    """The deliveries of a session, the epic's first. Raises NotFound."""
    sessions.get(db, tenant, session_id)
    return [dict(row) for row in db.all(f"select {', '.join(SHOWN)} from deliveries where session_id = ? order by seq", (session_id,), DeliveryRow)]


def delivery_line(db: Database, ticket_id: str) -> str:
    """Where a ticket's branch is, or will be, as one line; '' if the ticket has no delivery of its own."""
    row = db.one("select * from deliveries where ticket_id = ?", (ticket_id,), DeliveryRow)
    if row is None:
        return ""
    said = {"intended": "to be pushed to", "dropped": "not delivered to"}.get(row["state"], "pushed to")
    ended = {"merged": ", merged there", "closed": ", closed there"}.get(row["state"], "")
    return f"{row['branch']} {said} {row['repository']}{ended}" + (f". {row['reason']}" if row["reason"] and not ended and row["state"] != "done" else "")
