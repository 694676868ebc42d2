"""What waits for a person: opened by a run, answered once."""
import json
from typing import Any

from engine import delivered, same_question, settle
from engine.db import Database
from engine.errors import BadRequest, NotFound, WrongState
from engine.tickets import NOW, change, get

# Tickets that wait for a word about the session, not for an answer of their own.
_WAITING = ("session_id = :session and status = 'needs_input' and not exists"
            " (select 1 from requests r where r.ticket_id = tickets.id and r.kind = 'question' and r.state = 'open')")
ANSWER_LIMIT = 20_000  # characters
TRY_AGAIN = "Try again"
WAIVE = "Run this session without isolation"
RAISE = "Raise the budget"
STOP = "Stop"


def open_question(db: Database, ticket: Any, run_id: str, question: str, options: list[str]) -> None:
    """A run asks; its ticket waits in needs_input."""
    _open(db, ticket, run_id, "question", question, options)


def open_failed(db: Database, ticket: Any, run_id: str | None, reason: str) -> None:
    """A ticket failed for good; a person decides."""
    _open(db, ticket, run_id, "failed", reason, ["Retry"])


def open_review(db: Database, ticket: Any, run_id: str) -> None:
    """A change passed its checks, and its card wants a person to see it before it is merged."""
    _open(db, ticket, run_id, "review", f"The change of {ticket['id']} is ready: look at it, then approve it or say what must change.", [])


def open_isolation(db: Database, ticket: Any, reasons: str) -> None:
    """Nothing here isolates this ticket's commands. One request serves the whole session."""
    if db.value("select 1 from requests where session_id = ? and kind = 'isolation' and state = 'open'", (ticket["session_id"],)) is None:
        _open(db, ticket, None, "isolation",
              f"{ticket['id']} has commands of its card, and this machine offers no isolation to run them in. {reasons} "
              "Mend that (make system-deps installs bubblewrap) and try again; no restart is needed. Or run this session without isolation: "
              "its commands then run as your own user, with your files and your network.", [TRY_AGAIN, WAIVE])


def open_budget(db: Database, ticket: Any, run_id: str, reason: str) -> None:
    """There is nothing left to spend. One request serves the whole session."""
    if db.value("select 1 from requests where session_id = ? and kind = 'budget' and state = 'open'", (ticket["session_id"],)) is None:
        _open(db, ticket, run_id, "budget",
              f"{ticket['id']} waits: {reason[:1].lower()}{reason[1:]} Its work so far is kept. Raise the budget of this session and of its runs by as "
              "much as it was, or stop: then every ticket that waits for this fails, and can be retried.", [RAISE, STOP])


def open_delivery(db: Database, ticket: Any, body: str, options: list[str]) -> None:
    """A delivery cannot go on by itself. Its ticket keeps its status: nothing of it is to be built again."""
    _open(db, ticket, None, "delivery", body, options)


def _open(db: Database, ticket: Any, run_id: str | None, kind: str, body: str, options: list[str]) -> None:
    db.execute("insert into requests (tenant_id, session_id, ticket_id, run_id, kind, body, options) values (?, ?, ?, ?, ?, ?, ?)",
               (ticket["tenant_id"], ticket["session_id"], ticket["id"], run_id, kind, body, json.dumps(options, ensure_ascii=False)))


def withdraw(db: Database, ticket_id: str) -> None:
    """Closes what is open about a ticket, because something else has decided."""
    db.execute(f"update requests set state = 'withdrawn', answered_at = {NOW} where ticket_id = ? and state = 'open'"
               " and kind not in ('isolation', 'budget')", (ticket_id,))


def withdraw_idle(db: Database) -> None:
    """Closes what is open about tickets that have been moved on by hand."""
    db.execute(f"update requests set state = 'withdrawn', answered_at = {NOW} where state = 'open'"
               " and kind not in ('isolation', 'budget', 'delivery') and exists"
               " (select 1 from tickets t where t.id = requests.ticket_id and t.status <>"
               " case requests.kind when 'question' then 'needs_input' when 'review' then 'in_review' else 'failed' end)")


def answer(db: Database, tenant: str, ticket_id: str, text: str, by: str = "you") -> None:
    """Answers what a ticket asks; its next run has the answer in its prompt.

    Raises NotFound, BadRequest for an empty or overlong text, WrongState when nothing is open (with the answer that was given)."""
    with db.transaction():
        ticket = get(db, tenant, ticket_id)
        row = db.one("select * from requests where kind in ('question', 'isolation', 'budget', 'delivery') and"
                     " (ticket_id = :id or (kind in ('isolation', 'budget') and session_id = :session))"
                     " order by state = 'open' desc, seq desc limit 1", {"id": ticket_id, "session": ticket["session_id"]})
        if row is None:
            raise NotFound(f"{ticket_id} asks nothing.")
        answer_request(db, tenant, row["seq"], text, by)


def answer_request(db: Database, tenant: str, seq: int, text: str, by: str = "you") -> None:
    """The same, by the request's own number."""
    text = text.strip() if isinstance(text, str) else ""
    if not text or len(text) > ANSWER_LIMIT:
        raise BadRequest(f"An answer has 1 to {ANSWER_LIMIT} characters.")
    with db.transaction():
        row = db.one("select * from requests where seq = ? and tenant_id = ?", (seq, tenant))
        if row is None:
            raise NotFound("Request not found")
        if row["kind"] == "failed":
            raise WrongState("This request is not a question: retry or cancel the ticket.", currentState=row["state"])
        if row["state"] != "open":
            raise WrongState(f"This was {row['state']} at {row['answered_at']}.", currentState=row["state"], answer=row["answer"],
                             answered_by=row["answered_by"], answered_at=row["answered_at"])
        if row["kind"] == "isolation":
            _answer_isolation(db, row, text)
        elif row["kind"] == "budget":
            _answer_budget(db, row, text)
        elif row["kind"] == "delivery":
            delivered.answer(db, row, text)
        close_question(db, row, text, by)
        if row["kind"] == "question":
            same_question.answer_alike(db, row, text)


def close_question(db: Database, row: Any, text: str, by: str) -> None:
    """The answer is there: its ticket goes on."""
    db.execute(f"update requests set state = 'answered', answer = ?, answered_by = ?, answered_at = {NOW} where seq = ?", (text, by, row["seq"]))
    settle.release(db, "id = :id and status = 'needs_input'", {"id": row["ticket_id"]}, not_before=None)
    settle.session(db, row["session_id"])


def _answer_isolation(db: Database, row: Any, text: str) -> None:
    if text not in (TRY_AGAIN, WAIVE):
        raise BadRequest(f"The answer is one of: {TRY_AGAIN!r}, {WAIVE!r}.")
    if text == WAIVE:
        db.execute("update hitl_sessions set isolation = 'waived' where id = ?", (row["session_id"],))
    settle.release(db, _WAITING, {"session": row["session_id"]})


def _answer_budget(db: Database, row: Any, text: str) -> None:
    if text not in (RAISE, STOP):
        raise BadRequest(f"The answer is one of: {RAISE!r}, {STOP!r}.")
    if text == RAISE:
        db.execute("update hitl_sessions set budget_raises = budget_raises + 1 where id = ?", (row["session_id"],))
        settle.release(db, _WAITING, {"session": row["session_id"]}, not_before=None)
    else:
        change(db, "failed", _WAITING, {"session": row["session_id"]}, reason="The budget is used up, and a person chose to stop.")
