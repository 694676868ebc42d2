"""Rows of requests: what waits for someone. A run opens a request; an answer (answers.py) closes it, or it is withdrawn."""
import json

from engine.store.db import Database
from engine.tickets import settle
from engine.tickets.rows import RequestKind, RequestRow, TicketRow
from engine.times import NOW

ANSWER_LIMIT = 20_000  # characters
TRY_AGAIN = "Try again"
WAIVE = "Run this session without isolation"
RAISE = "Raise the budget"
STOP = "Stop"
FIRST_COMMIT = "Make a first commit there"
GO_ON = "Go on without"
KEEP, SEND_BACK = "Keep it as it is", "Send it back"
BUDGET_OPTIONS, PROVIDER_OPTIONS = [RAISE, STOP], [TRY_AGAIN, STOP]


def open_question(db: Database, ticket: TicketRow, run_id: str, question: str, options: list[str]) -> None:
    """A question of a run. The ticket waits in needs_input."""
    open_for(db, ticket, run_id, "question", question, options)


def open_repository(db: Database, epic: TicketRow, run_id: str, body: str, options: list[str]) -> None:
    """The repository that a build is for is empty, or cannot be reached. This is a question of the epic, which has no other questions; an open one
    gets the new words. It stays open while the engine tries again by itself."""
    if db.execute("update requests set body = ?, options = ?, run_id = ? where ticket_id = ? and kind = 'question' and state = 'open'",
                  (body, _as_text(options), run_id, epic["id"])).rowcount == 0:
        open_for(db, epic, run_id, "question", body, options)


def allow_first_commit(db: Database, epic: TicketRow) -> None:
    """Records before the build that an empty repository may get a first commit."""
    open_for(db, epic, None, "question", "If the repository is empty, HITL Swarm needs a first commit in it.", [FIRST_COMMIT, STOP])
    db.execute(f"update requests set state = 'answered', answer = ?, answered_by = 'you', answered_at = {NOW} where ticket_id = ? and state = 'open'",
               (FIRST_COMMIT, epic["id"]))


def may_make_first_commit(db: Database, epic_id: str) -> bool:
    return db.value("select 1 from requests where ticket_id = ? and kind = 'question' and state = 'answered' and answer = ? limit 1",
                    (epic_id, FIRST_COMMIT)) is not None


def open_failed(db: Database, ticket: TicketRow, run_id: str | None, reason: str) -> None:
    """A ticket failed and is not retried by itself: someone must decide."""
    open_for(db, ticket, run_id, "failed", reason, ["Retry"])


def open_review(db: Database, ticket: TicketRow, run_id: str, why: str = "") -> None:
    """A change passed its checks and is reviewed before it is merged, because the card asks for it, or for the reason `why`, a sentence."""
    body = f"The change of {ticket['id']} is ready. {why}{' ' if why else ''}Look at it, then approve it or say what must change."
    open_for(db, ticket, run_id, "review", body, [])


def open_isolation(db: Database, ticket: TicketRow, reason: str) -> None:
    """This machine has no isolation for the ticket's commands. There is one request for the whole session."""
    if db.value("select 1 from requests where session_id = ? and kind = 'isolation' and state = 'open'", (ticket["session_id"],)) is None:
        open_for(db, ticket, None, "isolation",
              f"{ticket['id']} has commands from its card, and this machine has no isolation to run them in. "
              "You can run this session without isolation: its commands then run as your own user, with your files and your network. "
              f"Or add isolation and try again; no restart is needed. {reason}", [TRY_AGAIN, WAIVE])


def open_budget(db: Database, ticket: TicketRow, run_id: str, reason: str) -> None:
    """The budget is used up. There is one request for the whole session."""
    if db.value("select 1 from requests where session_id = ? and kind = 'budget' and options <> ? and state = 'open'",
                (ticket["session_id"], _as_text(PROVIDER_OPTIONS))) is None:
        open_for(db, ticket, run_id, "budget",
              f"{ticket['id']} waits: {reason[:1].lower()}{reason[1:]} Its work so far is kept. Raise the budget, which adds the original amount "
              "once more for this session and its runs. Or stop: then every ticket that waits for this fails, and you can retry it.", BUDGET_OPTIONS)


