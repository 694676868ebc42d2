"""What the forms of the pages do. Each works without JavaScript: POST, then 303 to the page that shows the outcome.

An error comes back on the page the form was on, with the status of the error and with what was typed."""
import re
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from engine.tickets import actions as ticket_actions
from engine.tickets import answers, claims
from hitl.pages import screens, session_screen
from hitl.session import sessions
from hitl.ticket_generator import start_build
from hitl.web.context import swarm, tenant
from hitl.web.forms import attempt, go, typed_text

actions = Blueprint("actions", __name__)
YEAR = 365 * 24 * 3600


@actions.post("/sessions/<session_id>/<any(approve, reopen, start, pause, resume, cancel):what>")
def move_session(session_id: str, what: str) -> Response:
    db, config = swarm().db, swarm().config
    does: dict[str, Callable[[], Any]] = {
        "approve": lambda: sessions.approve(db, tenant(), session_id, typed_text("spec_sha256")),
        "reopen": lambda: sessions.reopen(db, tenant(), session_id),
        "start": lambda: start_build(db, config, tenant(), session_id, {"confirmed": request.form.get("confirmed") == "true",
                                                                     "spec_sha256": typed_text("spec_sha256") or None}),
        "pause": lambda: sessions.pause(db, tenant(), session_id),
        "resume": lambda: sessions.resume(db, tenant(), session_id),
        "cancel": lambda: sessions.cancel(db, tenant(), session_id),
    }
    return attempt(does[what], f"/sessions/{session_id}", lambda error: session_screen.session(session_id, error=error))


@actions.post("/tickets/<ticket_id>/retry")
def retry(ticket_id: str) -> Response:
    return attempt(lambda: ticket_actions.retry(swarm().db, tenant(), ticket_id), f"/tickets/{ticket_id}",
                    lambda error: screens.ticket(ticket_id, error=error))


@actions.post("/tickets/<ticket_id>/cancel")
def cancel(ticket_id: str) -> Response:
    without = request.form.get("go_on_without") == "true"
    return attempt(lambda: ticket_actions.cancel(swarm().db, tenant(), ticket_id, go_on_without=without), f"/tickets/{ticket_id}",
                    lambda error: screens.ticket(ticket_id, error=error))


@actions.post("/requests/<int:seq>/answer")
def answer(seq: int) -> Response:
    """Back to where the person was: the form is on the inbox, on the ticket and on the board."""
    text = typed_text("option") or typed_text("text")
    back = _from_here("/inbox")
    return attempt(lambda: answers.answer_request(swarm().db, tenant(), seq, text), back,
                    lambda error: screens.inbox(error=error, kept=typed_text("text"), kept_for=seq))


def _from_here(default: str) -> str:
    """The path of our own page that sent this, by its Referer."""
    found = re.match(r"https?://[^/]+(/[^/\\][^\\]*|/)?$", request.headers.get("Referer", ""))
    return found[1].partition("#")[0] if found and found[1] and request.headers["Referer"].startswith(request.host_url) else default


@actions.post("/engine/<any(pause, resume):what>")
def pause_engine(what: str) -> Response:
    claims.set_paused(swarm().db, what == "pause", "Paused by a person.")
    return go("/engine")


@actions.post("/theme")
def theme() -> Response:
    wanted = typed_text("theme")
    where = typed_text("next")
    response = go(where if re.match(r"/(?![/\\])", where) and "\\" not in where else "/")
    if wanted in ("light", "dark"):
        response.set_cookie("theme", wanted, max_age=YEAR, samesite="Lax", httponly=True)
    else:
        response.delete_cookie("theme")
    return response


@actions.post("/help/keys")
def shortcuts() -> Response:
    response = go("/help/keys")
    if typed_text("shortcuts") == "on":
        response.delete_cookie("shortcuts")
    else:
        response.set_cookie("shortcuts", "off", max_age=YEAR, samesite="Lax", httponly=True)
    return response
