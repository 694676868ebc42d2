"""How a delivery ends, and the answers to a delivery that cannot continue by itself."""
from typing import Any

from engine.errors import BadRequest
from engine.store.db import Database
from engine.text import stored
from engine.tickets import deliveries, settle
from engine.tickets.rows import DeliveryRow, RequestRow
from engine.tickets.states import change
from engine.times import NOW

RETRY = "Try again"
WITHOUT = "Finish without delivery"
APPROVE = "Approve and deliver"
NO_SECRET = "This is no secret, deliver"
AGAIN = "Open it again"
LEAVE = "Leave it"
ONCE_MORE = "Start another run"
STOP_WATCHING = "Stop watching"


def complete(db: Database, session_id: str, reason: str | None = None) -> bool:
    """Completes the epic and so the session, when all its deliveries are done. -> True if this call did it. Inside or outside a transaction."""
    with db.transaction():
        if deliveries.is_pending(db, session_id):
            return False
        moved = change(db, "completed", "session_id = :session and type = 'epic' and status = 'running' and claim_token is null and base_sha is not null",
                       {"session": session_id}, reason=reason)
        if moved:
            settle.session(db, session_id)
    return bool(moved)


def answer(db: Database, request: RequestRow, text: str) -> None:
    """Applies an answer, inside the transaction that records it. Raises BadRequest if this delivery does not offer it, or does not wait."""
    row = db.one("select * from deliveries where ticket_id = ?", (request["ticket_id"],), DeliveryRow)
    if row is None or row["waiting"] is None:
        raise BadRequest("This delivery no longer waits for an answer. Reload the page.")
    does = {RETRY: _retry, APPROVE: _approve, NO_SECRET: _clear, WITHOUT: _without, AGAIN: _again, LEAVE: _leave, ONCE_MORE: _once_more,
            STOP_WATCHING: _without}
    if text not in does or text not in stored(request["options"], []):
        raise BadRequest("This answer is not offered here. Choose one of the offered answers.")
    does[text](db, row)


def _set(db: Database, row: DeliveryRow, **columns: Any) -> None:
    values = {"waiting": None, "tries": 0, "not_before": None, "reason": None, **columns}
    sets = ", ".join(f"{name} = :{name}" for name in values)
    db.execute(f"update deliveries set {sets}, updated_at = {NOW} where seq = :seq", {**values, "seq": row["seq"]})


def _retry(db: Database, row: DeliveryRow) -> None:
    """Starts again at the push, unless it is only watched, because the remote may have changed. A new token may help all deliveries."""
    _set(db, row, state="intended" if row["state"] in ("pushed", "opened") else row["state"])
    for other in db.all("select * from deliveries where waiting = 'token' and repository = ?", (row["repository"],), DeliveryRow):
        _set(db, other)
        deliveries.withdraw(db, other["ticket_id"])


def _approve(db: Database, row: DeliveryRow) -> None:
    _set(db, row, approved_sha=row["tip_sha"])


def _clear(db: Database, row: DeliveryRow) -> None:
    _set(db, row, cleared_sha=row["tip_sha"])


def _without(db: Database, row: DeliveryRow) -> None:
    """Ends the delivery of the whole build: its other deliveries are dropped too. What is delivered already is only watched no longer."""
    if row["state"] not in ("intended", "pushed", "opened"):
        _set(db, row, state="done")
        return
    for each in db.all(f"select * from deliveries where session_id = ? and {deliveries.PENDING}", (row["session_id"],), DeliveryRow):
        _set(db, each, state="dropped", reason="The answer was to finish without delivery.")
        if each["seq"] != row["seq"]:
            deliveries.withdraw(db, each["ticket_id"])
    complete(db, row["session_id"], "Finished without delivery, as you chose. The result is in this installation's own repository.")


def _again(db: Database, row: DeliveryRow) -> None:
    _set(db, row, state="intended", number=None, pr_url=None)
    settle.reopen(db, row["session_id"])


def _leave(db: Database, row: DeliveryRow) -> None:
    """The pull request stays as it is. An open one is still watched."""
    _set(db, row)


def _once_more(db: Database, row: DeliveryRow) -> None:
    """Uses the facts once more that were acted on last, of failed checks or of comments."""
    acted = "delivery = :seq and acted_at is not null and (fingerprint glob 'ci:*' or fingerprint glob 'remark:*')"
    _set(db, row, rounds=max(0, row["rounds"] - 1))
    db.execute(f"update forge_facts set acted_at = null, ticket_id = null, told_at = null where {acted}"
               f" and acted_at = (select max(acted_at) from forge_facts where {acted})", {"seq": row["seq"]})
    db.execute("delete from forge_facts where delivery = ? and fingerprint glob 'red:*'", (row["seq"],))
