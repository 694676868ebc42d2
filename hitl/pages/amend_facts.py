"""What the page of an amendment shows: which features can still be changed and why the others cannot, and the delta so far."""
from dataclasses import dataclass
from typing import Any

from engine.errors import SwarmError
from hitl.amend import delta as amendment
from hitl.amend import proposals
from hitl.amend import tickets as amend_tickets
from hitl.amend.delta import Delta
from hitl.card import diff_in_words
from hitl.card.graph import resolve, titles
from hitl.pages import card_facts
from hitl.session import sessions
from hitl.web.context import swarm, tenant
from hitl.web.filters import word

WHY_NOT = {
    "claimed": "is starting, by the card as it was", "running": "is running, by the card as it was",
    "needs_input": "has started and waits for your answer", "in_review": "has started and waits for your review",
    "completed": "is merged, and what is done is never touched", "failed": "has started and failed. Retry it or drop it on its own page",
    "cancelled": "was dropped. Add it anew if you want it again", "ready": "has started and waits for its next run",
    "blocked": "has started and waits for its next run", "pending": "has started and waits for its next run"}


@dataclass(frozen=True)
class Plan:
    """A build's card with the proposed delta on it. order: the tickets of its first features; what is added comes after them."""

    card: dict[str, Any]
    amended: dict[str, Any]
    delta: Delta
    tickets: dict[str, int]
    order: list[str]
    seen: str


def plan(session_id: str) -> Plan:
    """Raises NotFound, WrongState where tickets and card do not fit together, InvalidCard."""
    row = sessions.get(swarm().db, tenant(), session_id)
    tickets = amend_tickets.places(swarm().db, row)
    card = sessions.current_card(row)
    proposed = proposals.amendment_view(swarm().db, tenant(), session_id)["amendment"]
    delta: Delta = proposed["delta"] if proposed else {"add": [], "change": [], "drop": []}
    return Plan(card, amendment.amended(card, delta, tickets), delta, tickets, amendment.order(delta, tickets),
                f"{row['approved_sha256']}.{proposed['sha256'] if proposed else ''}")


def shown(session_id: str) -> dict[str, Any]:
    """{"features": rows, "proposed", "changes", "more", "history", "fits": why it cannot be amended at all, or ''}."""
    view = proposals.amendment_view(swarm().db, tenant(), session_id)
    proposed = view["amendment"]
    changes, more = diff_in_words.shown(proposed["changes"]) if proposed else ([], 0)
    approved = [each for each in view["history"] if each["state"] == "approved"]
    found: dict[str, Any] = {"proposed": proposed, "changes": changes, "more": more, "history": approved, "features": [], "fits": "", "plan": None}
    try:
        found["plan"] = plan(session_id)
    except SwarmError as error:
        return {**found, "fits": error.sentence}
    return {**found, "features": _rows(session_id, found["plan"])}


def _rows(session_id: str, made: Plan) -> list[dict[str, Any]]:
    """In the card's order, then what is added: {ticket, title, status, why_not, what: '' or change, drop, add, place}."""
    statuses = swarm().db.pairs("select id, status from tickets where session_id = ?", (session_id,))
    started = {each["ticket"] for each in amend_tickets.started(swarm().db, session_id, list(made.tickets))}
    changed = {each["ticket"] for each in made.delta["change"]}
    names, new = titles(made.card["features"]), titles(made.amended["features"])
    rows = []
    for ticket, index in sorted(made.tickets.items(), key=lambda each: each[1]):
        status = statuses[ticket]
        what = "drop" if ticket in made.delta["drop"] else "change" if ticket in changed else ""
        rows.append({"ticket": ticket, "title": names[index] if what == "drop" else new[made.order.index(ticket)], "status": status, "what": what,
                     "word": word(status).lower(), "why_not": WHY_NOT[status] if ticket in started else "", "place": index})
    for place, title in enumerate(new[len(made.order):]):
        rows.append({"ticket": "", "title": title, "status": "pending", "what": "add", "word": "new", "why_not": "", "place": place})
    return rows


def form(made: Plan, ticket: str) -> dict[str, Any]:
    """What the form of a feature is filled with: the amended one; '' is a new one. Features that were dropped cannot be waited for."""
    if not ticket:
        return {**card_facts.feature_form(made.amended, None), "ticket": ""}
    return {**card_facts.feature_form(made.amended, made.order.index(ticket)), "ticket": ticket}


def waits_for(made: Plan, ticket: str) -> list[tuple[str, list[str]]]:
    """[(ticket, what it would wait for instead)] of the features that wait for this one."""
    features = made.amended["features"]
    names, gone = titles(features), made.order.index(ticket)
    graph, _ = resolve(features, names)
    return [(other, [names[index] for index in graph[place] if index != gone]) for place, other in enumerate(made.order) if gone in graph[place]]
