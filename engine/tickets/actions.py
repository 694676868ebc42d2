"""What people do with the tickets of a build: retry, cancel, stop, tell, waive, approve, ask for changes; and with the build: pause, resume, cancel."""
import json
from collections.abc import Collection
from typing import Any, Literal

from engine.criteria import criteria_of
from engine.errors import BadRequest, WrongState
from engine.store.db import Database
from engine.text import stored
from engine.tickets import requests, review_comments, settle
from engine.tickets.rows import Status, SteerRow, TicketRow
from engine.tickets.states import HELD, NOT_MERGING, UNDONE, change, get, is_merging
from engine.times import NOW

REASON_LIMIT, MESSAGE_LIMIT = 1000, 20_000  # characters
STOPPED = "The run was stopped by hand. Its log is kept, and the next run starts from the work that could be saved. Retry the ticket, change it, or drop it."


def retry(db: Database, tenant: str, ticket_id: str) -> str:
    """Runs a failed or completed ticket again: its counters are reset and its build continues. -> the new status.

    A retry of an epic with failed features retries these features. Raises NotFound; WrongState for any other state or a cancelled session."""
    with db.transaction():
        ticket = get(db, tenant, ticket_id)
        session_state = db.value("select state from hitl_sessions where id = ?", (ticket["session_id"],))
        if ticket["status"] not in ("failed", "completed") or session_state == "cancelled":
            raise _wrong(ticket, f"{ticket_id} cannot be retried: the ticket is {ticket['status']}, and its session is {session_state}.")
        failed = db.all(f"select id from tickets where parent_id = ? and {UNDONE} and status = 'failed'", (ticket_id,), TicketRow)
        settle.reopen(db, ticket["session_id"])
        # Its environment may have been changed since: it is looked at again first.
        db.execute("update tickets set waits_for = 'environment' where id = ? and environment is not null and waits_for is null and status = 'running'",
                   (ticket["parent_id"] or ticket_id,))
        for each in [row["id"] for row in failed] or [ticket_id]:
            requests.withdraw(db, each)
            settle.release(db, "id = :id", {"id": each}, failures=0, conflicts=0, transients=0, not_before=None)
        settle.session(db, ticket["session_id"])
        return str(get(db, tenant, ticket_id)["status"])


def cancel(db: Database, tenant: str, ticket_id: str, reason: str = "Cancelled by hand.", go_on_without: bool = False) -> str:
    """Drops a feature. Tickets that depend on it are dropped too; with go_on_without they no longer wait for it. -> the new status.

    May be called again. Raises NotFound; WrongState when the merge has started, for a completed ticket, and for an epic."""
    with db.transaction():
        ticket = get(db, tenant, ticket_id)
        if ticket["status"] == "cancelled":
            return "cancelled"
        if ticket["type"] == "epic":
            raise _wrong(ticket, f"{ticket_id} is the epic of a build. Cancel the session instead.")
        if ticket["status"] == "completed" or is_merging(db, ticket_id):
            raise _wrong(ticket, f"{ticket_id} cannot be cancelled: it is merged, or its merge has started.")
        if go_on_without:
            db.execute("delete from ticket_dependencies where depends_on = ?", (ticket_id,))
        change(db, "cancelled", "id = :id", {"id": ticket_id}, reason=reason)
        requests.withdraw(db, ticket_id)
        if ticket["status"] == "failed":
            settle.reopen(db, ticket["session_id"])  # the failed ticket was dropped, so the build may complete now
        settle.session(db, ticket["session_id"])
    return "cancelled"


def stop(db: Database, tenant: str, ticket_id: str) -> None:
    """Stops the run of a ticket, which then waits for a decision. Raises NotFound; WrongState when nothing runs, or the merge has started."""
    with db.transaction():
        ticket = get(db, tenant, ticket_id)
        if ticket["type"] == "epic":
            raise WrongState(f"{ticket_id} is the epic of a build. Pause or cancel the session instead.", currentState=ticket["status"])
        if ticket["status"] not in HELD or is_merging(db, ticket_id):
            why = "its merge has started" if is_merging(db, ticket_id) else f"it is {ticket['status'].replace('_', ' ')}"
            raise WrongState(f"{ticket_id} has no run to stop: {why}.", currentState=ticket["status"], since=ticket["updated_at"])
        run = db.value("select id from runs where ticket_id = ? and ended_at is null", (ticket_id,))
        change(db, "failed", "id = :id", {"id": ticket_id}, reason=STOPPED)
        requests.open_failed(db, ticket, run, STOPPED)
        note(db, ticket, "stopped", STOPPED)
        settle.session(db, ticket["session_id"])


