"""Turns an approved card into an epic and its feature tickets, in one transaction: all or nothing.

    generate_tickets(session_id, spec_card, "default") -> {"epicId": "TKT-001", "ticketIds": ["TKT-001", "TKT-002"], "count": 2}

Next: engine/tickets/new_tickets.py
"""
from typing import Any

from flask import current_app, has_app_context

from engine.config import Config
from engine.errors import NotApproved, NotConfirmed, WrongState
from engine.store.db import Database, open_database
from engine.tickets import requests, session_states
from engine.tickets.new_tickets import NewTicket, create, depend
from engine.tickets.session_rows import SessionRow
from engine.tickets.states import get
from engine.times import NOW
from hitl.card import sample
from hitl.card.spec_card import Checked, normalise, validate
from hitl.session import sessions
from hitl.web.context import swarm
from hitl.web.strict_json import as_given, canonical


def generate_tickets(session_id: str, spec_card: dict[str, Any], tenant_id: str, db: Database | None = None) -> dict[str, Any]:
    """Moves the session from approved to building and writes the epic (ready) and its features (blocked), in the card's order.

    `count` is the number of all tickets. It joins an open transaction or opens one. Without `db` it uses the database of the current Flask
    app, or else the configured database. Raises NotFound, NotApproved with currentState, InvalidCard."""
    if has_app_context() and "swarm" in current_app.extensions:
        here = swarm()
        return _generate(db or here.db, here.config, session_id, spec_card, tenant_id)
    config = Config.from_env()
    if db is not None:
        return _generate(db, config, session_id, spec_card, tenant_id)
    own = open_database(config.database, config.synchronous)
    try:
        return _generate(own, config, session_id, spec_card, tenant_id)
    finally:
        own.close()


def _generate(db: Database, config: Config, session_id: str, spec_card: dict[str, Any], tenant: str) -> dict[str, Any]:
    review = sessions.review_of(_approved(db, tenant, session_id))
    checked = validate(spec_card, config)
    plan = normalise(checked.card, checked.meaning, review)
    with db.transaction():
        return _build(db, _approved(db, tenant, session_id), checked, plan)


def start_build(db: Database, config: Config, tenant: str, session_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Starts the build -> the answer of POST start-build. Raises, in this order: NotConfirmed, NotFound, NotApproved, InvalidCard, WrongState for
    another hash.

    body: {confirmed, spec_sha256, first_commit: true if an empty repository may get a first commit; otherwise the epic asks}."""
    if body.get("confirmed") is not True:
        raise NotConfirmed()
    before = _approved(db, tenant, session_id)
    checked = validate(sessions.current_card(before), config)  # outside the transaction: a large card takes half a second
    if body.get("spec_sha256") is not None:
        sessions.check_hash(before, checked.sha256, body["spec_sha256"])
    plan = normalise(checked.card, checked.meaning, sessions.review_of(before))
    with db.transaction():
        row = _approved(db, tenant, session_id)
        if (row["spec_card"], row["review"]) != (before["spec_card"], before["review"]):
            raise WrongState("The card was changed just before the build started. Load it again.", currentState=row["state"],
                             since=row["updated_at"])
        made = _build(db, row, checked, plan)
        if body.get("first_commit") is True:
            requests.allow_first_commit(db, get(db, tenant, made["epicId"]))
    count = made["count"]
    return {"success": True, "state": "building", "epic_id": made["epicId"], "ticket_ids": made["ticketIds"], "ticket_count": count,
            "message": f"Build started: {made['epicId']} and {count - 1} {'feature' if count == 2 else 'features'}."}


def _approved(db: Database, tenant: str, session_id: str) -> SessionRow:
    row = sessions.get(db, tenant, session_id)
    if row["state"] != "approved":
        raise NotApproved(currentState=row["state"], since=row["updated_at"])
    return row


def _build(db: Database, row: SessionRow, checked: Checked, plan: dict[str, Any]) -> dict[str, Any]:
    """Creates the tickets, inside a transaction that has checked that the session is approved. plan: the normalised card."""
    _record_card(db, row, checked)
    session_states.move(db, row["id"], "approved", "building", paused=0, reason=None)
    supplied = checked.sha256 == sample.sha256() and row["repository"] is None
    checks = canonical([{"text": command, "check": command} for command in plan["checks"]])
    epic, = create(db, row["tenant_id"], row["id"], [
        {"type": "epic", "title": plan["name"], "status": "ready", "description": plan["description"], "acceptance_criteria": checks, "supplied": supplied}])
    features = create(db, row["tenant_id"], row["id"], [
        {**columns_of(feature), "position": position} for position, feature in enumerate(plan["features"], 1)],
        type="feature", status="blocked", parent_id=epic, supplied=supplied)
    depend(db, [(features[place], features[index]) for place, feature in enumerate(plan["features"]) for index in feature["depends_on"]])
    return {"epicId": epic, "ticketIds": [epic, *features], "count": 1 + len(features)}


def columns_of(feature: dict[str, Any]) -> NewTicket:
    """What a ticket has from its feature, here and in amendments. feature: of a normalised card."""
    return {"title": feature["title"], "description": feature["description"], "priority": feature["priority"], "agent": feature["agent"],
            "review": feature["review"], "acceptance_criteria": as_given(criteria) if (criteria := feature["acceptance_criteria"]) else "[]"}


def _record_card(db: Database, row: SessionRow, checked: Checked) -> None:
    """Makes sure that the card is a recorded version and the approved one, even if someone approved it by editing the row."""
    if row["spec_sha256"] == row["approved_sha256"] == checked.sha256:
        return
    if row["spec_card"] is None or sessions.current_sha256(row) != checked.sha256:
        db.execute("update hitl_sessions set spec_card = ? where id = ?", (as_given(checked.card), row["id"]))
    sessions.record_version(db, row["id"], checked.text, checked.sha256, sessions.BY_HAND)
    db.execute(f"update hitl_sessions set approved_sha256 = ?, approved_at = coalesce(approved_at, {NOW}) where id = ?", (checked.sha256, row["id"]))
