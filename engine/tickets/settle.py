"""Makes free tickets ready, closes epics, settles sessions. It looks only at the current state, so a second call changes nothing.

All code that ends or reopens a ticket calls session() in the same transaction, so no session stays building when no ticket can continue."""
from typing import Any

from engine.store.db import Database
from engine.tickets import deliveries, session_states
from engine.tickets.rows import TicketRow
from engine.tickets.session_rows import SessionRow
from engine.tickets.states import UNDONE, change

# A ticket may be claimed when its session is building; a feature also needs a running epic and merged dependencies.
FREE = ("exists (select 1 from hitl_sessions s where s.id = tickets.session_id and s.state = 'building' and not s.paused)"
        " and (tickets.parent_id is null or exists"
        "      (select 1 from tickets e where e.id = tickets.parent_id and e.status = 'running' and e.base_sha is not null and e.waits_for is null))"
        " and not exists (select 1 from ticket_dependencies d join tickets t on t.id = d.depends_on"
        "                 where d.ticket_id = tickets.id and t.status <> 'completed')")
# The epic holds a claim for its recheck run while its features continue.
RECHECKED = "exists (select 1 from runs r where r.ticket_id = tickets.id and r.ended_at is null and r.kind = 'recheck')"
ACTIVE = "('ready', 'claimed', 'running', 'needs_input', 'in_review')"


def session(db: Database, session_id: str) -> None:
    """Updates one session and its epic from the states of its tickets. Does nothing unless the session is building."""
    row = db.one("select paused from hitl_sessions where id = ? and state = 'building'", (session_id,), SessionRow)
    epic = db.one("select * from tickets where session_id = ? and type = 'epic' order by seq limit 1", (session_id,), TicketRow)
    if row is None or epic is None:
        return
    drop_dependents(db, epic["id"])
    deliveries.overtake(db, session_id, epic["id"])
    if row["paused"]:
        change(db, "blocked", "session_id = :session and status = 'ready'", {"session": session_id}, reason="The session is paused.")
    else:
        promote(db, epic)
        epic = db.the("select * from tickets where id = ?", (epic["id"],), TicketRow)
    _close(db, session_id, epic, bool(row["paused"]))


def after(db: Database, ticket: TicketRow) -> None:
    """The same for one completed ticket, but cheaper: only its dependents can be free now."""
    free = db.value("select 1 from ticket_dependencies where depends_on = ? limit 1", (ticket["id"],)) and change(
        db, "ready", f"id in (select ticket_id from ticket_dependencies where depends_on = :id) and status = 'blocked' and {FREE}",
        {"id": ticket["id"]})
    if not free and not _moves(db, str(ticket["parent_id"])):
        session(db, ticket["session_id"])


def promote(db: Database, epic: TicketRow) -> None:
    """blocked → ready: for the epic's own runs, and for features with a running epic and merged dependencies."""
    parameters = {"epic": epic["id"]}
    change(db, "ready", "id = :epic and (status in ('blocked', 'pending') or status = 'completed' and base_sha is null)", parameters)
    change(db, "running", "id = :epic and base_sha is not null and (status in ('ready', 'claimed', 'completed') or claim_token is not null)"
           f" and not {RECHECKED} and exists (select 1 from tickets f where f.parent_id = :epic and f.{UNDONE})", parameters,
           claim_token=None, claimed_by=None)  # the result of its integrate run would no longer be about the whole build
    change(db, "blocked", f"parent_id = :epic and {UNDONE} and (status = 'pending' or status = 'ready' and not exists"
           " (select 1 from tickets e where e.id = :epic and e.base_sha is not null and e.waits_for is null))", parameters)
    change(db, "ready", f"parent_id = :epic and {UNDONE} and status = 'blocked' and {FREE}", parameters)


def release(db: Database, which: str, parameters: dict[str, Any], **columns: Any) -> None:
    """Lets tickets run again: they are ready if they are free, otherwise blocked until they are."""
    change(db, "ready", f"({which}) and {FREE}", parameters, **columns)
    change(db, "blocked", f"({which}) and status <> 'ready'", parameters, **columns)


def drop_dependents(db: Database, epic_id: str) -> None:
    """Cancels the dependents of a cancelled feature, and their dependents too."""
    while change(db, "cancelled", f"parent_id = :epic and {UNDONE} and status in ('blocked', 'pending', 'ready') and exists"
                 " (select 1 from ticket_dependencies d join tickets t on t.id = d.depends_on where d.ticket_id = tickets.id and t.status = 'cancelled')",
                 {"epic": epic_id}, reason="It depends on a ticket that was cancelled."):
        continue


def reopen(db: Database, session_id: str) -> None:
    """Sets the session to building and lets the epic continue, because a ticket of an ended build is open again. Not for a cancelled session."""
    state = db.value("select state from hitl_sessions where id = ?", (session_id,))
    if state in ("completed", "failed"):
        session_states.move(db, session_id, state, "building", reason=None)
    elif state != "building":
        return
    change(db, "running", "session_id = :session and type = 'epic' and status in ('completed', 'failed') and base_sha is not null",
           {"session": session_id})
    change(db, "blocked", "session_id = :session and type = 'epic' and status in ('completed', 'failed')", {"session": session_id})


def _moves(db: Database, epic_id: str) -> bool:
    return db.value(f"select 1 from tickets where parent_id = ? and {UNDONE} and status in {ACTIVE} limit 1", (epic_id,)) is not None


def _close(db: Database, session_id: str, epic: TicketRow, paused: bool) -> None:
    if epic["status"] == "completed":
        if db.value(f"select 1 from tickets where parent_id = ? and {UNDONE} limit 1", (epic["id"],)) is None:
            session_states.end(db, session_id, "completed", None)
        return
    if epic["status"] == "failed":
        if not _moves(db, epic["id"]):
            session_states.end(db, session_id, "failed", epic["reason"])
        return
    if epic["status"] != "running" or epic["base_sha"] is None or epic["waits_for"] or epic["claim_token"] is not None or paused or _moves(db, epic["id"]):
        return
    if deliveries.is_pending(db, session_id):
        return  # the whole build was checked and is being delivered
    counts = db.pairs("select status, count(*) from tickets where session_id = ? and parent_id = ? group by status", (session_id, epic["id"]))
    undone = {status: n for status, n in counts.items() if status not in ("completed", "cancelled")}
    if undone:
        failed = counts.get("failed", 0)
        why = f"{failed} of {sum(counts.values())} features failed." if failed else f"No ticket can continue: {undone}."
    elif not counts.get("completed"):
        why = "Every feature was cancelled, so there is nothing to deliver."
    else:
        change(db, "ready", "id = :id", {"id": epic["id"]}, reason="All features are closed.", not_before=None)
        return
    change(db, "failed", "id = :id", {"id": epic["id"]}, reason=why)
    session_states.end(db, session_id, "failed", why)
