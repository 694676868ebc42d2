"""The page of a session in every state: the editor before its approval (see card_editor), then the tickets to create, then the board of its build."""
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request

from engine.errors import SwarmError
from engine.tickets.session_states import EDITABLE
from hitl.card.rejected_form import MOST_FEATURES, RejectedForm
from hitl.pages import card_editor, frame, inbox
from hitl.pages.frame import render
from hitl.pages.session_frame import StoredCard, head, stored_card
from hitl.pages.ticket_log import last_line
from hitl.session import sessions
from hitl.ticket_generator import start_build
from hitl.views import baseline, evidence, graph
from hitl.views import usage as used
from hitl.views.deliveries import delivery_of, people_not_taken_up
from hitl.views.preview import preview
from hitl.views.repositories.grounds import before_build, waits_for
from hitl.views.repository import repository_view
from hitl.web.context import swarm, tenant
from hitl.web.forms import attempt, typed_text
from hitl.web.input import number_or

routes = Blueprint("session", __name__)
LOOK_SECONDS = 0.2  # a page waits at most this long for a look at a repository


@routes.get("/sessions/<session_id>")
def session(session_id: str) -> str:
    return page(session_id)


@routes.get("/sessions/<session_id>/<any(graph, evidence, spec):view>")
def view_of_session(session_id: str, view: str) -> Response | str:
    """The graph and the evidence of a build, and the approved card. Before that, this redirects to the session's own page."""
    session = frame.session(session_id)
    if session["epic_id"] is None and (view != "spec" or session["state"] in EDITABLE):
        return make_response("", 302, {"Location": f"/sessions/{session_id}"})
    return page(session_id, view)


@routes.get("/sessions/<session_id>/look")
def look(session_id: str) -> str:
    """The part of the page about the repository, which asks for itself again while a look goes on."""
    return render_template("session/look.html", look=repository_view(swarm(), tenant(), session_id, LOOK_SECONDS), base=f"/sessions/{session_id}",
                           choose="choose" in request.args)


@routes.get("/sessions/<session_id>/baseline")
def baseline_part(session_id: str) -> str:
    """The part of the page about the checks at the base, which asks for itself again while they run."""
    return render_template("session/baseline.html", at_base=baseline.baseline_view(swarm(), tenant(), session_id), base=f"/sessions/{session_id}")


@routes.post("/sessions/<session_id>/baseline")
def start_baseline(session_id: str) -> Response:
    body = {"again": request.form.get("again") == "true"}
    return attempt(lambda: baseline.start(swarm(), tenant(), session_id, body), f"/sessions/{session_id}#at-base",
                   lambda error: page(session_id, error=error))


@routes.post("/sessions/<session_id>/baseline/cancel")
def cancel_baseline(session_id: str) -> Response:
    return attempt(lambda: baseline.cancel(swarm(), tenant(), session_id), f"/sessions/{session_id}#at-base", lambda error: page(session_id, error=error))


@routes.post("/sessions/<session_id>/<any(approve, reopen, start, pause, resume, cancel):what>")
def move(session_id: str, what: str) -> Response:
    db, config = swarm().db, swarm().config
    does: dict[str, Callable[[], Any]] = {
        "approve": lambda: sessions.approve(db, tenant(), session_id, typed_text("spec_sha256")),
        "reopen": lambda: sessions.reopen(db, tenant(), session_id),
        "start": lambda: start_build(db, config, tenant(), session_id, {
            "confirmed": request.form.get("confirmed") == "true", "spec_sha256": typed_text("spec_sha256") or None,
            "first_commit": request.form.get("first_commit") == "true"}),
        "pause": lambda: sessions.pause(db, tenant(), session_id),
        "resume": lambda: sessions.resume(db, tenant(), session_id),
        "cancel": lambda: sessions.cancel(db, tenant(), session_id),
    }
    return attempt(does[what], f"/sessions/{session_id}", lambda error: page(session_id, error=error))


