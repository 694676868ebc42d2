"""The page that amends a card during its build. Each form adds to one delta, and you approve only that delta."""
from typing import Any

from flask import Blueprint, Response, make_response, request

from engine.errors import SwarmError, WrongState
from engine.loop.status import agent_names
from hitl.amend import form as amend_form
from hitl.amend import proposals
from hitl.amend import tickets as amend_tickets
from hitl.amend.form import Plan
from hitl.card import diff_in_words
from hitl.card.graph import titles
from hitl.card.rejected_form import RejectedForm, feature_form, filled, rejected
from hitl.pages import frame, session
from hitl.pages.frame import render
from hitl.pages.session_frame import head
from hitl.web.context import swarm, tenant
from hitl.web.filters import word
from hitl.web.forms import attempt, go

routes = Blueprint("amend", __name__)
WHY_NOT = {
    "claimed": "is starting with the approved card", "running": "is running with the approved card",
    "needs_input": "has started and waits for your answer", "in_review": "has started and waits for your review",
    "completed": "is merged", "failed": "has started and failed. Retry it or drop it on its own page",
    "cancelled": "was dropped. Add it again if you want it", "ready": "has started and waits for its next run",
    "blocked": "has started and waits for its next run", "pending": "has started and waits for its next run"}


@routes.get("/sessions/<session_id>/amend")
def amend(session_id: str) -> Response | str:
    """The page. ?change=<ticket> shows the form of that feature; ?add shows the form of a new feature."""
    if frame.session(session_id)["state"] != "building":
        return make_response("", 302, {"Location": f"/sessions/{session_id}"})
    return page(session_id)


@routes.post("/sessions/<session_id>/amend")
def propose(session_id: str) -> Response:
    """One form of the page, see hitl/amend/form.py. `more` asks for more rows and changes nothing."""
    form, db, config = request.form, swarm().db, swarm().config
    if "more" in form:
        kept = rejected(form, rows=4)
        kept.place = form.get("ticket", "")
        return make_response(page(session_id, kept=kept))
    plan: Plan | None = None
    try:
        plan = amend_form.plan(db, tenant(), session_id)
        if form.get("seen", plan.seen) != plan.seen:
            raise WrongState("The amendment has changed since you looked at it. Look at it again, then decide.")
        delta = amend_form.delta_with(form, plan)
        if any(delta.values()):
            proposals.propose(db, config, tenant(), session_id, dict(delta))
        elif any(plan.delta.values()):
            proposals.discard(db, tenant(), session_id)
    except SwarmError as error:
        if error.status >= 500 or error.status == 404:
            raise
        return make_response(page(session_id, error, _kept(plan, error)), error.status)
    return go(f"/sessions/{session_id}/amend#delta")


def _kept(plan: Plan | None, error: SwarmError) -> RejectedForm | None:
    """The form as it was typed, with the problems of its feature next to the fields."""
    what, ticket = request.form.get("what", ""), request.form.get("ticket", "")
    if plan is None or what not in ("add", "feature") or (what == "feature" and ticket not in plan.order):
        return None
    place = plan.order.index(ticket) if what == "feature" else len(plan.amended["features"])
    kept = rejected(request.form, error, place)
    kept.place = ticket
    if error.status == 409:
        kept.rest = []  # the notice at the top already says it
    return kept


@routes.post("/sessions/<session_id>/amendment/<any(approve, discard):what>")
def decide(session_id: str, what: str) -> Response:
    db, config = swarm().db, swarm().config
    if what == "discard":
        return attempt(lambda: proposals.discard(db, tenant(), session_id), f"/sessions/{session_id}/amend", lambda error: page(session_id, error))
    return attempt(lambda: proposals.approve(db, config, tenant(), session_id, request.form.get("sha256", "")), f"/sessions/{session_id}",
                   lambda error: page(session_id, error))


def page(session_id: str, error: SwarmError | None = None, kept: RejectedForm | None = None) -> str:
    """`kept`: a form that was not accepted; its place is the ticket, '' for a new feature."""
    values = head(session_id, "amend", error)
    if values["session"]["epic_id"] is None:
        return session.page(session_id, error=error)
    values |= _amendment(session_id)
    plan, kept = values["plan"], kept or RejectedForm()
    ticket = kept.place if kept.what else request.args.get("change", "") if request.method == "GET" else ""
    form = None
    if plan is not None and (ticket in plan.order or (not ticket and (kept.what == "add" or "add" in request.args))):
        form = {**feature_form(plan.amended, plan.order.index(ticket) if ticket else None), "ticket": ticket}
        form = filled(form, kept) if kept.what else form
    if kept.problems or kept.rest:
        values["error"] = {"error": "This is not valid yet.", "means": "Nothing was changed. What you typed is kept below."}
    values |= {"live": form is None, "form": form, "kept": kept, "agents": agent_names(), "seen": plan.seen if plan else ""}
    return render("session/amend.html", "session", **values)


def _amendment(session_id: str) -> dict[str, Any]:
    """{"features": rows, "proposed", "changes", "more", "history", "plan", "fits": why it cannot be amended at all, or ''}."""
    view = proposals.amendment_view(swarm().db, tenant(), session_id)
    proposed = view["amendment"]
    changes, more = diff_in_words.shown(proposed["changes"]) if proposed else ([], 0)
    values: dict[str, Any] = {"proposed": proposed, "changes": changes, "more": more, "features": [], "fits": "", "plan": None,
                              "history": [amendment for amendment in view["history"] if amendment["state"] == "approved"]}
    try:
        plan = amend_form.plan(swarm().db, tenant(), session_id)
    except SwarmError as error:
        return {**values, "fits": error.sentence}
    return {**values, "plan": plan, "features": _features(session_id, plan)}


def _features(session_id: str, plan: Plan) -> list[dict[str, Any]]:
    """The features in the card's order, then the added ones: {ticket, title, status, why_not, what: '' or change, drop, add, place}."""
    statuses = swarm().db.pairs("select id, status from tickets where session_id = ?", (session_id,))
    started = {row["ticket"] for row in amend_tickets.started(swarm().db, session_id, list(plan.tickets))}
    changed = {change["ticket"] for change in plan.delta["change"]}
    before, now = titles(plan.card["features"]), titles(plan.amended["features"])
    rows = []
    for ticket, index in sorted(plan.tickets.items(), key=lambda item: item[1]):
        status = statuses[ticket]
        what = "drop" if ticket in plan.delta["drop"] else "change" if ticket in changed else ""
        rows.append({"ticket": ticket, "title": before[index] if what == "drop" else now[plan.order.index(ticket)], "status": status, "what": what,
                     "word": word(status).lower(), "why_not": WHY_NOT[status] if ticket in started else "", "place": index})
    for place, title in enumerate(now[len(plan.order):]):
        rows.append({"ticket": "", "title": title, "status": "pending", "what": "add", "word": "new", "why_not": "", "place": place})
    return rows
