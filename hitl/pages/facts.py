"""What the pages of sessions and the inbox show, from the presenter's dicts."""
import json
from dataclasses import dataclass, field
from typing import Any

from flask import g

from engine.errors import InvalidCard, SwarmError
from engine.store import journal
from engine.tickets import review_comments
from hitl.card.spec_card import validate
from hitl.views.board import counts
from hitl.views.inbox import requests_view, waiting_count
from hitl.views.news import event_text, is_news
from hitl.views.session import session_list, session_view
from hitl.views.ticket import dependents
from hitl.web.context import swarm, tenant
from hitl.web.filters import number, word

FILTERS = (("", "All"), ("building", "Building"), ("completed", "Done"), ("failed", "Failed"))
WAITING = ("draft", "clarifying", "review", "approved")  # a person must act on these sessions
_VERBS = {"question": "Answer", "isolation": "Decide", "budget": "Decide", "delivery": "Decide", "failed": "Look", "review": "Review"}
_PAGE = 50


@dataclass
class Card:
    """A session's card: the card and no reason, or the reason why there is none that can be used. text is for the editor."""

    card: dict[str, Any] | None = None
    text: str = ""
    reason: str = ""
    problems: list[dict[str, str]] = field(default_factory=list)


def session(session_id: str) -> dict[str, Any]:
    """views/session.py: session_view, once a request. Raises NotFound."""
    known: dict[str, dict[str, Any]] = g.setdefault("sessions", {})
    if session_id not in known:
        known[session_id] = session_view(swarm().db, swarm().config, tenant(), session_id)
    return known[session_id]


def card(session_id: str) -> Card:
    found = session(session_id)["spec_card"]
    if found is None:
        problems = session(session_id)["warnings"]
        if problems:  # edited by hand into something that is not JSON
            return Card(reason="The stored card is not valid JSON.", problems=problems)
        return Card(reason="There is no spec card yet: write it and save it.")
    text = json.dumps(found, indent=2, ensure_ascii=False)
    try:
        validate(found, swarm().config)
    except InvalidCard as error:
        problems = card_problems(error)
        return Card(text=text, reason=f"{number(len(problems), 'thing')} to fix before this card can be approved.", problems=problems)
    return Card(found, text)


def card_problems(error: SwarmError | None) -> list[dict[str, str]]:
    """[{path, message}] of a card that was refused; [] for any other error."""
    details = error.extra.get("details") if isinstance(error, InvalidCard) else None
    return details if isinstance(details, list) else []


def starter_card(found: dict[str, Any]) -> str:
    """The first card of an idea: one feature, made from its name and description."""
    feature = {"title": found["project_name"], "description": found["description"], "acceptance_criteria": []}
    return json.dumps({"name": found["project_name"], "description": found["description"], "features": [feature]}, indent=2, ensure_ascii=False)


def sessions(show: str, after: int | None) -> tuple[list[dict[str, Any]], int | None]:
    """A page of the sessions, newest first, and the cursor of the next one."""
    state = show if show in dict(FILTERS) and show else None
    page = session_list(swarm().db, tenant(), state, _PAGE, after)
    return [_row(each) for each in page["sessions"]], page["next"]


def _row(each: dict[str, Any]) -> dict[str, Any]:
    by_status: dict[str, int] = dict(each["tickets"]["by_status"])
    bar, total, said = counts(by_status, "ticket")
    text = {"draft": "an idea, no card yet", "clarifying": "questions to answer", "review": "a card to approve", "approved": "ready to start",
            "cancelled": "nothing was built"}.get(each["state"], "")
    shown = "paused" if each["paused"] and each["state"] == "building" else each["state"]
    return {**each, "counts": bar, "total": total, "counts_text": said, "done": by_status.get("completed", 0),
            "shown_state": shown, "progress_text": text}


