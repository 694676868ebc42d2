"""The routes of the browser pages: parse, call, render. What a page shows is in screens, what its forms do in page_actions."""
import json
import re
from typing import Any, cast

from flask import Blueprint, Flask, Response, abort, current_app, make_response, render_template, request, send_file
from flask.blueprints import BlueprintSetupState

from engine import VERSION
from engine.errors import BadRequest
from hitl.pages import facts, screens, session_screen, ticket_facts
from hitl.pages.frame import render
from hitl.pages.page_actions import actions
from hitl.pages.page_amend import amend_pages
from hitl.pages.page_card import card_pages
from hitl.pages.page_interview import interview_pages
from hitl.pages.page_new import new_pages
from hitl.pages.page_notes import notes_pages
from hitl.pages.page_review import review_pages
from hitl.pages.page_steer import steer_pages
from hitl.web import filters as formats
from hitl.web.context import swarm

pages = Blueprint("pages", __name__)
for _part in (actions, amend_pages, card_pages, interview_pages, new_pages, notes_pages, review_pages, steer_pages):
    pages.register_blueprint(_part)


@pages.record
def _install(state: BlueprintSetupState) -> None:
    formats.install(cast(Flask, state.app))


@pages.get("/")
def home() -> str:
    return screens.home(new="new" in request.args)


@pages.get("/inbox")
def inbox() -> str:
    return screens.inbox()


@pages.get("/sessions")
def sessions() -> Response:
    return make_response("", 302, {"Location": "/#sessions"})


@pages.get("/sessions/<session_id>")
def session(session_id: str) -> str:
    return session_screen.session(session_id)


@pages.get("/sessions/<session_id>/<any(graph, evidence, spec):view>")
def session_view(session_id: str, view: str) -> Response | str:
    """The graph and the evidence of a build, and the card of what is approved; before that there is the session's own page."""
    found = facts.session(session_id)
    if found["epic_id"] is None and (view != "spec" or found["state"] in session_screen.BEFORE):
        return make_response("", 302, {"Location": f"/sessions/{session_id}"})
    return session_screen.session(session_id, view)


@pages.get("/tickets/<ticket_id>")
def ticket(ticket_id: str) -> str:
    return screens.ticket(ticket_id)


@pages.get("/tickets/<ticket_id>/history")
def history(ticket_id: str) -> str:
    return screens.history(ticket_id)


@pages.get("/tickets/<ticket_id>/log")
def log_part(ticket_id: str) -> str:
    """?run=<id>&after=<bytes>&line=<number>: further rows, for tail.js."""
    return screens.log_part(ticket_id, request.args.get("run", ""), _number("after", 0), _number("line", 1))


def _number(name: str, default: int) -> int:
    text = request.args.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise BadRequest(f"{name} must be a whole number.")
    return int(text)


@pages.get("/tickets/<ticket_id>/log.txt")
def raw_log(ticket_id: str) -> Response:
    """All of a run's log, as it is. A browser shows it as plain text."""
    run = ticket_facts.run(ticket_id, request.args.get("run", ""))
    path = swarm().config.data / "runs" / run["id"] / "log"
    if not path.is_file():
        abort(404)
    return send_file(path, "text/plain; charset=utf-8", max_age=0)


@pages.get("/engine")
def engine() -> str:
    return screens.engine_page()


@pages.get("/help/keys")
def keys() -> str:
    """The same table that keys.js works by."""
    with open(f"{current_app.root_path}/static/shared/keys.json", encoding="utf-8") as file:
        entries = json.load(file)
    scopes = dict.fromkeys(entry["scope"] for entry in entries)
    return render("help/keys.html", "keys", table=[(scope, [entry for entry in entries if entry["scope"] == scope]) for scope in scopes])


MEANINGS = {  # status: (word, what it means, what to do)
    400: ("Not possible", "Nothing was changed.", "Go back, mend what was sent, and send it again."),
    403: ("Refused", "Nothing was changed.", "Open HITL Swarm by its own address, http://127.0.0.1 with its port, and try again there."),
    404: ("Not found", "The address is wrong, or what it names is gone.", "Go back, or find it from the home page."),
    405: ("Not possible", "Nothing was changed.", "Use the buttons of the pages."),
    409: ("Too late", "Nothing was changed: the thing has moved on since you looked at it.", "Go back and look at how it stands now."),
    413: ("Too large", "Nothing was changed.", "Send less than 4 MB."),
    422: ("Not valid", "Nothing was saved.", "Mend what is named and send it again."),
    503: ("Not saved", "Nothing was changed and nothing is lost. Runs go on and keep their results in their own folders.",
          "Wait a moment and send it again. If the disk is full, free some space on the data folder first."),
}
BUG = ("Failed", "Nothing of this request was kept. Runs go on.", "Try again. If it happens again, the server's log has the details.")


def error_page(error: dict[str, Any], status: int) -> Response:
    """For people: what happened, what it means, what to do, and what they typed. Reads nothing from the database, which may be what failed."""
    kind, means, advice = MEANINGS.get(status, BUG if status >= 500 else MEANINGS[400])
    typed = [] if request.method != "POST" or status in (403, 413) else [(name, value) for name, value in request.form.items() if value]
    said = f"{request.method} {request.path} was answered with {status}."
    back = request.headers.get("Referer", "") if status != 404 else ""
    html = render_template("shared/error.html", error=error, kind=kind, happened=said, means=means,
                           advice=advice, kept=typed, code=status, back=back if back.startswith(request.host_url) else "/", place="", version=VERSION,
                           here="/", theme=request.cookies.get("theme", "system"), shortcuts=request.cookies.get("shortcuts", "on"), waiting=0, seq=None)
    return make_response(html, status)
