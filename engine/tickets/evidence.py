"""What proves each criterion of a ticket: the one answer that pages, JSON, notes and pull requests give.

The run that counts is the newest one of the ticket that ran any checks, whatever came of it: a later one that came to no check takes
nothing away. A recheck run does not count: it is of the epic, and what it checks are other tickets' criteria."""
import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from engine.jobs import Criterion, criteria_of
from engine.store.db import Database
from engine.tickets.rows import TicketRow

State = Literal["passed", "failed", "waiting", "waived", "unchecked"]


class Proof(NamedTuple):
    """A criterion as it stands. number: its place, from 1. command: its check, '' where no command checks it. waived: why a person does
    without it, else ''. run: the id of the run that counts for its ticket, None before there is one.

    state: passed or failed by its command; waiting: the run that counts has not run this command; waived by a person, whatever a run
    said; unchecked: there is no command. exit, seconds, output: of the command in that run; exit: where it failed."""

    number: int
    text: str
    command: str
    state: State
    waived: str
    run: str | None
    exit: int | None
    seconds: float | None
    output: str


class _Checked(TicketRow):
    run: str | None
    checks: str | None


def of_ticket(db: Database, ticket_id: str) -> list[Proof]:
    """In the order of its criteria."""
    return of_tickets(db, "t.id = :id", {"id": ticket_id}).get(ticket_id, [])


def of_tickets(db: Database, where: str, parameters: Mapping[str, Any]) -> dict[str, list[Proof]]:
    """{ticket id: its proofs} of the tickets t for which `where` holds (named parameters) and that have criteria, oldest first."""
    rows = db.all("select t.id, t.acceptance_criteria, r.id as run, r.checks from tickets t left join runs r on r.seq ="
                  " (select max(seq) from runs where ticket_id = t.id and checks <> '[]' and kind <> 'recheck')"
                  f" where t.acceptance_criteria <> '[]' and ({where}) order by t.seq", dict(parameters), _Checked)
    found = {row["id"]: _proofs(row["acceptance_criteria"], row["run"], row["checks"]) for row in rows}
    return {ticket_id: proofs for ticket_id, proofs in found.items() if proofs}


def unchecked(db: Database, session_id: str) -> int:
    """How many criteria of a session no command checks, but for those that a person waived and those of dropped tickets."""
    rows = db.execute("select acceptance_criteria from tickets where session_id = ? and status <> 'cancelled' and acceptance_criteria <> '[]'", (session_id,))
    return sum(_state(criterion, None) == "unchecked" for row in rows for criterion in criteria_of(row[0]))


def _proofs(criteria: str, run: str | None, checks: str | None) -> list[Proof]:
    results = {(str(check.get("text")), str(check.get("command"))): check for check in _checks(checks)}
    found = []
    for number, criterion in enumerate(criteria_of(criteria), 1):
        check = results.get((criterion.text, criterion.check)) if criterion.check else None
        state, (code, seconds, output) = _state(criterion, check), _said(check or {})
        found.append(Proof(number, criterion.text, criterion.check, state, criterion.waived, run, code if state == "failed" else None, seconds, output))
    return found


def _state(criterion: Criterion, check: dict[str, Any] | None) -> State:
    if criterion.waived:
        return "waived"
    if not criterion.check:
        return "unchecked"
    return "waiting" if check is None else "passed" if check.get("passed") else "failed"


def _said(check: dict[str, Any]) -> tuple[int | None, float | None, str]:
    """(exit, seconds, output) of a check of a run, of the right kinds whoever edited them."""
    code, seconds = check.get("exit"), check.get("seconds")
    return code if isinstance(code, int) else None, seconds if isinstance(seconds, int | float) else None, str(check.get("output") or "")


def _checks(text: str | None) -> list[dict[str, Any]]:
    """runs.checks, as the runner wrote it or as it was edited by hand; what is no check is left out."""
    try:
        items = json.loads(text or "[]")
    except ValueError:
        return []
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
