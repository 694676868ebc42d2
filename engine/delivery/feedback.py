"""What comes back from a pull request: merged, closed, reopened, a failed check, comments of people. Each fact is recorded and handled in
one transaction, so only once, even over restarts. Foreign text goes only into a prompt, never into a ticket's description, which an
agent may execute.

A pull request is looked at while a question about it is open, too: what happened there may answer the question, which is then withdrawn."""
from engine.agents import is_configured
from engine.config import Config
from engine.crash import point
from engine.delivery import remarks
from engine.forge.base import Forge, State, clean
from engine.log import event
from engine.store.db import Database
from engine.text import stored
from engine.tickets import deliveries, requests, settle
from engine.tickets.delivery_answers import AGAIN, LEAVE, ONCE_MORE, RETRY
from engine.tickets.new_tickets import create
from engine.tickets.rows import DeliveryRow, ForgeFactRow, RequestRow, TicketRow
from engine.times import NOW, utc

MOST_ROUNDS = 3           # most runs that failing checks start
LONGEST = 30_000          # characters of all feedback in one prompt


def take_in(db: Database, config: Config, row: DeliveryRow, forge: Forge) -> DeliveryRow | None:
    """Takes in the state of a delivery's pull request. -> the row as it is then, if the pull request must be looked at again; otherwise None."""
    state = forge.check_state(row["number"] or 0)
    if state.state == "merged":
        _merged(db, row)
        return None
    if state.state == "closed":
        return row if row["state"] == "closed" else _closed(db, row)
    now = _is_open(db, row)
    if now is not None and now["state"] == "watched":
        _act(db, config, now, state, forge)
    return now


def _merged(db: Database, row: DeliveryRow) -> None:
    point("before-act")
    with db.transaction():
        said = f"The pull request #{row['number']} was merged."
        if deliveries.move(db, row, "merged", waiting=None, reason=said) and _fact(db, row, f"merged:{row['number']}", "merged"):
            db.execute(f"update tickets set reason = ?, updated_at = {NOW} where id = ?", (said, row["ticket_id"]))
            db.execute(f"update hitl_sessions set reason = ?, updated_at = {NOW} where id = ? and state = 'completed' and exists"
                       " (select 1 from tickets where id = ? and type = 'epic')", (said, row["session_id"], row["ticket_id"]))
        deliveries.withdraw(db, row["ticket_id"])
        db.execute("update deliveries set not_before = null where session_id = ? and base_branch = ? and state = 'watched'", (row["session_id"], row["branch"]))
    point("after-act")
    event("merged_there", ticket=row["ticket_id"], number=row["number"])


def _closed(db: Database, row: DeliveryRow) -> DeliveryRow | None:
    point("before-act")
    with db.transaction():
        now = deliveries.move(db, row, "closed", waiting="person", reason=f"Its pull request #{row['number']} was closed without being merged.")
        if now:
            _fact(db, row, f"closed:{row['number']}", "closed")
            deliveries.withdraw(db, row["ticket_id"])
            requests.open_delivery(db, _ticket(db, row), f"The pull request #{row['number']} of {row['ticket_id']} was closed without being merged. "
                                   "Open a new one from the same branch, or leave it closed?", [AGAIN, LEAVE])
    point("after-act")
    return now


def _is_open(db: Database, row: DeliveryRow) -> DeliveryRow | None:
    """-> the row, without a question that its open pull request answers: it was reopened by hand, or could not be looked at before."""
    if row["waiting"] is None or row["state"] == "delivered":
        return row
    asked = db.one("select * from requests where ticket_id = ? and kind = 'delivery' and state = 'open' order by seq desc limit 1",
                   (row["ticket_id"],), RequestRow)
    if row["state"] == "watched" and asked is not None and RETRY not in stored(asked["options"], []):
        return row
    with db.transaction():
        now = deliveries.move(db, row, "watched", waiting=None)
        if now:
            deliveries.withdraw(db, row["ticket_id"])
    event("looked_at_again", ticket=row["ticket_id"], number=row["number"])
    return now


def _act(db: Database, config: Config, row: DeliveryRow, state: State, forge: Forge) -> None:
    """Comments and failed checks, each for itself: comments do not wait for checks. They are handled at the first look that finds no newer ones."""
    fresh = remarks.record(db, row, state.remarks, forge.may_write)
    red = _failure(db, config, row, state)
    said = [] if fresh else remarks.waiting(db, row)
    if said:
        _answer(db, config, row, said, red)
    elif red is not None:
        _failed(db, config, row, state, red)
    elif state.failed and not state.pending:
        _still_red(db, row, state)


def _failure(db: Database, config: Config, row: DeliveryRow, state: State) -> int | None:
    """Records that checks failed on our commit. -> the fact, if it is to be acted on now: checks that still run hold it up for a bounded time."""
    if not state.failed or state.head != row["pushed_sha"]:
        return None
    body = clean("\n\n".join(f"{failed.name} failed. The end of its log:\n{failed.log}" for failed in state.failed[:5]), LONGEST)
    with db.transaction():
        _fact(db, row, f"ci:{state.head}", "ci")
        fact = db.one("update forge_facts set body = ? where delivery = ? and fingerprint = ? and acted_at is null returning *",
                      (body, row["seq"], f"ci:{state.head}"), ForgeFactRow)
    if fact is None or (state.pending and fact["created_at"] > utc(after=-config.forge_pending_seconds)):
        return None
    return fact["seq"]