def tell(db: Database, tenant: str, ticket_id: str, text: str) -> None:
    """Stores a message for the prompt of the ticket's next attempt. Raises NotFound, BadRequest; WrongState for a ticket that is done
    and for an epic, whose runs have no agent."""
    text = _text(text, MESSAGE_LIMIT, "Say something")
    with db.transaction():
        ticket = get(db, tenant, ticket_id)
        if ticket["type"] == "epic":
            raise WrongState(f"{ticket_id} is the epic of a build. No agent works on it: write to one of its features.", currentState=ticket["status"])
        if ticket["status"] in ("completed", "cancelled"):
            raise WrongState(f"{ticket_id} is {ticket['status']}, so no attempt would read the message.", currentState=ticket["status"],
                             since=ticket["updated_at"])
        note(db, ticket, "message", text)


def waive(db: Database, tenant: str, ticket_id: str, number: int, reason: str) -> None:
    """Stops running the check of criterion `number` (from 1). The reason is stored for the notes. A failed ticket runs again.

    Raises NotFound, BadRequest; WrongState while the ticket runs, or when it is merged or dropped."""
    reason = _text(reason, REASON_LIMIT, "Say why the criterion is waived")
    with db.transaction():
        ticket = get(db, tenant, ticket_id)
        check_open(ticket)
        criteria = criteria_of(ticket["acceptance_criteria"])
        if not 1 <= number <= len(criteria):
            raise BadRequest(f"{ticket_id} has {len(criteria)} criteria, so number {number} does not exist.")
        items = [item for item in stored(ticket["acceptance_criteria"], []) if isinstance(item, (str, dict))]  # numbered as in criteria_of
        item = items[number - 1]
        items[number - 1] = {**(item if isinstance(item, dict) else {"text": item}), "waived": reason}
        db.execute(f"update tickets set acceptance_criteria = ?, updated_at = {NOW} where id = ?", (json.dumps(items, ensure_ascii=False), ticket_id))
        note(db, ticket, "waived", f"{criteria[number - 1].text}: {reason}")
        go_again(db, tenant, ticket)


def mark(db: Database, ticket: TicketRow, commands: Collection[str], name: Literal["kept", "waived"], reason: str) -> None:
    """Marks the criteria of a ticket that these commands check: they may stay red, or run no more. In the caller's transaction."""
    items = [item for item in stored(ticket["acceptance_criteria"], []) if isinstance(item, (str, dict))]
    marked = [item for item in items if isinstance(item, dict) and item.get("check") in commands and not item.get("waived")]
    for item in marked:
        item[name] = reason
        note(db, ticket, "waived" if name == "waived" else "edited", f"{item.get('text') or item['check']}: {reason}")
    if marked:
        db.execute(f"update tickets set acceptance_criteria = ?, updated_at = {NOW} where id = ?", (json.dumps(items, ensure_ascii=False), ticket["id"]))


def check_open(ticket: TicketRow) -> None:
    """Raises WrongState for a ticket that cannot be changed now."""
    if ticket["status"] in (*HELD, "completed", "cancelled", "in_review"):
        why = "stop its run first" if ticket["status"] in HELD else "it is too late to change it"
        raise WrongState(f"{ticket['id']} is {ticket['status'].replace('_', ' ')}: {why}.", currentState=ticket["status"], since=ticket["updated_at"])


def go_again(db: Database, tenant: str, ticket: TicketRow) -> None:
    """Retries a failed ticket after a change of it."""
    if ticket["status"] == "failed":
        retry(db, tenant, ticket["id"])


def approve(db: Database, tenant: str, ticket_id: str, by: str = "you", tip: str | None = None) -> str:
    """Approves the change of a ticket in review: its next run merges exactly that commit. tip: the commit that the reviewer saw.

    Draft comments stay drafts. Raises NotFound; WrongState, also if another commit is in review now."""
    with db.transaction():
        review_comments.in_review(db, tenant, ticket_id, tip)
        _answer_review(db, ticket_id, "Approved.", by)
        settle.release(db, "id = :id", {"id": ticket_id}, approved_tip=review_comments.tip_of(db, ticket_id))
        return str(get(db, tenant, ticket_id)["status"])