def needs() -> list[dict[str, Any]]:
    """All that waits for a person, oldest first: open requests, and sessions before their build."""
    if "needs" not in g:
        found = [_of_request(each) for each in requests_view(swarm().db, tenant())]
        for state in WAITING:
            found += [_of_session(each) for each in session_list(swarm().db, tenant(), state, _PAGE)["sessions"]]
        g.needs = sorted(found, key=lambda each: str(each["since"]))
    waiting: list[dict[str, Any]] = g.needs
    return waiting


def waiting() -> int:
    """As many as needs() lists; every page says it, and is not to wait for what each of them is."""
    return waiting_count(swarm().db, tenant(), WAITING, _PAGE)


def _of_request(each: dict[str, Any]) -> dict[str, Any]:
    options = len(each["options"])
    text = number(options, "suggested answer") if each["kind"] == "question" and options else ""
    is_review = each["kind"] == "review"
    href = f"/tickets/{each['ticket_id']}{'/changes' if is_review else ''}" if each["ticket_id"] else f"/sessions/{each['session_id']}"
    return {"key": each["seq"], "state": "in_review" if is_review else each["kind"], "title": each["title"] or each["project_name"], "href": href,
            "ticket_id": each["ticket_id"], "session_id": each["session_id"], "session_name": each["project_name"], "text": text,
            "since": each["created_at"], "verb": _VERBS[each["kind"]], "request": request(each)}


def _of_session(each: dict[str, Any]) -> dict[str, Any]:
    text = {"draft": "say what is to be built", "clarifying": "questions to answer", "review": "a card to approve",
            "approved": "approved, not started"}.get(each["state"], "")
    return {"key": each["id"], "state": each["state"], "title": each["project_name"], "href": f"/sessions/{each['id']}", "ticket_id": None,
            "session_id": each["id"], "session_name": each["project_name"], "text": text, "since": each["updated_at"],
            "verb": "Open", "request": None}


def request(each: dict[str, Any]) -> dict[str, Any]:
    """A request with what its forms need: whether its ticket can be dropped, and what would be dropped with it."""
    if each["kind"] == "review" and each["ticket_id"]:
        return {**each, "tip": review_comments.tip_of(swarm().db, each["ticket_id"])}
    if each["kind"] != "failed" or not each["ticket_id"]:
        return each
    type_of = swarm().db.value("select type from tickets where id = ?", (each["ticket_id"],))
    return {**each, "droppable": type_of != "epic", "holds_up": dependents(swarm().db, each["ticket_id"])}


def requests_of(session_id: str, *kinds: str) -> list[dict[str, Any]]:
    """What of these kinds waits for a person, oldest first."""
    return [request(each) for each in requests_view(swarm().db, tenant(), session_id) if each["kind"] in kinds]


def latest() -> list[dict[str, Any]]:
    """The newest events, newest first."""
    _, newest = journal.bounds(swarm().db)
    names = {each["id"]: each["project_name"] for each in sessions("", None)[0]}
    found = []
    for each in reversed(journal.since(swarm().db, max(0, newest - 100), tenant=tenant())):
        if not is_news(each):
            continue
        href = f"/tickets/{each['ticket']}" if each["ticket"] else f"/sessions/{each['session']}" if each["session"] else "/engine"
        found.append({"at": each["at"], "href": href, "text": event_text(each),
                      "subject": each["ticket"] or names.get(each["session"], "Session" if each["session"] else "Engine")})
    return found[:8]


def result(found: dict[str, Any]) -> dict[str, Any] | None:
    """How to get what was built, once something of it is merged."""
    made = found["repository"]
    if made is None or not made["branch"] or not found["tickets"]["by_status"].get("completed"):
        return None
    return {"branch": made["branch"], "clone": f"{made['clone']} --branch {made['branch']}", "archive": f"/api/hitl/{found['id']}/archive.zip",
            "pr_url": found["pr_url"]}


def state_word(found: dict[str, Any]) -> str:
    return word("paused" if found["paused"] and found["state"] == "building" else found["state"]).lower()
