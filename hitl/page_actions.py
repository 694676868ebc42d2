"""What the forms of the pages do. Each works without JavaScript: POST, then 303 to the page that shows the outcome.

An error comes back on the page the form was on, with the status of the error and with what was typed."""
import re
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, make_response, redirect, request

from engine import claims, requests, steering
from engine.errors import BadRequest, InvalidCard, SwarmError
from hitl import sample, screens, sessions, strict_json
from hitl.guard import current_tenant
from hitl.screens import swarm
from hitl.ticket_generator import start_build

actions = Blueprint("actions", __name__)
YEAR = 365 * 24 * 3600


def _go(where: str) -> Response:
    return make_response(redirect(where, 303))


def _attempt(do: Callable[[], Any], where: str, failed: Callable[[SwarmError], str]) -> Response:
    """do(), then `where`; or the page that `failed` renders, with the error's status. Errors of storage keep the text, too."""
    try:
        do()
    except SwarmError as error:
        if error.status >= 500 or error.status == 404:
            raise
        return make_response(failed(error), error.status)
    return _go(where)


def _field(name: str) -> str:
    return request.form.get(name, "").replace("\r\n", "\n").strip()


@actions.post("/sample")
def build_sample() -> Response:
    card = sample.card()
    session_id = sessions.create(swarm().db, swarm().config, current_tenant(), project_name=card["name"], description=card.get("description", ""),
                                 spec_card=card, source="sample")
    return _go(f"/sessions/{session_id}")


@actions.post("/sessions")
def create_session() -> Response:
    typed = {name: _field(name) for name in ("project_name", "description", "repository", "spec_card")}
    made: list[str] = []

    def create() -> None:
        card = _parsed(typed["spec_card"]) if typed["spec_card"] else None
        name, description = typed["project_name"], typed["description"]
        if isinstance(card, dict):
            description = description or str(card.get("description", ""))
            if typed["repository"]:
                card.setdefault("repository", typed["repository"])
        made.append(sessions.create(swarm().db, swarm().config, current_tenant(), project_name=name, description=description,
                                    repository=typed["repository"] or None, spec_card=card, source="page"))

    try:
        create()
    except SwarmError as error:
        if error.status >= 500:
            raise
        return make_response(screens.home(new=True, error=error, typed=typed), error.status)
    return _go(f"/sessions/{made[0]}")


def _parsed(text: str) -> Any:
    """Raises InvalidCard where the text is not JSON."""
    try:
        return strict_json.parse(text.encode("utf-8", "surrogatepass"))
    except BadRequest as error:
        raise InvalidCard(f"The spec card is not valid JSON. {error.sentence}", details=[{"path": "", "message": error.sentence}]) from None


@actions.post("/sessions/<session_id>/spec")
def save_card(session_id: str) -> Response:
    text = _field("spec_card")
    return _attempt(lambda: sessions.put_card(swarm().db, swarm().config, current_tenant(), session_id, _parsed(text), source="page"),
                    f"/sessions/{session_id}", lambda error: screens.session(session_id, error=error, card_text=text))


@actions.post("/sessions/<session_id>/<any(approve, reopen, start, pause, resume, cancel):what>")
def move_session(session_id: str, what: str) -> Response:
    db, config, tenant = swarm().db, swarm().config, current_tenant()
    does: dict[str, Callable[[], Any]] = {
        "approve": lambda: sessions.approve(db, tenant, session_id, _field("spec_sha256")),
        "reopen": lambda: sessions.reopen(db, tenant, session_id),
        "start": lambda: start_build(db, config, tenant, session_id, {"confirmed": request.form.get("confirmed") == "true",
                                                                     "spec_sha256": _field("spec_sha256") or None}),
        "pause": lambda: sessions.pause(db, tenant, session_id),
        "resume": lambda: sessions.resume(db, tenant, session_id),
        "cancel": lambda: sessions.cancel(db, tenant, session_id),
    }
    return _attempt(does[what], f"/sessions/{session_id}", lambda error: screens.session(session_id, error=error))


@actions.post("/tickets/<ticket_id>/retry")
def retry(ticket_id: str) -> Response:
    return _attempt(lambda: steering.retry(swarm().db, current_tenant(), ticket_id), f"/tickets/{ticket_id}",
                    lambda error: screens.ticket(ticket_id, error=error))


@actions.post("/tickets/<ticket_id>/cancel")
def cancel(ticket_id: str) -> Response:
    without = request.form.get("go_on_without") == "true"
    return _attempt(lambda: steering.cancel(swarm().db, current_tenant(), ticket_id, go_on_without=without), f"/tickets/{ticket_id}",
                    lambda error: screens.ticket(ticket_id, error=error))


@actions.post("/tickets/<ticket_id>/approve")
def approve_change(ticket_id: str) -> Response:
    return _attempt(lambda: steering.approve(swarm().db, current_tenant(), ticket_id), f"/tickets/{ticket_id}",
                    lambda error: screens.changes(ticket_id, error=error))


@actions.post("/tickets/<ticket_id>/request-changes")
def request_changes(ticket_id: str) -> Response:
    text = _field("text")
    return _attempt(lambda: steering.request_changes(swarm().db, current_tenant(), ticket_id, text), f"/tickets/{ticket_id}",
                    lambda error: screens.changes(ticket_id, error=error, kept=text))


@actions.post("/requests/<int:seq>/answer")
def answer(seq: int) -> Response:
    """Back to where the person was: the form is on the inbox, on the ticket and on the board."""
    text = _field("option") or _field("text")
    back = _from_here("/inbox")
    return _attempt(lambda: requests.answer_request(swarm().db, current_tenant(), seq, text), back,
                    lambda error: screens.inbox(error=error, kept=_field("text"), kept_for=seq))


def _from_here(default: str) -> str:
    """The path of our own page that sent this, by its Referer."""
    found = re.match(r"https?://[^/]+(/[^/\\][^\\]*|/)?$", request.headers.get("Referer", ""))
    return found[1].partition("#")[0] if found and found[1] and request.headers["Referer"].startswith(request.host_url) else default


@actions.post("/engine/<any(pause, resume):what>")
def pause_engine(what: str) -> Response:
    claims.set_paused(swarm().db, what == "pause", "Paused by a person.")
    return _go("/engine")


@actions.post("/theme")
def theme() -> Response:
    wanted = _field("theme")
    where = _field("next")
    response = _go(where if re.match(r"/(?![/\\])", where) and "\\" not in where else "/")
    if wanted in ("light", "dark"):
        response.set_cookie("theme", wanted, max_age=YEAR, samesite="Lax", httponly=True)
    else:
        response.delete_cookie("theme")
    return response


@actions.post("/help/keys")
def shortcuts() -> Response:
    response = _go("/help/keys")
    if _field("shortcuts") == "on":
        response.delete_cookie("shortcuts")
    else:
        response.set_cookie("shortcuts", "off", max_age=YEAR, samesite="Lax", httponly=True)
    return response