def _failed(db: Database, config: Config, row: DeliveryRow, state: State, fact: int) -> None:
    point("before-act")
    with db.transaction():
        if _as_it_was(db, row):
            db.execute(f"update forge_facts set acted_at = {NOW} where seq = ?", (fact,))
            if row["rounds"] >= MOST_ROUNDS:
                _ask(db, row, f"{_names(state)} failed again on the pull request #{row['number']}, after {MOST_ROUNDS} runs to fix it.")
            else:
                db.execute("update deliveries set rounds = rounds + 1 where seq = ?", (row["seq"],))
                _start(db, config, row, [fact], f"{_names(state)} failed on the pull request #{row['number']}.")
    point("after-act")


def _still_red(db: Database, row: DeliveryRow, state: State) -> None:
    """Asks a person once, if a run for this commit's failed checks left the commit as it was."""
    fact = db.value("select seq from forge_facts where delivery = ? and fingerprint = ? and told_at is not null", (row["seq"], f"ci:{state.head}"))
    if fact is None or row["waiting"] is not None:
        return
    with db.transaction():
        if _as_it_was(db, row) and _fact(db, row, f"red:{state.head}", "ci"):
            db.execute(f"update forge_facts set acted_at = {NOW} where seq = ?", (fact,))
            _ask(db, row, f"{_names(state)} still failed on the pull request #{row['number']}: a run looked at it and changed nothing.")


def _answer(db: Database, config: Config, row: DeliveryRow, said: list[int], red: int | None) -> None:
    """One run for the comments; and for failed checks that are to be acted on now, too."""
    both = red is not None and row["rounds"] < MOST_ROUNDS
    facts = [*said, red] if red is not None and both else said
    point("before-act")
    with db.transaction():
        if _as_it_was(db, row):
            db.execute("update deliveries set rounds = rounds + ? where seq = ?", (both, row["seq"]))
            db.execute(f"update forge_facts set acted_at = {NOW} where seq in ({', '.join('?' * len(facts))})", facts)
            _start(db, config, row, facts, f"People commented on the pull request #{row['number']}{', and checks failed there' if both else ''}.")
    point("after-act")


def _names(state: State) -> str:
    return ", ".join(failed.name for failed in state.failed[:5])


def _as_it_was(db: Database, row: DeliveryRow) -> bool:
    return db.value("select 1 from deliveries d where d.seq = ? and d.state = 'watched' and d.waiting is ? and d.tip_sha = ? and exists"
                    " (select 1 from tickets e where e.session_id = d.session_id and e.type = 'epic' and e.status = 'completed')",
                    (row["seq"], row["waiting"], row["tip_sha"])) is not None


def _fact(db: Database, row: DeliveryRow, fingerprint: str, kind: str, body: str = "") -> bool:
    """Records a fact. -> True if it is new."""
    return db.execute("insert into forge_facts (delivery, fingerprint, kind, body) values (?, ?, ?, ?) on conflict (delivery, fingerprint) do nothing",
                      (row["seq"], fingerprint, kind, body)).rowcount == 1


def _ask(db: Database, row: DeliveryRow, what: str) -> None:
    db.execute(f"update deliveries set waiting = 'person', reason = ?, updated_at = {NOW} where seq = ?", (what, row["seq"]))
    deliveries.withdraw(db, row["ticket_id"])
    requests.open_delivery(db, _ticket(db, row), f"{what} Look at it here: {row['pr_url'] or row['branch']}", [ONCE_MORE, LEAVE])


def _start(db: Database, config: Config, row: DeliveryRow, facts: list[int], why: str) -> None:
    """Starts a run with these facts in its prompt: of the feature, if only one feature can be meant, otherwise of a new ticket."""
    ticket = _ticket(db, row)
    features = deliveries.features(db, ticket["id"])
    target = ticket["id"] if ticket["type"] != "epic" else features[0]["id"] if len(features) == 1 else None
    if target is None and not is_configured(config):
        _ask(db, row, f"{why} No coding agent is configured to fix it.")
        return
    db.execute(f"update deliveries set waiting = null, reason = null, updated_at = {NOW} where seq = ? and waiting is not null", (row["seq"],))
    deliveries.withdraw(db, row["ticket_id"])
    settle.reopen(db, row["session_id"])
    if target is None:
        target = _further_ticket(db, ticket, row["number"], why)
    else:
        settle.release(db, "id = :id and status = 'completed'", {"id": target}, failures=0, conflicts=0, transients=0, not_before=None, reason=why)
    db.execute(f"update forge_facts set ticket_id = ? where seq in ({', '.join('?' * len(facts))})", (target, *facts))
    settle.session(db, row["session_id"])
    event("came_back", ticket=target, why=why)


def _further_ticket(db: Database, epic: TicketRow, number: int | None, why: str) -> str:
    """Makes a ticket whose description has no foreign text. -> its id"""
    description = (f"What was built for {epic['id']} is in the pull request #{number}, and something there is not right yet. The feedback is in your "
                   "prompt. Find the cause and fix it in the code. Do not weaken or remove a check to make it pass.")
    return create(db, epic["tenant_id"], epic["session_id"], [
        {"type": "bug", "title": f"Fix the feedback on pull request #{number}", "status": "blocked", "description": description,
         "parent_id": epic["id"], "review": bool(epic["review"]), "reason": why}])[0]


def _ticket(db: Database, row: DeliveryRow) -> TicketRow:
    return db.the("select * from tickets where id = ?", (row["ticket_id"],), TicketRow)
