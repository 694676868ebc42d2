"""Changes what one ticket asks for, while it has no run. The approved card stays as it is; the notes record the change."""
from collections.abc import Mapping
from typing import Any

from engine.config import Config
from engine.errors import BadRequest, InvalidCard
from engine.store.db import Database
from engine.tickets import actions
from engine.tickets.approved_card import approved_card
from engine.tickets.rows import TicketRow
from engine.tickets.states import get
from engine.times import NOW
from hitl.card import spec_card
from hitl.card.review_rule import review_asked
from hitl.session import sessions
from hitl.ticket_generator import columns_of

FIELDS = ("title", "description", "acceptance_criteria")


def edit(db: Database, config: Config, tenant: str, ticket_id: str, given: dict[str, Any]) -> None:
    """Changes a ticket. given: {title?, description?, acceptance_criteria?}, by the rules of the card. Other values stay. A failed ticket is retried.

    Raises NotFound, BadRequest, InvalidCard (details by path), WrongState while it runs or if it is done."""
    unknown = [name for name in given if name not in FIELDS]
    if unknown or not given:
        raise BadRequest(f"You can change these parts of a ticket: {', '.join(FIELDS)}.")
    with db.transaction():
        ticket = get(db, tenant, ticket_id)
        if ticket["type"] == "epic":
            raise BadRequest(f"{ticket_id} is the epic of a build. Change its features, or amend the card.")
        actions.check_open(ticket)
        try:
            checked = spec_card.validate({"name": "ticket", "features": [{"title": ticket["title"], **given}]}, config)
        except InvalidCard as invalid:
            raise InvalidCard(str(invalid.sentence).replace("The spec card", "The ticket").replace("features[0].", ""), details=[
                {**each, "path": each["path"].removeprefix("features[0].")} for each in _details(invalid)]) from None
        asked = _review_asked(db, tenant, ticket)
        feature = spec_card.normalise(checked.card, checked.meaning, asked)["features"][0]
        values: Mapping[str, object] = columns_of(feature)
        for name in [*given, *(["review"] if asked == "unchecked" and "acceptance_criteria" in given else [])]:
            db.execute(f"update tickets set {name} = ?, updated_at = {NOW} where id = ?", (values[name], ticket_id))
        # The ticket is no longer the one that the product supplies, so it does not run without isolation unless someone allows it.
        db.execute("update tickets set supplied = 0 where id = ?", (ticket_id,))
        actions.note(db, ticket, "edited", f"Changed: {', '.join(name.replace('_', ' ') for name in given)}.")
        actions.go_again(db, tenant, ticket)


def _review_asked(db: Database, tenant: str, ticket: TicketRow) -> bool | str:
    """The review setting for this feature: from the feature, its card or its session."""
    card = approved_card(db, ticket["session_id"])
    own = card.get("features", [])[ticket["position"] - 1:ticket["position"]] if ticket["position"] else []
    return review_asked(card, own[0] if own else {}, sessions.review_of(sessions.get(db, tenant, ticket["session_id"])))


def _details(invalid: InvalidCard) -> list[dict[str, str]]:
    found = invalid.extra.get("details")
    return found if isinstance(found, list) else []
