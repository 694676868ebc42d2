"""What a person decides about one ticket beside retry and cancel: waive a criterion, stop its run, tell it something."""
import json
from typing import Any

from engine.errors import BadRequest, WrongState
from engine.jobs import criteria_of
from engine.store.db import Database
from engine.tickets import requests, settle, steering
from engine.tickets.states import change, get, is_merging
from engine.times import NOW

REASON_LIMIT, MESSAGE_LIMIT = 1000, 20_000  # characters
STOPPED = "A person stopped its run. What it had not handed over is gone, its log is kept: retry it, change it, or drop it."


def waive(db: Database, tenant: str, ticket_id: str, number: int, reason: str) -> None:
    """The check of criterion `number` (from 1) is not run any more; the reason is kept with it, for the notes. A failed ticket goes again.

    Raises NotFound, BadRequest, WrongState while a run is under way or when it is merged or dropped."""
    reason = _text(reason, REASON_LIMIT, "Say why the criterion is waived")
    with db.transaction():
        ticket = get(db, tenant, ticket_id)
        check_open(ticket)
        criteria = criteria_of(ticket["acceptance_criteria"])
        if not 1 <= number <= len(criteria):
            raise BadRequest(f"{ticket_id} has {len(criteria)} criteria: there is no number {number}.")
        items = json.loads(ticket["acceptance_criteria"])
        items = [item for item in items if isinstance(item, (str, dict))]  # as criteria_of counts them
        item = items[number - 1]
        items[number - 1] = {**(item if isinstance(item, dict) else {"text": item}), "waived": reason}
        db.execute(f"update tickets set acceptance_criteria = ?, updated_at = {NOW} where id = ?", (json.dumps(items, ensure_ascii=False), ticket_id))
        note(db, ticket, "waived", f"{criteria[number - 1].text}: {reason}")
        go_again(db, tenant, ticket)


def check_open(ticket: Any) -> None:
    """Raises WrongState for a ticket that cannot be changed now."""
    if ticket["status"] in ("claimed", "running", "completed", "cancelled", "in_review"):
        why = "stop its run first" if ticket["status"] in ("claimed", "running") else "it is too late to change it"
        raise WrongState(f"{ticket['id']} is {ticket['status'].replace('_', ' ')}: {why}.", currentState=ticket["status"], since=ticket["updated_at"])


def go_again(db: Database, tenant: str, ticket: Any) -> None:
    """What was changed about a failed ticket was changed so that it is tried again."""
    if ticket["status"] == "failed":
        steering.retry(db, tenant, ticket["id"])


def stop(db: Database, tenant: str, ticket_id: str) -> None:
    """Ends the run of a ticket, which then waits for a person. Raises NotFound; WrongState where nothing runs, or the merge has begun."""
    with db.transaction():
        ticket = get(db, tenant, ticket_id)
        if ticket["type"] == "epic":
            raise WrongState(f"{ticket_id} is the epic of a build: pause or cancel the session instead.", currentState=ticket["status"])
        if ticket["status"] not in ("claimed", "running") or is_merging(db, ticket_id):
            why = "its merge has begun" if is_merging(db, ticket_id) else f"it is {ticket['status'].replace('_', ' ')}"
            raise WrongState(f"{ticket_id} has no run that could be stopped: {why}.", currentState=ticket["status"], since=ticket["updated_at"])
        run = db.value("select id from runs where ticket_id = ? and ended_at is null", (ticket_id,))
        change(db, "failed", "id = :id", {"id": ticket_id}, reason=STOPPED)
        requests.open_failed(db, ticket, run, STOPPED)
        note(db, ticket, "stopped", STOPPED)
        settle.session(db, ticket["session_id"])


def tell(db: Database, tenant: str, ticket_id: str, text: str) -> None:
    """A message for the ticket's next attempt, which has it in its prompt. Raises NotFound, BadRequest, WrongState for a ticket that is done
    and for an epic, whose runs have no agent."""
    text = _text(text, MESSAGE_LIMIT, "Say something")
    with db.transaction():
        ticket = get(db, tenant, ticket_id)
        if ticket["type"] == "epic":
            raise WrongState(f"{ticket_id} is the epic of a build: no agent works on it. Tell one of its features.", currentState=ticket["status"])
        if ticket["status"] in ("completed", "cancelled"):
            raise WrongState(f"{ticket_id} is {ticket['status']}: there is no attempt that could be told.", currentState=ticket["status"],
                             since=ticket["updated_at"])
        note(db, ticket, "message", text)


def note(db: Database, ticket: Any, kind: str, body: str) -> None:
    """Records what a person did: for prompts, history and notes."""
    db.execute("insert into ticket_steers (tenant_id, session_id, ticket_id, kind, body) values (?, ?, ?, ?, ?)",
               (ticket["tenant_id"], ticket["session_id"], ticket["id"], kind, body))


# A run whose agent was given the ticket's prompt: it began, and had more to do than to merge what a person had approved.
_PROMPTED = ("r.kind = 'feature' and r.started_at is not null and coalesce(r.outcome, '') <> 'void' and not (coalesce(r.phases, '{}') = '{}' and exists"
             " (select 1 from runs p where p.ticket_id = r.ticket_id and p.seq < r.seq and p.outcome = 'in_review' and p.tip_sha = r.tip_sha))")


def steers(db: Database, ticket_id: str) -> list[dict[str, Any]]:
    """[{seq, kind, body, created_at, told, late, note}], oldest first; told: of a message, the number of the first run that was given it, None:
    none yet; late: none was, and the ticket is merged or dropped (should it run again, that run has it in its prompt); note: so in words."""
    rows = db.all(
        f"select m.seq, m.kind, m.body, m.created_at, iif(m.kind = 'message', (select min(r.run_no) from runs r where r.ticket_id = m.ticket_id"
        f" and r.created_at > m.created_at and {_PROMPTED}), null) as told, t.status"
        " from ticket_steers m join tickets t on t.id = m.ticket_id where m.ticket_id = ? order by m.seq", (ticket_id,))
    return [{**{name: row[name] for name in ("seq", "kind", "body", "created_at", "told")}, **_reading(row)} for row in rows]


def _reading(row: Any) -> dict[str, Any]:
    """What became of a message. row: of steers()."""
    late = row["kind"] == "message" and row["told"] is None and row["status"] in ("completed", "cancelled")
    if row["kind"] != "message":
        note = ""
    elif row["told"]:
        note = f"told to run {row['told']}"
    elif late:
        note = f"read by no run: it came too late, the ticket was {'merged' if row['status'] == 'completed' else 'dropped'}"
    else:
        note = "not told yet: the next attempt has it" + (", if you ask for changes" if row["status"] == "in_review" else "")
    return {"late": late, "note": note}


def _text(text: object, most: int, ask: str) -> str:
    found = text.strip() if isinstance(text, str) else ""
    if not found or len(found) > most:
        raise BadRequest(f"{ask}, in 1 to {most:,} characters.")
    return found
