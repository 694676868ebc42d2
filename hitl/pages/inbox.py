"""The inbox: everything that waits for you. The home, session and ticket pages show their part of it."""
import re
from typing import Any

from flask import Blueprint, Response, g, request

from engine.errors import SwarmError
from engine.tickets import answers, requests, review_comments
from hitl.pages.frame import MOST_LISTED, WAITING, as_problem, journal_end, render
from hitl.views.inbox import requests_view
from hitl.views.session import session_list
from hitl.views.ticket import dependents
from hitl.web.context import swarm, tenant
from hitl.web.filters import number
from hitl.web.forms import attempt, typed_text

routes = Blueprint("inbox", __name__)
_VERBS = {"question": "Answer", "isolation": "Decide", "budget": "Decide", "delivery": "Decide", "failed": "Look", "review": "Review",
          "environment": "Decide", "baseline": "Decide", "base": "Decide", "permission": "Decide"}


@routes.get("/inbox")
def inbox() -> str:
    return page()


@routes.post("/requests/<int:seq>/answer")
def answer(seq: int) -> Response:
    """Saves an answer and goes back to the page of the form: the inbox, the ticket or the board."""
    text, place = typed_text("option") or typed_text("text"), _from_here("/inbox")
    before = [asked["seq"] for asked in requests_view(swarm().db, tenant())] if place == "/inbox" else []
    return attempt(lambda: answers.answer_request(swarm().db, tenant(), seq, text), lambda: place + _next(seq, before),
                   lambda error: page(error=error, kept=typed_text("text"), kept_for=seq))


def _next(seq: int, before: list[int]) -> str:
    """The anchor of the request after this one in the inbox, or of the first one; '' without one. before: the open requests before the answer."""
    now = {asked["seq"] for asked in requests_view(swarm().db, tenant())} if before else set[int]()
    still = [other for other in before if other in now]
    return f"#item-{next((other for other in still if other > seq), still[0])}" if still else ""


def _from_here(default: str) -> str:
    """The path of our page that sent this request, from its Referer; `default` if it came from elsewhere."""
    path = re.match(r"https?://[^/]+(/[^/\\][^\\]*|/)?$", request.headers.get("Referer", ""))
    return path[1].partition("#")[0] if path and path[1] and request.headers["Referer"].startswith(request.host_url) else default


def page(error: SwarmError | None = None, kept: str = "", kept_for: int | None = None) -> str:
    """kept: an answer that was not accepted; kept_for: the number of its request."""
    journal_end()
    return render("inbox/inbox.html", "inbox", needs=needs(), error=as_problem(error), kept=kept, kept_for=kept_for)


def needs() -> list[dict[str, Any]]:
    """Everything that waits for you, oldest first: open requests, and sessions before their build."""
    if "needs" not in g:
        items = [_of_request(asked) for asked in requests_view(swarm().db, tenant())]
        for state in WAITING:
            items += [_of_session(session) for session in session_list(swarm().db, tenant(), state, MOST_LISTED)["sessions"]]
        g.needs = sorted(items, key=lambda item: str(item["since"]))
    known: list[dict[str, Any]] = g.needs
    return known


def _of_request(asked: dict[str, Any]) -> dict[str, Any]:
    options = len(asked["options"])
    text = number(options, "suggested answer") if shown_kind(asked) == "question" and options else ""
    is_review = asked["kind"] == "review"
    href = f"/tickets/{asked['ticket_id']}{'/changes' if is_review else ''}" if asked["ticket_id"] else f"/sessions/{asked['session_id']}"
    if asked["repository"] and (asked["kind"] == "environment" or not asked["session_id"]):
        href = f"/repositories/{asked['repository']}"
    return {"key": asked["seq"], "state": "in_review" if is_review else shown_kind(asked), "title": asked["title"] or asked["project_name"], "href": href,
            "ticket_id": asked["ticket_id"], "session_id": asked["session_id"], "session_name": asked["project_name"], "text": text,
            "since": asked["created_at"], "verb": _VERBS[asked["kind"]], "request": with_forms(asked)}


def shown_kind(asked: dict[str, Any]) -> str:
    """The kind of a request for people: a provider's refusal is no used-up budget to them, and an epic's question is about its repository."""
    if asked["kind"] == "question" and asked["ticket_type"] == "epic":
        return "repository"
    return "provider" if requests.is_of_provider(asked["kind"], asked["options"]) else str(asked["kind"])


def _of_session(session: dict[str, Any]) -> dict[str, Any]:
    text = {"draft": "say what to build", "clarifying": "questions to answer", "review": "a card to approve",
            "approved": "approved, not started"}.get(session["state"], "")
    return {"key": session["id"], "state": session["state"], "title": session["project_name"], "href": f"/sessions/{session['id']}", "ticket_id": None,
            "session_id": session["id"], "session_name": session["project_name"], "text": text, "since": session["updated_at"],
            "verb": "Open", "request": None}


def with_forms(asked: dict[str, Any]) -> dict[str, Any]:
    """A request with the values for its forms: whether its ticket can be dropped, and which tickets would be dropped with it."""
    shown = {**asked, "shown": shown_kind(asked)}
    if asked["kind"] == "review" and asked["ticket_id"]:
        return {**shown, "tip": review_comments.tip_of(swarm().db, asked["ticket_id"])}
    if asked["kind"] != "failed" or not asked["ticket_id"]:
        return shown
    type_of = swarm().db.value("select type from tickets where id = ?", (asked["ticket_id"],))
    return {**shown, "droppable": type_of != "epic", "holds_up": dependents(swarm().db, asked["ticket_id"])}


def requests_of(session_id: str, *kinds: str) -> list[dict[str, Any]]:
    """The open requests of these kinds (see shown_kind) in a session, oldest first."""
    return [with_forms(asked) for asked in requests_view(swarm().db, tenant(), session_id) if shown_kind(asked) in kinds]
