"""Amends a card during its build: someone approves a delta by its hash, and the tickets are updated in the same transaction.

Only features that have not started can be changed or dropped. Features that run or are done are never touched. Only a session that is building
can be amended; a proposal does not reopen a session that has ended."""
import json
import re
from typing import Any

from engine.config import Config
from engine.errors import BadRequest, NotFound, WrongState
from engine.store.db import Database
from engine.tickets import settle
from engine.tickets.session_rows import AmendmentRow, SessionRow
from engine.times import NOW
from hitl.amend import delta as amendment
from hitl.amend import tickets as amend_tickets
from hitl.card import diff as card_diff
from hitl.card.spec_card import normalise, validate
from hitl.session import sessions
from hitl.session.seen_card import present_sha256
from hitl.web import strict_json

SOURCE = "amendment"


def propose(db: Database, config: Config, tenant: str, session_id: str, body: dict[str, Any]) -> None:
    """Stores a delta as the session's proposal and replaces an earlier proposal. Raises NotFound, BadRequest, InvalidCard for the amended card,
    WrongState for a session that is not building and, with `tickets`, for tickets that have started."""
    with db.transaction():
        row = _building(sessions.get(db, tenant, session_id))
        tickets = amend_tickets.places(db, row)
        delta = amendment.delta_of(body, tickets)
        amend_tickets.check_unstarted(db, row, amendment.touched(delta))
        checked = validate(amendment.amended(sessions.current_card(row), delta, tickets), config)
        amend_tickets.check_dependencies(db, row, normalise(checked.card, checked.meaning), amendment.order(delta, tickets))
        if checked.sha256 == row["approved_sha256"]:
            raise BadRequest("This changes nothing. The amended card is the same as the card that is being built.")
        _discard(db, session_id)
        db.execute("insert into amendments (tenant_id, session_id, base_sha256, delta, card, sha256) values (?, ?, ?, ?, ?, ?)",
                   (tenant, session_id, row["approved_sha256"], strict_json.canonical(delta), strict_json.as_given(checked.card),
                    strict_json.sha256({"base_sha256": row["approved_sha256"], "delta": delta})))


def approve(db: Database, config: Config, tenant: str, session_id: str, sha256: Any) -> None:
    """Makes the proposal with this hash a version of the card, and adds, changes and drops the tickets: all or nothing.

    Raises BadRequest without a hash, NotFound, InvalidCard, WrongState for another hash or if the build has changed."""
    if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise BadRequest("sha256 is required: the hash of the amendment that you looked at (64 hexadecimal digits).")
    with db.transaction():
        row = _building(sessions.get(db, tenant, session_id))
        proposed = _proposed(db, session_id)
        if proposed["sha256"] != sha256:
            raise WrongState("Another amendment was proposed in the meantime. Look at it, then decide.", currentState=row["state"],
                             since=proposed["created_at"], sha256=proposed["sha256"], given_sha256=sha256)
        if proposed["base_sha256"] != row["approved_sha256"]:
            raise WrongState("The card has changed since this was proposed. Propose it again.", currentState=row["state"], since=row["updated_at"])
        delta, tickets = json.loads(proposed["delta"]), amend_tickets.places(db, row)
        amend_tickets.check_unstarted(db, row, amendment.touched(delta))
        checked = validate(json.loads(proposed["card"]), config)
        plan, order = normalise(checked.card, checked.meaning, sessions.review_of(row)), amendment.order(delta, tickets)
        amend_tickets.check_dependencies(db, row, plan, order)
        db.execute(f"update hitl_sessions set spec_card = ?, approved_sha256 = ?, updated_at = {NOW} where id = ?",
                   (strict_json.as_given(checked.card), checked.sha256, session_id))
        version = sessions.record_version(db, session_id, checked.text, checked.sha256, SOURCE)
        db.execute(f"update amendments set state = 'approved', version = ?, decided_by = 'you', decided_at = {NOW} where seq = ?",
                   (version, proposed["seq"]))
        amend_tickets.apply(db, row, plan, order, delta)
        settle.session(db, session_id)


def discard(db: Database, tenant: str, session_id: str) -> None:
    """Discards the proposal. Raises NotFound, also if there is no proposal."""
    with db.transaction():
        sessions.get(db, tenant, session_id)
        _proposed(db, session_id)
        _discard(db, session_id)


def amendment_view(db: Database, tenant: str, session_id: str) -> dict[str, Any]:
    """{"amendment": the proposal or None, "history": [approved and discarded amendments, newest first]}. Raises NotFound.

    An amendment: {seq, state, sha256, base_sha256, delta, changes (in the form of card_diff), version, started: [{ticket, status}] of tickets
    that have started and so block it, decided_by, decided_at, created_at}."""
    row = sessions.get(db, tenant, session_id)
    cards = db.pairs("select sha256, card from spec_versions where session_id = ?", (session_id,))
    found = [_view(db, row, each, cards) for each in db.all("select * from amendments where session_id = ? order by seq desc limit 100",
                                                                       (session_id,), AmendmentRow)]
    return {"amendment": next((each for each in found if each["state"] == "proposed"), None),
            "history": [each for each in found if each["state"] != "proposed"]}


def _view(db: Database, row: SessionRow, proposal: AmendmentRow, cards: dict[str, str]) -> dict[str, Any]:
    delta = json.loads(proposal["delta"])
    base = cards.get(proposal["base_sha256"])
    started = amend_tickets.started(db, row["id"], amendment.touched(delta)) if proposal["state"] == "proposed" else []
    return {"seq": proposal["seq"], "state": proposal["state"], "sha256": proposal["sha256"], "base_sha256": proposal["base_sha256"],
            "version": proposal["version"], "decided_by": proposal["decided_by"], "decided_at": proposal["decided_at"],
            "created_at": proposal["created_at"], "delta": delta, "started": started,
            "changes": card_diff.diff(base and json.loads(base), json.loads(proposal["card"]))}


def _building(row: SessionRow) -> SessionRow:
    """The row of a session whose card can be amended. Raises WrongState."""
    if row["state"] != "building":
        hint = {"completed": " Start a new session on its branch.", "failed": " Retry or drop the failed tickets first.",
                "approved": " Reopen it and change the card itself."}.get(row["state"], "")
        raise WrongState(f"Only a build can be amended. This session has been {row['state']} since {row['updated_at']}.{hint}", currentState=row["state"],
                         since=row["updated_at"])
    if row["approved_sha256"] is None or present_sha256(row) != row["approved_sha256"]:
        raise WrongState("The stored card is not the card that is being built. Someone changed it by hand, or it was never recorded. It cannot be amended.",
                         currentState=row["state"], since=row["updated_at"])
    return row


def _proposed(db: Database, session_id: str) -> AmendmentRow:
    found = db.one("select * from amendments where session_id = ? and state = 'proposed'", (session_id,), AmendmentRow)
    if found is None:
        raise NotFound("No amendment is proposed.")
    return found


def _discard(db: Database, session_id: str) -> None:
    db.execute(f"update amendments set state = 'discarded', decided_by = 'you', decided_at = {NOW} where session_id = ? and state = 'proposed'",
               (session_id,))
