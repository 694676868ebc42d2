"""Answers to requests. A request is answered once, and the effects happen in the same transaction."""

from engine.errors import BadRequest, NotFound, WrongState
from engine.result_values import checks_of
from engine.store.db import Database
from engine.text import stored
from engine.tickets import actions, delivery_answers, requests, same_question, settle
from engine.tickets.rows import RequestRow, RunRow, TicketRow
from engine.tickets.states import change, get

# Tickets that wait for a decision about the session, not for an answer to their own question.
_WAITING = ("session_id = :session and status = 'needs_input' and not exists"
            " (select 1 from requests r where r.ticket_id = tickets.id and r.kind = 'question' and r.state = 'open')")


def answer(db: Database, tenant: str, ticket_id: str, text: str, by: str = "you") -> None:
    """Answers the request of a ticket; its next run has the answer in its prompt.

    Raises NotFound; BadRequest for a text that is empty or too long; WrongState, with the earlier answer, when no request is open."""
    with db.transaction():
        ticket = get(db, tenant, ticket_id)
        row = db.one("select * from requests where kind in ('question', 'isolation', 'budget', 'delivery', 'environment', 'baseline') and"
                     " (ticket_id = :id or (kind in ('isolation', 'budget') and session_id = :session))"
                     " order by state = 'open' desc, exists (select 1 from json_each(options) where value = :text) desc, seq desc limit 1",
                     {"id": ticket_id, "session": ticket["session_id"], "text": text.strip() if isinstance(text, str) else ""}, RequestRow)
        if row is None:
            raise NotFound(f"{ticket_id} asks nothing.")
        answer_request(db, tenant, row["seq"], text, by)


def answer_request(db: Database, tenant: str, seq: int, text: str, by: str = "you") -> None:
    """The same as answer(), by the number of the request."""
    text = text.strip() if isinstance(text, str) else ""
    if not text or len(text) > requests.ANSWER_LIMIT:
        raise BadRequest(f"An answer must have 1 to {requests.ANSWER_LIMIT} characters.")
    with db.transaction():
        row = db.one("select * from requests where seq = ? and tenant_id = ?", (seq, tenant), RequestRow)
        if row is None:
            raise NotFound("Request not found")
        if row["kind"] == "failed":
            raise WrongState("This request is not a question. Retry or cancel the ticket instead.", currentState=row["state"])
        if row["ticket_id"] is None:
            raise WrongState("This is no question to answer here. Open the page of the repository, which says what to do.", currentState=row["state"])
        if row["state"] != "open":
            raise WrongState(f"This request was {row['state']} at {row['answered_at']}.", currentState=row["state"], answer=row["answer"],
                             answered_by=row["answered_by"], answered_at=row["answered_at"])
        if row["kind"] == "isolation":
            _answer_isolation(db, row, text)
        elif row["kind"] == "budget":
            _answer_budget(db, row, text)
        elif row["kind"] == "delivery":
            delivery_answers.answer(db, row, text)
        elif row["kind"] == "environment":
            _check_offered(row, text)  # the engine looks at the answer: engine/loop/grounds.py
        elif row["kind"] == "baseline":
            _check_offered(row, text)
            _answer_baseline(db, row, text)
        elif _is_of_epic(db, row):
            _answer_repository(db, row, text)
        requests.close_question(db, row, text, by)
        if row["kind"] == "question":
            same_question.answer_alike(db, row, text)


def _is_of_epic(db: Database, row: RequestRow) -> bool:
    return db.value("select 1 from tickets where id = ? and type = 'epic'", (row["ticket_id"],)) is not None


def _answer_repository(db: Database, row: RequestRow, text: str) -> None:
    """A question of an epic: see requests.open_repository()."""
    _check_offered(row, text)
    if text == requests.STOP:
        change(db, "failed", "id = :id and base_sha is null", {"id": row["ticket_id"]}, reason="The repository could not be used, and the answer was to stop.")
    else:  # it may be waiting for its next try by itself
        db.execute("update tickets set not_before = null, transients = 0 where id = ? and status in ('ready', 'blocked')", (row["ticket_id"],))


def _check_offered(row: RequestRow, text: str) -> list[str]:
    """-> the options. Raises BadRequest for any other answer."""
    options = stored(row["options"], [])
    if text not in options:
        raise BadRequest(f"The answer must be one of: {', '.join(map(repr, options))}.")
    return list(options)


def _answer_isolation(db: Database, row: RequestRow, text: str) -> None:
    if text not in (requests.TRY_AGAIN, requests.WAIVE):
        raise BadRequest(f"The answer must be one of: {requests.TRY_AGAIN!r}, {requests.WAIVE!r}.")
    if text == requests.WAIVE:
        db.execute("update hitl_sessions set isolation = 'waived' where id = ?", (row["session_id"],))
    settle.release(db, _WAITING, {"session": row["session_id"]})


def _answer_budget(db: Database, row: RequestRow, text: str) -> None:
    """The session's own budget, or its provider (see requests.open_provider)."""
    options = _check_offered(row, text)
    if text == requests.STOP:
        cause = "The model's provider refused" if requests.is_of_provider("budget", options) else "The budget is used up"
        change(db, "failed", _WAITING, {"session": row["session_id"]}, reason=f"{cause}, and the answer was to stop.")
        return
    if text == requests.RAISE:
        db.execute("update hitl_sessions set budget_raises = budget_raises + 1 where id = ?", (row["session_id"],))
    settle.release(db, _WAITING, {"session": row["session_id"]}, not_before=None)


def _answer_baseline(db: Database, row: RequestRow, text: str) -> None:
    """About checks that cannot run at the base, or that are as red after the work as at the base (see requests.open_unchanged)."""
    run = db.one("select kind, tip_sha, checks from runs where id = ?", (row["run_id"],), RunRow)
    ticket = db.the("select * from tickets where id = ?", (row["ticket_id"],), TicketRow)
    if run is None or run["kind"] == "baseline":
        _answer_at_base(db, ticket, text)
    elif text not in (requests.SEND_BACK, requests.TRY_AGAIN):
        red = [str(check["command"]) for check in checks_of(stored(run["checks"], [])) if check.get("unchanged") and not check["passed"]]
        if text == requests.KEEP:
            actions.mark(db, ticket, red, "kept", "It may stay as red as it is at the base.")
        else:
            actions.mark(db, ticket, red, "waived", "It was as red at the base, before any work.")
        if ticket["type"] != "epic":
            db.execute("update tickets set approved_tip = ? where id = ?", (run["tip_sha"], ticket["id"]))


def _answer_at_base(db: Database, epic: TicketRow, text: str) -> None:
    if text == requests.GO_ON:
        db.execute("update tickets set waits_for = null where id = ?", (epic["id"],))
        return
    at_base = ("repository_id = (select repository_id from hitl_sessions where id = :session) and base_sha = :base and environment_key = :key"
               " and result = 'cannot_run'")
    place = {"session": epic["session_id"], "base": epic["base_sha"], "key": epic["environment"] or ""}
    if text == requests.TRY_AGAIN:
        db.execute(f"delete from baselines where {at_base}", place)
        db.execute("update tickets set waits_for = 'environment' where id = ?", (epic["id"],))  # what was missing may be in its steps by now
        return
    bad = [each[0] for each in db.all(f"select command from baselines where {at_base}", place)]
    for ticket in db.all("select * from tickets where session_id = ?", (epic["session_id"],), TicketRow):
        actions.mark(db, ticket, bad, "waived", "It cannot run at the base.")