def page(session_id: str, view: str = "", error: SwarmError | None = None, kept: RejectedForm | None = None) -> str:
    """view: '' is the session's own page; `kept` is a form that was not accepted. Raises NotFound."""
    values = head(session_id, view, error)
    if values["built"]:
        return _build(session_id, values)
    card, state = stored_card(session_id), values["session"]["state"]
    values |= _readable(card, values["session"])
    if view == "":
        values["look"] = repository_view(swarm(), tenant(), session_id, LOOK_SECONDS)
        values["at_base"] = baseline.baseline_view(swarm(), tenant(), session_id)
    if state in EDITABLE and view == "":
        return card_editor.page(card, kept, error, values)
    if state == "approved" and view == "":
        plan = card.plan()
        values["preview"], values["unchecked"] = preview(plan) if plan else ([], [])
        values["stands"] = before_build(swarm(), tenant(), values["look"]["repository"])
        return render("session/approved.html", "session", **values)
    return render("session/spec.html", "session", **values)


def _readable(stored: StoredCard, session: dict[str, Any]) -> dict[str, Any]:
    """The card as a page shows it, or the reason why there is none."""
    plan = stored.plan()
    card = {**(stored.card or {}), **_with_words(plan)} if plan else None
    return {"card": card, "card_reason": stored.reason, "problems": stored.problems, "warnings": session["warnings"]}


def _with_words(plan: dict[str, Any]) -> dict[str, Any]:
    """The features that fit on one page, with their dependencies in words, and their small graph."""
    features = plan["features"]
    names = [f"{place} {feature['title']}" for place, feature in enumerate(features, 1)]
    shown = [{**feature, "after": [names[index] for index in feature["depends_on"]]} for feature in features[:MOST_FEATURES]]
    return {"features": shown, "count": len(features), "graph": graph.small_layout(features) if 1 < len(features) <= MOST_FEATURES else None}


def _build(session_id: str, values: dict[str, Any]) -> str:
    """A view of a build: board, graph, evidence or spec."""
    view, session, columns = values["view"], values["session"], values["board"]["columns"]
    cards = [card for column in columns for card in column["tickets"]]
    if view == "board":
        for card in cards:
            card["last"] = last_line(card["run_id"]) if card["shown"] == "running" and card["run_id"] else ""
        _prove(session_id, columns)
        values["result"] = _result(session)
        values["isolation"] = inbox.requests_of(session_id, "isolation", "budget", "provider", "delivery", "repository", "environment", "baseline")
        values["ground"] = waits_for(swarm().db, session_id)
        values["not_taken_up"] = people_not_taken_up(swarm().db, session_id)
        values["proposed"] = swarm().db.value("select 1 from amendments where session_id = ? and state = 'proposed'", (session_id,)) is not None
    if view == "graph":
        values["graph"] = graph.layout(sorted((card for card in cards if card["type"] != "epic"), key=lambda card: card["seq"]))
    if view == "evidence":
        values["evidence"] = evidence.evidence_view(swarm().db, tenant(), session_id, number_or("after", 0), evidence.PAGE, "story")
        values |= {"evidence_text": evidence.in_words(values["evidence"]["counts"]), "used_table": used.table(session["usage"])}
    if view == "spec":
        values |= _readable(stored_card(session_id), session)
    return render(f"session/{view}.html", "session", **values)


def _prove(session_id: str, columns: list[dict[str, Any]]) -> None:
    """Adds the evidence in words to the cards of tickets that have stopped, finally or for now."""
    at_rest = {card["id"]: card for column in columns for card in column["tickets"][:column["most"]]
               if card["status"] in ("needs_input", "in_review", "completed", "failed")}
    for ticket, words in evidence.of_cards(swarm().db, session_id, list(at_rest)).items():
        at_rest[ticket]["facts"] += [words] if words else []


def _result(session: dict[str, Any]) -> dict[str, Any] | None:
    """How to get the result of the build; None until something is merged."""
    repository = session["repository"]
    if repository is None or not repository["branch"] or not session["tickets"]["by_status"].get("completed"):
        return None
    gone = repository["gone"]
    return {"branch": repository["branch"], "pr_url": session["pr_url"], "gone": gone, "delivery": delivery_of(swarm().db, swarm().config, session["epic_id"]),
            "clone": None if gone else f"{repository['clone']} --branch {repository['branch']}",
            "archive": None if gone else f"/api/hitl/{session['id']}/archive.zip"}
