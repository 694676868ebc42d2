"""The board of a build: its tickets as cards in columns by who acts next, and the progress in numbers."""
import json
from typing import Any, Literal

from engine.store.db import Database, as_dict
from engine.tickets import requests
from engine.tickets.rows import Outcome, RequestKind, RunKind, RunState, TicketRow
from engine.tickets.states import HELD
from hitl.session import sessions
from hitl.web.filters import number

COLUMNS = (  # key, title, who acts next, statuses
    ("queued", "Queued", "engine", ("pending", "blocked", "ready")),
    ("running", "Running", "agent", HELD),
    ("needs_you", "Needs you", "you", ("needs_input", "failed")),
    ("in_review", "In review", "you", ("in_review",)),
    ("done", "Done", "", ("completed",)),
    ("cancelled", "Cancelled", "", ("cancelled",)),
)
_OF = {status: key for key, _, _, statuses in COLUMNS for status in statuses}
MOST = 60  # cards of a column that are shown at first
QUEUED, RUNNING = ("pending", "blocked", "ready"), HELD
_BAR = (("completed",), ("in_review",), RUNNING, ("needs_input",), ("failed",), ("cancelled",))  # the order of the progress bar
_WORDS = {"completed": "done", "in_review": "in review", "claimed": "running", "needs_input": "question", "failed": "failed",
          "cancelled": "cancelled"}


class _Card(TicketRow):
    """A ticket with its latest run and the kind of its open request."""

    run_id: str | None
    run_state: RunState | None
    run_kind: RunKind | None
    runtime: str | None
    run_agent: str | None
    outcome: Outcome | None
    started_at: str | None
    ended_at: str | None
    request: RequestKind | Literal["provider", "repository"] | None


def board_view(db: Database, tenant: str, session_id: str) -> dict[str, Any]:
    """{"session_id", "epic": a card or None, "columns": [{key, title, who, mine, tickets: [cards]}], "counts": {status: features},
    "total": features, "done": completed features, "branch"}. Two queries, whatever the number of tickets. Raises NotFound.

    A card has the parts of a ticket that the board shows: its columns, depends_on, waits_for (dependencies that are not merged yet), its
    latest run (run_id, run_state, run_kind, runtime, started_at, …) and request, the kind of its open request, or provider, or repository. The epic is
    in a column only when it needs someone."""
    rows = db.all(
        "select t.id, t.seq, t.type, t.title, t.status, t.position, t.priority, t.agent, t.review, t.run_no, t.failures, t.branch_name, t.base_sha,"
        " t.pr_url, t.merged_sha, t.reason, t.not_before, t.created_at, t.updated_at, r.id as run_id, r.state as run_state,"
        " r.kind as run_kind, r.runtime, r.agent as run_agent, r.outcome, r.started_at, r.ended_at,"
        " (select iif(q.kind = 'budget' and q.options = :refusal, 'provider', iif(q.kind = 'question' and t.type = 'epic', 'repository', q.kind))"
        " from requests q where q.ticket_id = t.id and q.state = 'open'"
        " order by q.seq desc limit 1) as request"
        " from tickets t left join runs r on r.seq = (select max(seq) from runs where ticket_id = t.id)"
        " where t.session_id = :session and t.tenant_id = :tenant order by t.seq",
        {"session": session_id, "tenant": tenant, "refusal": json.dumps(requests.PROVIDER_OPTIONS)}, _Card)
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
        "done": counts.get("completed", 0),
        "columns": [{"key": key, "title": title, "who": who, "mine": key == "needs_you",
                     "tickets": [card for card in shown if _OF[card["status"]] == key]} for key, title, who, _ in COLUMNS],
    }


def _cards(rows: list[_Card], edges: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    cards = {row["id"]: {**as_dict(row), "depends_on": [], "waits_for": []} for row in rows}
    for ticket_id, before, status in edges:
        if ticket_id in cards:
            cards[ticket_id]["depends_on"].append(before)
            if status != "completed":
                cards[ticket_id]["waits_for"].append(before)
    return list(cards.values())


def counts(features: dict[str, int]) -> tuple[list[tuple[str, int]], int, str]:
    """From {status: how many}: (parts of the bar, the number of features, a summary in words). A cancelled feature is not done."""
    total = sum(features.values())
    bar = [(states[0], sum(features.get(status, 0) for status in states)) for states in _BAR]
    waiting = sum(features.get(status, 0) for status in QUEUED)
    said = [f"{count} {_WORDS[state]}" for state, count in bar[1:] if count] + ([f"{waiting} queued"] if waiting else [])
    return bar, total, f"{bar[0][1]} of {number(total, 'feature')} done" + "".join(", " + part for part in said)


def columns(found: list[dict[str, Any]], max_attempts: int) -> list[dict[str, Any]]:
    """The columns of board_view, with cards as the page shows them. max_attempts: from the settings."""
    return [{**column, "tickets": [card(ticket, max_attempts) for ticket in column["tickets"]], "most": MOST} for column in found]


def card(ticket: dict[str, Any], max_attempts: int) -> dict[str, Any]:
    """A ticket as its card shows it. The facts depend on the ticket's status."""
    status = ticket["status"]
    facts: list[str] = []
    shown, shown_text, since = status, "", ticket["updated_at"]
    if status in ("pending", "blocked"):
        waiting = ticket.get("waits_for") or []
        facts.append("after " + ", ".join(waiting[:4]) + (f" and {len(waiting) - 4} more" if len(waiting) > 4 else "") if waiting else
                     ticket.get("reason") or "waits for the epic")
        shown, since = "", ""
    elif status == "ready":
        shown, since = "", ""
        facts.append("retries soon" if ticket.get("not_before") else "waits for a free slot")
    elif status in RUNNING:
        at_merge = ticket.get("run_state") in ("queued", "merging")
        facts.append("" if at_merge else f"attempt {ticket['failures'] + 1} of {max_attempts}")
        shown, since = ticket["run_state"] if at_merge else status, since if at_merge else ticket.get("started_at") or since
    elif status == "failed":
        facts.append(f"attempt {ticket['failures']} of {max_attempts}" if ticket["failures"] else "")
    elif status == "needs_input" and ticket.get("request") in ("isolation", "budget", "provider", "repository", "environment", "baseline"):
        shown = ticket["request"]
    elif status == "completed":
        shown_text = "Merged" if ticket["type"] != "epic" and ticket["merged_sha"] else "Done"
    return {**ticket, "facts": [fact for fact in facts if fact], "shown": shown, "shown_text": shown_text, "since": since,
            "mine": status in ("needs_input", "failed"), "last": ticket.get("last_line") if shown in RUNNING else ""}
