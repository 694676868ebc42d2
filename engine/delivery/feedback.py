"""What comes back from a pull request: merged, closed, a failed check, comments of people. Each fact is recorded and handled in
one transaction, so only once, even over restarts. Foreign text goes only into a prompt, never into a ticket's description, which an
agent may execute."""

from engine.agents import is_configured
from engine.config import Config
from engine.crash import point
from engine.forge.base import State, clean
from engine.log import event
from engine.store.db import Database
from engine.tickets import deliveries, requests, settle
from engine.tickets.delivery_answers import AGAIN, LEAVE, ONCE_MORE
from engine.tickets.new_tickets import create
from engine.tickets.rows import DeliveryRow, ForgeFactRow, TicketRow
from engine.times import NOW

MOST_ROUNDS = 3           # most runs that failing checks start
MOST_REMARKS = 50         # most comments in one prompt
LONGEST = 30_000          # characters of all feedback in one prompt


def take_in(db: Database, config: Config, row: DeliveryRow, state: State) -> bool:
    """Takes in the state of a pull request. row: a watched delivery. -> True if it must be watched further."""
    if state.state == "merged":
        _merged(db, row)
    elif state.state == "closed":
        _closed(db, row)
    elif state.failed and not state.pending and state.head == row["pushed_sha"]:
        _failed(db, config, row, state)
    else:
        _remarked(db, config, row, state)
    return state.state == "open"


def _merged(db: Database, row: DeliveryRow) -> None:
    point("before-act")
    with db.transaction():
        said = f"The pull request #{row['number']} was merged."
        if deliveries.move(db, row, "merged", reason=said) and _fact(db, row, f"merged:{row['number']}", "merged"):
            db.execute(f"update tickets set reason = ?, updated_at = {NOW} where id = ?", (said, row["ticket_id"]))
            db.execute(f"update hitl_sessions set reason = ?, updated_at = {NOW} where id = ? and state = 'completed' and exists"
                       " (select 1 from tickets where id = ? and type = 'epic')", (said, row["session_id"], row["ticket_id"]))
    point("after-act")
    event("merged_there", ticket=row["ticket_id"], number=row["number"])


def _closed(db: Database, row: DeliveryRow) -> None:
    point("before-act")
    with db.transaction():
        if deliveries.move(db, row, "closed", waiting="person", reason=f"Its pull request #{row['number']} was closed without being merged."):
            _fact(db, row, f"closed:{row['number']}", "closed")
            requests.open_delivery(db, _ticket(db, row), f"The pull request #{row['number']} of {row['ticket_id']} was closed without being merged. "
                                   "Open a new one from the same branch, or leave it closed?", [AGAIN, LEAVE])
    point("after-act")


def _failed(db: Database, config: Config, row: DeliveryRow, state: State) -> None:
    names = ", ".join(failed.name for failed in state.failed[:5])
    body = clean("\n\n".join(f"{failed.name} failed. The end of its log:\n{failed.log}" for failed in state.failed[:5]), LONGEST)
    point("before-act")
    with db.transaction():
        _fact(db, row, f"ci:{state.head}", "ci", body)
        fact = db.value("select seq from forge_facts where delivery = ? and fingerprint = ? and acted_at is null", (row["seq"], f"ci:{state.head}"))
        if fact is None or not _as_it_was(db, row):
            return
        db.execute(f"update forge_facts set acted_at = {NOW} where seq = ?", (fact,))
        if row["rounds"] >= MOST_ROUNDS:
            _ask(db, row, f"{names} failed again on the pull request #{row['number']}, after {MOST_ROUNDS} runs to fix it.")
        else:
            db.execute("update deliveries set rounds = rounds + 1 where seq = ?", (row["seq"],))
            _start(db, config, row, [fact], f"{names} failed on the pull request #{row['number']}.")
    point("after-act")


def _remarked(db: Database, config: Config, row: DeliveryRow, state: State) -> None:
    """Collects comments. They are handled at the first look that finds no newer ones."""
    with db.transaction():
        new = [remark for remark in state.remarks if _fact(db, row, f"remark:{remark.id}", "remark", "\n".join(
            part for part in (f"{remark.author} wrote" + (f" on {remark.path}" if remark.path else "") + (f", line {remark.line}" if remark.line else "") + ":",
                              remark.text) if part))]
    waiting = [fact["seq"] for fact in db.all("select seq from forge_facts where delivery = ? and kind = 'remark' and acted_at is null order by seq limit ?",
                                              (row["seq"], MOST_REMARKS), ForgeFactRow)]
    if new or not waiting or state.pending:
        return
    point("before-act")
    with db.transaction():
        if _as_it_was(db, row):
            db.execute(f"update forge_facts set acted_at = {NOW} where seq in ({', '.join('?' * len(waiting))})", waiting)
            _start(db, config, row, waiting, f"People commented on the pull request #{row['number']}.")
    point("after-act")


def _as_it_was(db: Database, row: DeliveryRow) -> bool:
    return db.value("select 1 from deliveries d where d.seq = ? and d.state = 'watched' and d.waiting is null and d.tip_sha = ? and exists"
                    " (select 1 from tickets e where e.session_id = d.session_id and e.type = 'epic' and e.status = 'completed')",
                    (row["seq"], row["tip_sha"])) is not None


def _fact(db: Database, row: DeliveryRow, fingerprint: str, kind: str, body: str = "") -> bool:
    """Records a fact. -> True if it is new."""
    return db.execute("insert into forge_facts (delivery, fingerprint, kind, body) values (?, ?, ?, ?) on conflict (delivery, fingerprint) do nothing",
                      (row["seq"], fingerprint, kind, body)).rowcount == 1


def _ask(db: Database, row: DeliveryRow, what: str) -> None:
    db.execute(f"update deliveries set waiting = 'person', reason = ?, updated_at = {NOW} where seq = ?", (what, row["seq"]))
    requests.open_delivery(db, _ticket(db, row), f"{what} Look at it here: {row['pr_url'] or row['branch']}", [ONCE_MORE, LEAVE])


def _start(db: Database, config: Config, row: DeliveryRow, facts: list[int], why: str) -> None:
    """Starts a run with these facts in its prompt: of the feature, if only one feature can be meant, otherwise of a new ticket."""
    ticket = _ticket(db, row)
    features = deliveries.features(db, ticket["id"])
    target = ticket["id"] if ticket["type"] != "epic" else features[0]["id"] if len(features) == 1 else None
    if target is None and not is_configured(config):
        _ask(db, row, f"{why} No coding agent is configured to fix it.")
        return
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
