"""The page that amends a card while it is built. Each form adds to one delta; the person approves that delta alone."""
import copy
from typing import Any

from flask import Blueprint, Response, make_response, request

from engine.errors import BadRequest, SwarmError, WrongState
from engine.loop.status import agent_names
from hitl.amend import proposals
from hitl.amend.delta import Delta
from hitl.card import form as card_form
from hitl.card.graph import titles
from hitl.card.text import key
from hitl.pages import amend_facts, card_facts, facts, session_screen
from hitl.pages.amend_facts import Plan
from hitl.pages.card_facts import Typed
from hitl.pages.frame import render
from hitl.web.context import swarm, tenant
from hitl.web.forms import attempt, go

amend_pages = Blueprint("amend_pages", __name__)


@amend_pages.get("/sessions/<session_id>/amend")
def show(session_id: str) -> Response | str:
    """?change=<ticket>: its form; ?add: the form of a new feature."""
    if facts.session(session_id)["state"] != "building":
        return make_response("", 302, {"Location": f"/sessions/{session_id}"})
    return page(session_id)


def page(session_id: str, error: SwarmError | None = None, kept: Typed | None = None) -> str:
    """`kept`: a form that was not accepted; its place is the ticket, '' for a new feature."""
    values = session_screen.head(session_id, "amend", error)
    if values["session"]["epic_id"] is None:
        return session_screen.session(session_id, error=error)
    found = amend_facts.shown(session_id)
    made, kept = found["plan"], kept or Typed()
    ticket = kept.place if kept.what else request.args.get("change", "") if request.method == "GET" else ""
    form = None
    if made is not None and (ticket in made.order or (not ticket and (kept.what == "add" or "add" in request.args))):
        form = amend_facts.form(made, ticket)
        form = card_facts.filled(form, kept) if kept.what else form
    if kept.problems or kept.rest:
        values["error"] = {"error": "This is not valid yet.", "means": "Nothing was changed. What you typed is kept below."}
    return render("session/amend.html", "session", **values | {"live": form is None}, **found, form=form, kept=kept, agents=agent_names(),
                  seen=made.seen if made else "")


@amend_pages.post("/sessions/<session_id>/amend")
def propose(session_id: str) -> Response:
    """what: add, feature (a change), drop, or back (takes an entry of the delta out again)."""
    form, db, config = request.form, swarm().db, swarm().config
    kept = card_facts.typed(form, rows=4) if "more" in form else None
    if kept:
        kept.place = form.get("ticket", "")
        return make_response(page(session_id, kept=kept))
    made: Plan | None = None
    try:
        made = amend_facts.plan(session_id)
        if form.get("seen", made.seen) != made.seen:
            raise WrongState("The amendment has changed since you looked at it. Look at it and decide anew.")
        delta = _changed(made)
        if any(delta.values()):
            proposals.propose(db, config, tenant(), session_id, dict(delta))
        elif any(made.delta.values()):
            proposals.discard(db, tenant(), session_id)
    except SwarmError as error:
        if error.status >= 500 or error.status == 404:
            raise
        return make_response(page(session_id, error, _kept(made, error)), error.status)
    return go(f"/sessions/{session_id}/amend#delta")


def _kept(made: Plan | None, error: SwarmError) -> Typed | None:
    """The form as it was typed, with the problems of its feature beside its fields."""
    what, ticket = request.form.get("what", ""), request.form.get("ticket", "")
    if made is None or what not in ("add", "feature") or (what == "feature" and ticket not in made.order):
        return None
    place = made.order.index(ticket) if what == "feature" else len(made.amended["features"])
    kept = card_facts.typed(request.form, error, place)
    kept.place = ticket
    if error.status == 409:
        kept.rest = []  # told above
    return kept


def _changed(made: Plan) -> Delta:
    """The delta with what the form says. Raises BadRequest."""
    form, delta = request.form, copy.deepcopy(made.delta)
    what, ticket = form.get("what", ""), form.get("ticket", "")
    names = titles(made.amended["features"])
    if what == "add":
        delta["add"].append(card_form.new_feature(form, names))
    elif what == "back":
        _take_back(delta, ticket, form.get("place", ""))
    elif ticket not in made.order:
        raise BadRequest("This is not the ticket of a feature that can be changed.")
    elif what == "feature":
        before = made.card["features"][made.tickets[ticket]]
        values = card_form.values_of(form, before, names)
        _rename(delta, names[made.order.index(ticket)], values["title"])
        _set(delta, ticket, _differs(before, values, titles(made.card["features"]), made))
    elif what == "drop":
        known: dict[str, Any]
        for other, rest in amend_facts.waits_for(made, ticket):
            known = next((each["set"] for each in delta["change"] if each["ticket"] == other), {})
            _set(delta, other, {**known, "depends_on": rest})
        _rename(delta, names[made.order.index(ticket)], None)
        delta["change"] = [each for each in delta["change"] if each["ticket"] != ticket]
        delta["drop"].append(ticket)
    else:
        raise BadRequest("This form is not known here. Load the page again.")
    return delta


def _take_back(delta: Delta, ticket: str, place: str) -> None:
    if ticket:
        delta["change"] = [each for each in delta["change"] if each["ticket"] != ticket]
        delta["drop"] = [each for each in delta["drop"] if each != ticket]
    elif place.isascii() and place.isdigit() and int(place[:6]) < len(delta["add"]):
        gone = titles([delta["add"].pop(int(place[:6]))])[0]
        _rename(delta, gone, None)


def _set(delta: Delta, ticket: str, values: dict[str, Any]) -> None:
    """This and nothing else is changed of the ticket; {}: nothing is."""
    others = [each for each in delta["change"] if each["ticket"] != ticket]
    delta["change"] = [*others, {"ticket": ticket, "set": values}] if values else others


def _rename(delta: Delta, before: str, after: str | None) -> None:
    """What the delta itself lets wait for a feature goes on to do so under its new title, or not at all."""
    for each in [*delta["add"], *(each["set"] for each in delta["change"])]:
        wanted = each.get("depends_on")
        if isinstance(wanted, list):
            each["depends_on"] = [name for name in (after if isinstance(item, str) and key(item) == key(before) else item for item in wanted) if name]


def _differs(before: dict[str, Any], values: dict[str, Any], names: list[str], made: Plan) -> dict[str, Any]:
    """{property: its new value, None to take it away}, against the feature as it is being built."""
    graph, _ = card_form.resolve(made.card["features"], names)
    index = next(place for place, each in enumerate(made.card["features"]) if each is before)
    same = {"title": before["title"].strip(), "description": before.get("description", "").strip(), "priority": before.get("priority", 0),
            "agent": before.get("agent", ""), "acceptance_criteria": before.get("acceptance_criteria", []), "depends_on": None}
    found = {name: value if value or name == "title" else None for name, value in values.items() if name != "depends_on" and value != same[name]}
    if sorted(values["depends_on"]) != sorted(names[each] for each in graph[index]):
        found["depends_on"] = values["depends_on"]
    return {name: value for name, value in found.items() if value is not None or name in before}


@amend_pages.post("/sessions/<session_id>/amendment/<any(approve, discard):what>")
def decide(session_id: str, what: str) -> Response:
    db, config = swarm().db, swarm().config
    if what == "discard":
        return attempt(lambda: proposals.discard(db, tenant(), session_id), f"/sessions/{session_id}/amend", lambda error: page(session_id, error))
    return attempt(lambda: proposals.approve(db, config, tenant(), session_id, request.form.get("sha256", "")), f"/sessions/{session_id}",
                   lambda error: page(session_id, error))
