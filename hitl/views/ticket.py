"""Tickets, runs and logs as plain dicts, the same for JSON and for pages."""
import codecs
import re
from typing import Any

from engine.config import Config
from engine.errors import NotFound
from engine.result_values import checks_of
from engine.store.db import Database, as_dict
from engine.text import stored
from engine.tickets import actions, usage
from engine.tickets import states as tickets
from engine.tickets.rows import DependencyRow, OwnedRequestRow, OwnedRunRow, RequestRow, RunRow, TicketRow
from hitl.session import sessions
from hitl.views import usage as used

LOG_LIMIT = 256_000     # bytes of a log in one answer
_SECRET = {"claim_token"}


def tickets_view(db: Database, tenant: str, session_id: str) -> list[dict[str, Any]]:
    """The tickets of a session, the epic first. Raises NotFound."""
    sessions.get(db, tenant, session_id)
    depends: dict[str, list[str]] = {}
    for ticket_id, before in db.all("select d.ticket_id, d.depends_on from ticket_dependencies d join tickets t on t.id = d.ticket_id join tickets b"
                                    " on b.id = d.depends_on where t.session_id = ? order by b.seq", (session_id,), DependencyRow):
        depends.setdefault(ticket_id, []).append(before)
    rows = db.all("select * from tickets where session_id = ? and tenant_id = ? order by seq", (session_id, tenant), TicketRow)
    return [{**ticket_dict(row), "depends_on": depends.get(row["id"], [])} for row in rows]


def ticket_view(db: Database, tenant: str, ticket_id: str) -> dict[str, Any]:
    """A ticket with its dependencies and dependents, its latest run with the checks, and its requests. Raises NotFound."""
    row = tickets.get(db, tenant, ticket_id)
    run = db.one("select * from runs where ticket_id = ? order by seq desc limit 1", (ticket_id,), RunRow)
    latest = run_dict(run) if run else None
    return {
        **ticket_dict(row), "run": latest, "checks": latest["checks"] if latest else [],
        "project_name": db.value("select project_name from hitl_sessions where id = ?", (row["session_id"],)),
        "depends_on": _ids(db, "join tickets t on t.id = d.depends_on where d.ticket_id = ?", ticket_id),
        "dependents": dependents(db, ticket_id),
        "steers": actions.steers(db, ticket_id), "usage": used.told(usage.of_ticket(db, ticket_id)),
        "requests": [request_dict(each) for each in db.all("select * from requests where ticket_id = ? order by seq", (ticket_id,), RequestRow)],
    }


def runs_view(db: Database, tenant: str, ticket_id: str) -> list[dict[str, Any]]:
    """The runs of a ticket, newest first. Raises NotFound."""
    tickets.get(db, tenant, ticket_id)
    return [run_dict(row) for row in db.all("select * from runs where ticket_id = ? order by seq desc", (ticket_id,), RunRow)]


def dependents(db: Database, ticket_id: str) -> list[str]:
    return _ids(db, "join tickets t on t.id = d.ticket_id where d.depends_on = ?", ticket_id)


def _ids(db: Database, which: str, ticket_id: str) -> list[str]:
    return [row[0] for row in db.all(f"select t.id from ticket_dependencies d {which} order by t.seq", (ticket_id,))]


def ticket_dict(row: TicketRow) -> dict[str, Any]:
    """The ticket without its secret columns, with parsed criteria."""
    return {**_visible(row), "acceptance_criteria": stored(row["acceptance_criteria"], []), "supplied": bool(row["supplied"]),
            "review": bool(row["review"])}


def run_dict(row: RunRow | OwnedRunRow) -> dict[str, Any]:
    return {**_visible(row), "checks": checks_of(stored(row["checks"], [])), "phases": stored(row["phases"], {}), "vm": stored(row["vm"], {}),
            "task": stored(row["task"], {}),
            "said": stored(row["said"], {}),
            "usage": used.told(stored(row["usage"], {})) if row["usage"] else None}


def request_dict(row: RequestRow | OwnedRequestRow) -> dict[str, Any]:
    return {**_visible(row), "options": [str(each) for each in stored(row["options"], [])]}


def _visible(row: TicketRow | RunRow | OwnedRunRow | RequestRow | OwnedRequestRow) -> dict[str, Any]:
    return {name: value for name, value in as_dict(row).items() if name not in _SECRET}


def run_of(db: Database, tenant: str, ticket_id: str, run_id: str | None = None) -> dict[str, Any] | None:
    """That run of a ticket, or its latest run; None if it has no run yet. Raises NotFound."""
    tickets.get(db, tenant, ticket_id)
    row = db.one("select * from runs where ticket_id = :ticket and (:run is null or id = :run) order by seq desc limit 1",
                 {"ticket": ticket_id, "run": run_id}, RunRow)
    if row is None and run_id is not None:
        raise NotFound("Run not found")
    return run_dict(row) if row else None


def log_slice(config: Config, run_id: str, after: int = 0, limit: int = LOG_LIMIT) -> dict[str, Any]:
    """{"text", "size", "next"} of a run's log: at most `limit` bytes from byte `after`. Ask again with next until next equals size.

    A character is never cut in two. Bytes that are not UTF-8 are replaced. Without a log the text is empty. Raises NotFound for an invalid id."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", run_id):
        raise NotFound("Run not found")
    try:
        with open(config.data / "runs" / run_id / "log", "rb") as file:
            size = file.seek(0, 2)
            file.seek(min(after, size))
            data = file.read(min(limit, max(size - after, 0)))
    except FileNotFoundError:
        return {"text": "", "size": 0, "next": 0}
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    held = len(decoder.getstate()[0])
    if held == len(data):  # the rest is only a part of a character
        text, held = text + decoder.decode(b"", True), 0
    return {"text": text, "size": size, "next": min(after, size) + len(data) - held}
