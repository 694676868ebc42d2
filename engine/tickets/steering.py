"""What a person does to tickets and builds: retry, cancel, pause, resume."""
from typing import Any

from engine.errors import BadRequest, WrongState
from engine.store.db import Database
from engine.tickets import requests, review_comments, settle
from engine.tickets.states import UNDONE, change, get, is_merging
from engine.times import NOW


def retry(db: Database, tenant: str, ticket_id: str) -> str:
    """A person wants a failed or completed ticket done again: its counters start anew and its build goes on. -> the status then.

    Retrying an epic whose features failed retries those. Raises NotFound; WrongState for any other state or a cancelled session."""
    with db.transaction():
        ticket = get(db, tenant, ticket_id)
        session_state = db.value("select state from hitl_sessions where id = ?", (ticket["session_id"],))
        if ticket["status"] not in ("failed", "completed") or session_state == "cancelled":
            raise _wrong(ticket, f"{ticket_id} cannot be retried: it is {ticket['status']}, its session is {session_state}.")
        failed = db.all(f"select id from tickets where parent_id = ? and {UNDONE} and status = 'failed'", (ticket_id,))
        settle.reopen(db, ticket["session_id"])
        for each in [row["id"] for row in failed] or [ticket_id]:
            requests.withdraw(db, each)
            settle.release(db, "id = :id", {"id": each}, failures=0, conflicts=0, transients=0, not_before=None)
        settle.session(db, ticket["session_id"])
        return str(get(db, tenant, ticket_id)["status"])


def cancel(db: Database, tenant: str, ticket_id: str, reason: str = "Cancelled by a person.", go_on_without: bool = False) -> str:
    """Drops a feature. What depends on it is dropped with it, or, with go_on_without, no longer waits for it. -> the status then.

    Idempotent. Raises NotFound; WrongState when the merge has begun, for a completed ticket, and for an epic."""
    with db.transaction():
        ticket = get(db, tenant, ticket_id)
        if ticket["status"] == "cancelled":
            return "cancelled"
        if ticket["type"] == "epic":
            raise _wrong(ticket, f"{ticket_id} is the epic of a build: cancel the session instead.")
        if ticket["status"] == "completed" or is_merging(db, ticket_id):
            raise _wrong(ticket, f"{ticket_id} is merged already, or its merge has begun: it is too late to cancel it.")
        if go_on_without:
            db.execute("delete from ticket_dependencies where depends_on = ?", (ticket_id,))
        change(db, "cancelled", "id = :id", {"id": ticket_id}, reason=reason)
        requests.withdraw(db, ticket_id)
        if ticket["status"] == "failed":
            settle.reopen(db, ticket["session_id"])  # what kept the build from ending well is gone
        settle.session(db, ticket["session_id"])
    return "cancelled"


def approve(db: Database, tenant: str, ticket_id: str, by: str = "you", tip: str | None = None) -> str:
    """A person has seen the change of a ticket in review: its next run merges exactly that commit. tip: the commit that they saw.

    Drafts of comments stay drafts. Raises NotFound, WrongState, also where another commit is in review by now."""
    with db.transaction():
        review_comments.in_review(db, tenant, ticket_id, tip)
        _answer_review(db, ticket_id, "Approved.", by)
        settle.release(db, "id = :id", {"id": ticket_id}, approved_tip=review_comments.tip_of(db, ticket_id))
        return str(get(db, tenant, ticket_id)["status"])


def request_changes(db: Database, tenant: str, ticket_id: str, comments: str = "", by: str = "you", tip: str | None = None) -> str:
    """A person wants the change of a ticket in review done differently: the next run has the comments in its prompt, the drafts on
    lines of that commit too. Raises BadRequest where there is neither, NotFound, WrongState."""
    if len(comments) > requests.ANSWER_LIMIT:
        raise BadRequest(f"Say what must change, in 1 to {requests.ANSWER_LIMIT} characters.")
    with db.transaction():
        review_comments.in_review(db, tenant, ticket_id, tip)
        sent = review_comments.send(db, ticket_id, review_comments.tip_of(db, ticket_id))
        if not comments.strip() and not sent:
            raise BadRequest(f"Say what must change, in 1 to {requests.ANSWER_LIMIT} characters, or comment on a line.")
        of_lines = f"{sent} {'comment' if sent == 1 else 'comments'} on lines." if sent else ""
        _answer_review(db, ticket_id, f"{comments.strip()}\n\n{of_lines}".strip(), by)
        settle.release(db, "id = :id", {"id": ticket_id}, approved_tip=None)
        return str(get(db, tenant, ticket_id)["status"])


def _answer_review(db: Database, ticket_id: str, answer: str, by: str) -> None:
    db.execute(f"update requests set state = 'answered', answer = ?, answered_by = ?, answered_at = {NOW}"
               " where ticket_id = ? and kind = 'review' and state = 'open'", (answer, by, ticket_id))


def cancel_session(db: Database, session_id: str, reason: str) -> None:
    """Drops every open ticket of a session, but for one whose merge has begun: that one ends by itself."""
    with db.transaction():
        change(db, "cancelled", "session_id = :session and status <> 'failed' and not exists"
               " (select 1 from runs r where r.ticket_id = tickets.id and r.state = 'merging')", {"session": session_id}, reason=reason)
        db.execute(f"update requests set state = 'withdrawn', answered_at = {NOW} where session_id = ? and state = 'open'", (session_id,))


def pause_session(db: Database, session_id: str) -> None:
    """Nothing new of this session starts; what runs goes on."""
    with db.transaction():
        db.execute(f"update hitl_sessions set paused = 1, updated_at = {NOW} where id = ?", (session_id,))
        change(db, "blocked", "session_id = :session and status = 'ready'", {"session": session_id}, reason="The session is paused.")


def resume_session(db: Database, session_id: str) -> None:
    with db.transaction():
        db.execute(f"update hitl_sessions set paused = 0, updated_at = {NOW} where id = ?", (session_id,))
        settle.session(db, session_id)


def _wrong(ticket: Any, sentence: str) -> WrongState:
    return WrongState(sentence, currentState=ticket["status"], since=ticket["updated_at"])
