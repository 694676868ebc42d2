"""The evidence for each criterion of a build, for pages and JSON: for a session, for a ticket, and in words."""
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from engine.store.db import Database
from engine.tickets import evidence
from engine.tickets.evidence import Proof
from engine.tickets.rows import TicketRow
from hitl.session import sessions
from hitl.web.filters import number

STATES = ("passed", "failed", "waiting", "waived", "unchecked")
_OF_CRITERION = ("number", "text", "command", "state", "exit", "seconds", "waived", "former", "before")
PAGE = 100  # tickets in one answer


def evidence_view(db: Database, tenant: str, session_id: str, after: int = 0, limit: int = PAGE, *more: str) -> dict[str, Any]:
    """{"counts": {state: criteria of the whole session}, "tickets": [{seq, ticket, type, title, status, run, criteria: [{number, text, command, state,
    exit, seconds, waived, former, before}]}], "next": the cursor for `after`, or None}. It has at most `limit` tickets with criteria; the epic with its
    checks on the whole is first. Dropped tickets are left out. ticket_view has the output of a check. Raises NotFound.

    state, before: as in engine/tickets/evidence.py. more: names of further values of each criterion, for a page."""
    sessions.get(db, tenant, session_id)
    proofs = evidence.of_tickets(db, "t.session_id = :session and t.status <> 'cancelled'", {"session": session_id})
    counts = Counter[str](proof.state for of_ticket in proofs.values() for proof in of_ticket)
    rows = db.all("select seq, id, type, title, status from tickets where session_id = ? and seq > ? order by seq", (session_id, after), TicketRow)
    rows = [row for row in rows if row["id"] in proofs]
    shown = [{"seq": row["seq"], "ticket": row["id"], "type": row["type"], "title": row["title"], "status": row["status"],
              "run": proofs[row["id"]][0].run,
              "criteria": [{name: each[name] for name in (*_OF_CRITERION, *more)} for each in map(as_shown, proofs[row["id"]])]}
             for row in rows[:limit]]
    return {"counts": {state: counts[state] for state in STATES}, "tickets": shown, "next": shown[-1]["seq"] if len(rows) > limit else None}


def as_shown(proof: Proof) -> dict[str, Any]:
    """A proof as a dict, with its story. The command is '' if it is the same text as the criterion."""
    return {**proof._asdict(), "story": evidence.story(proof), "command": proof.command if proof.command != proof.text else ""}


def of_cards(db: Database, session_id: str, tickets: list[str]) -> dict[str, str]:
    """{ticket: the text of brief()} for these tickets of a session."""
    proofs = evidence.of_tickets(db, "t.session_id = :session and t.id in (select value from json_each(:tickets))",
                                 {"session": session_id, "tickets": json.dumps(tickets)})
    return {ticket: brief(of_ticket) for ticket, of_ticket in proofs.items()}


def brief(proofs: Iterable[Proof]) -> str:
    """'1 of 2 passed, 1 waived', '3 checks to run'; '' if no criterion is checked by a command or waived."""
    counts = Counter[str](proof.state for proof in proofs)
    checked = counts["passed"] + counts["failed"] + counts["waiting"]
    passed = f"{counts['passed']} of {checked} passed" if counts["passed"] or counts["failed"] else f"{number(checked, 'check')} to run"
    return ", ".join(([passed] if checked else []) + ([f"{counts['waived']} waived"] if counts["waived"] else []))


def in_words(counts: dict[str, int]) -> list[str]:
    """The counts in words: ['31 of 40 checks passed', '2 failed', '5 not checked by a command']."""
    checked = counts["passed"] + counts["failed"] + counts["waiting"]
    said = [f"{counts['passed']} of {checked} {'check' if checked == 1 else 'checks'} passed"] if checked else []
    words = {"failed": "failed", "waiting": "not checked yet", "waived": "waived", "unchecked": "not checked by a command"}
    return said + [f"{counts[state]} {word}" for state, word in words.items() if counts[state]]
