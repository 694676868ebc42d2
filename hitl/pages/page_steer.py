"""Forms of the ticket's page by which a person steers it: tell it something, stop its run, waive a criterion, change what it asks for."""
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from engine.tickets import actions
from hitl.amend import ticket_edit
from hitl.card.form import criteria
from hitl.pages import screens
from hitl.web.context import swarm, tenant
from hitl.web.forms import attempt, typed_text

steer_pages = Blueprint("steer", __name__)


@steer_pages.post("/tickets/<ticket_id>/<any(message, stop, waive, edit):what>")
def steer(ticket_id: str, what: str) -> Response:
    db = swarm().db
    number = typed_text("criterion_number")
    does: dict[str, Callable[[], Any]] = {
        "message": lambda: actions.tell(db, tenant(), ticket_id, typed_text("text")),
        "stop": lambda: actions.stop(db, tenant(), ticket_id),
        "waive": lambda: actions.waive(db, tenant(), ticket_id, int(number) if number.isdecimal() and len(number) < 6 else 0, typed_text("reason")),
        "edit": lambda: ticket_edit.edit(db, swarm().config, tenant(), ticket_id, _given()),
    }
    return attempt(does[what], f"/tickets/{ticket_id}", lambda error: screens.ticket(ticket_id, error=error, said=typed_text("text"),
                                                                                   edited=_given() if what == "edit" else None))


def _given() -> dict[str, Any]:
    return {"title": typed_text("title"), "description": typed_text("description"), "acceptance_criteria": criteria(request.form, [])}