def open_provider(db: Database, ticket: TicketRow, run_id: str, reason: str) -> None:
    """The model's provider refuses until someone acts, or for too long. There is one request for all tickets of a session with the same agent.

    It is of the kind 'budget': like a used-up budget it stops all requests of a session to its model, until someone decides. A question would be
    one ticket's own, would stand in its agent's prompt and might be answered by assumption; a failure would use up an attempt."""
    agent = db.value("select agent from runs where id = ?", (run_id,))
    if not waits_for_provider(db, ticket["session_id"], agent):
        open_for(db, ticket, run_id, "budget",
              f"{ticket['id']} waits: {reason} Its work so far is kept, and no attempt is used up. Try again when this is fixed. "
              "Or stop: then every ticket that waits for this fails, and you can retry it.", PROVIDER_OPTIONS)


def waits_for_provider(db: Database, session_id: str, agent: str | None) -> bool:
    """True if a request of open_provider() is open for this agent."""
    return db.value("select 1 from requests q join runs r on r.id = q.run_id where q.session_id = ? and q.kind = 'budget' and q.state = 'open'"
                    " and q.options = ? and r.agent is ?", (session_id, _as_text(PROVIDER_OPTIONS), agent)) is not None


def is_of_provider(kind: str, options: list[str]) -> bool:
    """True for a request of open_provider(), by its kind and its options."""
    return kind == "budget" and options == PROVIDER_OPTIONS


def waive_checks(count: int) -> str:
    """The option that waives the checks that a request names."""
    return "Waive this check" if count == 1 else f"Waive these {count} checks"


def open_unchanged(db: Database, ticket: TicketRow, run_id: str, reason: str, count: int) -> None:
    """Checks are as red as at the base, and nothing else is wrong. An epic has no agent that it could be sent back to."""
    open_for(db, ticket, run_id, "baseline",
             f"{reason} No attempt was used up. Keep the change with {'this check' if count == 1 else 'these checks'} red, which may then stay as red as "
             f"at the base; waive {'it' if count == 1 else 'them'}; or {'check again' if ticket['type'] == 'epic' else 'let the agent go on'}.",
             [KEEP, waive_checks(count), TRY_AGAIN if ticket["type"] == "epic" else SEND_BACK])


def was_kept(db: Database, ticket_id: str) -> bool:
    """True if the last decision about a change was that red checks of it are kept or waived, and not its review."""
    return bool(db.value("select kind from requests where ticket_id = ? and kind in ('review', 'baseline') and state = 'answered' order by seq desc limit 1",
                         (ticket_id,)) == "baseline")


def open_delivery(db: Database, ticket: TicketRow, body: str, options: list[str]) -> None:
    """A delivery cannot continue by itself. The ticket keeps its status, because nothing must be built again."""
    open_for(db, ticket, None, "delivery", body, options)


def open_for(db: Database, ticket: TicketRow, run_id: str | None, kind: RequestKind, body: str, options: list[str]) -> None:
    """A request of a ticket. The other functions here say what each kind is about."""
    db.execute("insert into requests (tenant_id, session_id, ticket_id, run_id, kind, body, options) values (?, ?, ?, ?, ?, ?, ?)",
               (ticket["tenant_id"], ticket["session_id"], ticket["id"], run_id, kind, body, _as_text(options)))


def _as_text(options: list[str]) -> str:
    return json.dumps(options, ensure_ascii=False)


def withdraw(db: Database, ticket_id: str) -> None:
    """Withdraws the open requests of a ticket, because they no longer matter."""
    db.execute(f"update requests set state = 'withdrawn', answered_at = {NOW} where ticket_id = ? and state = 'open'"
               " and kind not in ('isolation', 'budget')", (ticket_id,))


def withdraw_idle(db: Database) -> None:
    """Withdraws the open requests of tickets whose status was changed by hand. A question of an epic stays until its repository is there."""
    db.execute(f"update requests set state = 'withdrawn', answered_at = {NOW} where state = 'open'"
               " and kind not in ('isolation', 'budget', 'delivery') and exists"
               " (select 1 from tickets t where t.id = requests.ticket_id and t.status <>"
               " case when requests.kind = 'review' then 'in_review' when requests.kind = 'failed' then 'failed' else 'needs_input' end"
               " and not (requests.kind = 'question' and t.type = 'epic' and t.status in ('blocked', 'ready', 'claimed', 'running') and t.base_sha is null))")


def close_question(db: Database, row: RequestRow, text: str, by: str) -> None:
    """Stores the answer to a question; its ticket continues."""
    db.execute(f"update requests set state = 'answered', answer = ?, answered_by = ?, answered_at = {NOW} where seq = ?", (text, by, row["seq"]))
    settle.release(db, "id = :id and status = 'needs_input'", {"id": row["ticket_id"]}, not_before=None)
    settle.session(db, row["session_id"])
