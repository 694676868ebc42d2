"""The board of a build: its tickets in columns by who acts next. Two queries, whatever the number of tickets."""
import sqlite3
from typing import Any

from engine.store.db import Database
from hitl.session import sessions

COLUMNS = (  # key, title, who acts next, statuses
    ("queued", "Queued", "engine", ("pending", "blocked", "ready")),
    ("running", "Running", "agent", ("claimed", "running")),
    ("needs_you", "Needs you", "you", ("needs_input", "failed")),
    ("in_review", "In review", "you", ("in_review",)),
    ("done", "Done", "", ("completed", "cancelled")),
)
_OF = {status: key for key, _, _, statuses in COLUMNS for status in statuses}


def board_view(db: Database, tenant: str, session_id: str) -> dict[str, Any]:
    """{"session_id", "epic": a card or None, "columns": [{key, title, who, mine, tickets: [cards]}], "counts": {status: features},
    "total": features, "done": features that are closed, "branch"}. Raises NotFound.

    A card has what the board shows of a ticket: its columns, depends_on, waits_for (what of it is not merged), its latest run
    (run_id, run_state, run_kind, runtime, started_at, …) and request, the kind of its open request. The epic stands in a column
    only when it needs a person."""
    rows = db.all(
        "select t.id, t.seq, t.type, t.title, t.status, t.position, t.priority, t.agent, t.review, t.run_no, t.failures, t.branch_name, t.base_sha,"
        " t.pr_url, t.merged_sha, t.reason, t.not_before, t.created_at, t.updated_at, r.id as run_id, r.state as run_state,"
        " r.kind as run_kind, r.runtime, r.agent as run_agent, r.outcome, r.started_at, r.ended_at,"
        " (select q.kind from requests q where q.ticket_id = t.id and q.state = 'open' order by q.seq desc limit 1) as request"
        " from tickets t left join runs r on r.seq = (select max(seq) from runs where ticket_id = t.id)"
        " where t.session_id = ? and t.tenant_id = ? order by t.seq", (session_id, tenant))
    if not rows:
        sessions.get(db, tenant, session_id)
    edges = db.all("select d.ticket_id, d.depends_on, b.status from tickets t join ticket_dependencies d on d.ticket_id = t.id"
                   " join tickets b on b.id = d.depends_on where t.session_id = ? order by b.seq", (session_id,))
    cards = _cards(rows, edges)
    epic = next((card for card in cards if card["type"] == "epic"), None)
    features = [card for card in cards if card["type"] != "epic"]
    shown = features if epic is None or _OF[epic["status"]] != "needs_you" else cards
    counts: dict[str, int] = {}
    for card in features:
        counts[card["status"]] = counts.get(card["status"], 0) + 1
    return {
        "session_id": session_id, "epic": epic, "branch": epic["branch_name"] if epic else None, "counts": counts, "total": len(features),
        "done": counts.get("completed", 0) + counts.get("cancelled", 0),
        "columns": [{"key": key, "title": title, "who": who, "mine": key == "needs_you",
                     "tickets": [card for card in shown if _OF[card["status"]] == key]} for key, title, who, _ in COLUMNS],
    }


def _cards(rows: list[sqlite3.Row], edges: list[sqlite3.Row]) -> list[dict[str, Any]]:
    names = rows[0].keys() if rows else []
    # Zipped, because dict(row) looks every column up by its name: with so many columns that is six times slower.
    cards = {row["id"]: {**dict(zip(names, row, strict=True)), "depends_on": [], "waits_for": []} for row in rows}
    for ticket_id, before, status in edges:
        if ticket_id in cards:
            cards[ticket_id]["depends_on"].append(before)
            if status != "completed":
                cards[ticket_id]["waits_for"].append(before)
    return list(cards.values())
