"""The proof of each criterion of a ticket, the same for pages, JSON, notes and pull requests.

The run that counts is the newest run of the ticket with any checks, for any outcome: a later run that reached no check takes
nothing away. A recheck run does not count, because it belongs to the epic and checks other tickets' criteria."""
import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from engine.criteria import criteria_of
from engine.jobs import Criterion
from engine.result_values import checks_of
from engine.store.db import Database
from engine.text import stored
from engine.tickets.rows import TicketRow

State = Literal["passed", "failed", "waiting", "waived", "unchecked"]
AtBase = Literal["not_run", "red", "green", "cannot_run", "flaky", "waived"]
_WORDS = {"red": "red", "green": "green", "cannot_run": "could not run", "flaky": "flaky"}


class Proof(NamedTuple):
    """The state of a criterion. number: its place, from 1. command: its check, '' if no command checks it. waived: the reason why it is
    waived, otherwise ''. run: the id of the run that counts for its ticket, None before there is one.

    state: passed or failed: the result of its command; waiting: the run that counts has not run this command; waived: by hand, whatever a run
    says; unchecked: there is no command. exit, seconds, output: of the command in that run; exit: only if it failed. former: the number of
    that run if a later run has begun and has not checked anything yet, so that the result is about earlier work; otherwise 0.

    before: what its command said at the base; None without a command, and in a repository of the session's own. before_output: of the command
    there, only from of_ticket(). kept: the reason why it may stay as red as at the base, otherwise ''."""

    number: int
    text: str
    command: str
    state: State
    waived: str
    run: str | None
    exit: int | None
    seconds: float | None
    output: str
    former: int
    before: AtBase | None = None
    before_output: str = ""
    kept: str = ""


Before = Mapping[str, tuple[AtBase, str]]  # {command: (result, output)} at the base


class _Checked(TicketRow):
    run: str | None
    checks: str | None
    former: int | None
    epic: str


# A later run of the ticket t than r took its work up again. A run that never started, or only merged or reviewed what r had checked, did not.
_TAKEN_UP = ("exists (select 1 from runs n where n.ticket_id = t.id and n.seq > r.seq and n.kind <> 'recheck'"
             " and coalesce(n.outcome, '') not in ('void', 'merged', 'no_change', 'in_review', 'integrated'))")


def of_ticket(db: Database, ticket_id: str) -> list[Proof]:
    """Proofs in the order of the ticket's criteria."""
    return of_tickets(db, "t.id = :id", {"id": ticket_id}, with_output=True).get(ticket_id, [])


def of_tickets(db: Database, where: str, parameters: Mapping[str, Any], with_output: bool = False) -> dict[str, list[Proof]]:
    """{ticket id: its proofs}, oldest first, for tickets t that match `where` (with named parameters) and have criteria.
    with_output: also what their commands printed at the base."""
    rows = db.all("select t.id, coalesce(t.parent_id, t.id) as epic, t.acceptance_criteria, r.id as run, r.checks,"
                  f" iif(t.status <> 'completed' and {_TAKEN_UP}, r.run_no, 0) as former"
                  " from tickets t left join runs r on r.seq = (select max(seq) from runs where ticket_id = t.id and checks <> '[]' and kind <> 'recheck')"
                  f" where t.acceptance_criteria <> '[]' and ({where}) order by t.seq", dict(parameters), _Checked)
    bases = _at_bases(db, sorted({row["epic"] for row in rows}), with_output)
    found = {row["id"]: _proofs(row, bases.get(row["epic"])) for row in rows}
    return {ticket_id: proofs for ticket_id, proofs in found.items() if proofs}


def unchecked(db: Database, session_id: str) -> int:
    """Number of criteria in a session that no command checks, without waived criteria and dropped tickets."""
    rows = db.execute("select acceptance_criteria from tickets where session_id = ? and status <> 'cancelled' and acceptance_criteria <> '[]'", (session_id,))
    return sum(_state(criterion, None) == "unchecked" for row in rows for criterion in criteria_of(row[0]))


def story(proof: Proof) -> str:
    """What its command said before and after the work: 'red before, green after'; '' where one of the two is not known."""
    before, after = _WORDS.get(proof.before or ""), {"passed": "green", "failed": "red"}.get(proof.state)
    if before is None or after is None:
        return ""
    kept = ", and kept that way" if proof.kept and after == "red" else ""
    return (f"{before} before and after" if before == after else f"{before} before, {after} after") + kept


def _at_bases(db: Database, epics: list[str], with_output: bool) -> dict[str, Before]:
    """{epic: what commands said at its base}, for epics in a repository that was not made for them."""
    rows = db.all("select e.id, b.command, b.result, iif(?, b.output, '') from tickets e join hitl_sessions s on s.id = e.session_id left join baselines b"
                  " on b.repository_id = s.repository_id and b.base_sha = e.base_sha and b.environment_key = coalesce(e.environment, '')"
                  " where s.repository_id is not null and e.id in (select value from json_each(?))", (with_output, json.dumps(epics)))
    found: dict[str, dict[str, tuple[AtBase, str]]] = {}
    for epic, command, result, output in rows:
        known = found.setdefault(epic, {})
        if command is not None:
            known[command] = result, output
    return dict(found)


def _proofs(row: _Checked, base: Before | None) -> list[Proof]:
    results = {(str(check.get("text")), str(check.get("command"))): check for check in _checks(row["checks"])}
    run, former, found = row["run"], row["former"] or 0, []
    for number, criterion in enumerate(criteria_of(row["acceptance_criteria"]), 1):
        check = results.get((criterion.text, criterion.check)) if criterion.check else None
        state, (code, seconds, output) = _state(criterion, check), _said(check or {})
        found.append(Proof(number, criterion.text, criterion.check, state, criterion.waived, run, code if state == "failed" else None, seconds, output,
                           former if state in ("passed", "failed") else 0, *_at_base(criterion, base), criterion.kept))
    return found


def _at_base(criterion: Criterion, base: Before | None) -> tuple[AtBase | None, str]:
    if base is None or not criterion.check:
        return None, ""
    return ("waived", "") if criterion.waived else base.get(criterion.check, ("not_run", ""))


def _state(criterion: Criterion, check: dict[str, Any] | None) -> State:
    if criterion.waived:
        return "waived"
    if not criterion.check:
        return "unchecked"
    return "waiting" if check is None else "passed" if check.get("passed") else "failed"


def _said(check: dict[str, Any]) -> tuple[int | None, float | None, str]:
    """(exit, seconds, output) of a run's check, with the right types even after an edit by hand."""
    code, seconds = check.get("exit"), check.get("seconds")
    return code if isinstance(code, int) else None, seconds if isinstance(seconds, int | float) else None, str(check.get("output") or "")


def _checks(text: str | None) -> list[dict[str, Any]]:
    """Checks from runs.checks, as the runner wrote them or as edited by hand; entries that are not checks are left out."""
    return checks_of(stored(text, []))