def request_changes(db: Database, tenant: str, ticket_id: str, comments: str = "", by: str = "you", tip: str | None = None) -> str:
    """Sends a ticket in review back for changes: the next run has the comments in its prompt, and also the draft comments on
    lines of that commit. Raises BadRequest if there are no comments at all; NotFound, WrongState."""
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
    """Drops every open ticket of a session, except a ticket whose merge has started: that merge completes."""
    with db.transaction():
        change(db, "cancelled", f"session_id = :session and status <> 'failed' and {NOT_MERGING}", {"session": session_id}, reason=reason)
        db.execute(f"update requests set state = 'withdrawn', answered_at = {NOW} where session_id = ? and state = 'open'", (session_id,))


def pause_session(db: Database, session_id: str) -> None:
    """Starts no new runs of this session; live runs continue."""
    with db.transaction():
        db.execute(f"update hitl_sessions set paused = 1, updated_at = {NOW} where id = ?", (session_id,))
        change(db, "blocked", "session_id = :session and status = 'ready'", {"session": session_id}, reason="The session is paused.")


def resume_session(db: Database, session_id: str) -> None:
    with db.transaction():
        db.execute(f"update hitl_sessions set paused = 0, updated_at = {NOW} where id = ?", (session_id,))
        settle.session(db, session_id)


def note(db: Database, ticket: TicketRow, kind: str, body: str) -> None:
    """Records an action for prompts, history and notes."""
    db.execute("insert into ticket_steers (tenant_id, session_id, ticket_id, kind, body) values (?, ?, ?, ?, ?)",
               (ticket["tenant_id"], ticket["session_id"], ticket["id"], kind, body))


# A run whose agent got the ticket's prompt: it started, and did more than merge an approved commit.
_PROMPTED = ("r.kind = 'feature' and r.started_at is not null and coalesce(r.outcome, '') <> 'void' and not (coalesce(r.phases, '{}') = '{}' and exists"
             " (select 1 from runs p where p.ticket_id = r.ticket_id and p.seq < r.seq and p.outcome = 'in_review' and p.tip_sha = r.tip_sha))")


class _Steer(SteerRow):
    told: int | None
    status: Status  # of its ticket


def steers(db: Database, ticket_id: str) -> list[dict[str, Any]]:
    """[{seq, kind, body, created_at, told, late, note}], oldest first. told: number of the first run that got the message, None:
    no run yet. late: no run got it before the ticket was merged or dropped (a later run would have it in its prompt). note: the same in words."""
    rows = db.all(
        f"select m.seq, m.kind, m.body, m.created_at, iif(m.kind = 'message', (select min(r.run_no) from runs r where r.ticket_id = m.ticket_id"
        f" and r.created_at > m.created_at and {_PROMPTED}), null) as told, t.status"
        " from ticket_steers m join tickets t on t.id = m.ticket_id where m.ticket_id = ? order by m.seq", (ticket_id,), _Steer)
    return [{"seq": row["seq"], "kind": row["kind"], "body": row["body"], "created_at": row["created_at"], "told": row["told"], **_reading(row)}
            for row in rows]


def _reading(row: _Steer) -> dict[str, Any]:
    """Whether a run got this message. row: from steers()."""
    late = row["kind"] == "message" and row["told"] is None and row["status"] in ("completed", "cancelled")
    if row["kind"] != "message":
        note = ""
    elif row["told"]:
        note = f"in the prompt of run {row['told']}"
    elif late:
        note = f"no run got it: the ticket was {'merged' if row['status'] == 'completed' else 'dropped'} before"
    else:
        note = "not sent yet: it will be in the next prompt" + (", if you ask for changes" if row["status"] == "in_review" else "")
    return {"late": late, "note": note}


def _wrong(ticket: TicketRow, sentence: str) -> WrongState:
    return WrongState(sentence, currentState=ticket["status"], since=ticket["updated_at"])


def _text(text: object, most: int, ask: str) -> str:
    found = text.strip() if isinstance(text, str) else ""
    if not found or len(found) > most:
        raise BadRequest(f"{ask}, in 1 to {most:,} characters.")
    return found
