"""The home page: an introduction at the first visit, later the sessions and the items that need you. It also has the form of a new session and the sample."""
import re
import sqlite3
from typing import Any

from flask import Blueprint, Response, make_response, request

from engine.errors import BadRequest, SwarmError
from engine.git.call import check_git, git_version
from engine.store import journal
from hitl.card import sample
from hitl.card.rejected_form import card_problems
from hitl.card.review_rule import BY_WORD
from hitl.card.text import shorten
from hitl.drafting import interview
from hitl.pages import engine, inbox
from hitl.pages.frame import MOST_LISTED, as_problem, journal_end, parsed_card, render
from hitl.session import sessions
from hitl.views.board import counts
from hitl.views.news import event_text, is_news
from hitl.views.session import session_list
from hitl.web.context import swarm, tenant
from hitl.web.forms import go, typed_text
from hitl.web.input import number_or

routes = Blueprint("home", __name__)
FILTERS = (("", "All"), ("building", "Building"), ("completed", "Done"), ("failed", "Failed"))
FIELDS = ("kind", "project_name", "description", "markdown", "repository", "review", "spec_card")
EMPTY = {"words": "Say what you want to build. One or two sentences are enough.", "markdown": "Paste the document, or tell it in your own words.",
         "card": "Paste the spec card, or tell it in your own words."}  # kind: what to do with an empty form
NAME_LENGTH = 60  # of a name that is taken from the idea
NEWS = 8  # events that are shown


@routes.get("/")
def home() -> str:
    return page(new="new" in request.args)


@routes.get("/sessions")
def list_of_sessions() -> Response:
    return make_response("", 302, {"Location": "/#sessions"})


@routes.post("/sample")
def build_sample() -> Response:
    card = sample.card()
    session_id = sessions.create(swarm().db, swarm().config, tenant(), project_name=card["name"], description=card.get("description", ""),
                                 spec_card=card, source="sample")
    return go(f"/sessions/{session_id}")


@routes.post("/sessions")
def create_session() -> Response:
    """kind: an idea in words, a document in markdown, or a card, whole and as JSON."""
    typed = {name: typed_text(name) for name in FIELDS}
    try:
        session_id = _create(typed)
    except SwarmError as error:
        if error.status >= 500:
            raise
        return make_response(page(new=True, error=error, typed=typed), error.status)
    return go(f"/sessions/{session_id}")


def _create(typed: dict[str, str]) -> str:
    """Creates the session -> its id. Words and Markdown start the interview at once; a card is in review.

    Raises the errors of sessions.create and interview.say."""
    db, config = swarm().db, swarm().config
    kind = typed["kind"] if typed["kind"] in ("words", "markdown", "card") else ""
    with_card = kind == "card" or (not kind and bool(typed["spec_card"]))
    idea = {"markdown": typed["markdown"], "card": ""}.get(kind, typed["description"] or typed["markdown"])
    if with_card and not typed["spec_card"]:
        raise BadRequest(EMPTY["card"], field="card")
    card: Any = parsed_card(typed["spec_card"]) if with_card else None
    description = typed["description"] if kind != "markdown" else ""
    if isinstance(card, dict):
        description = description or str(card.get("description", ""))
        if typed["repository"]:
            card.setdefault("repository", typed["repository"])
    if not idea.strip() and not with_card and not typed["project_name"]:
        raise BadRequest(EMPTY.get(kind, EMPTY["words"]), field=kind or "words")
    name = typed["project_name"] or _name_of(card, idea)
    with db.transaction():
        session_id = sessions.create(db, config, tenant(), project_name=name, description=description, repository=typed["repository"] or None,
                                     review=BY_WORD.get(typed["review"], False), spec_card=card, source="page")
        if not with_card and idea:
            interview.say(db, config, tenant(), session_id, typed["markdown"] if kind == "markdown" else None)
    return session_id


def _name_of(card: Any, idea: str) -> str:
    """The card's name, or the first heading or sentence of the idea."""
    if isinstance(card, dict):
        return str(card.get("name", ""))
    heading = re.search(r"^#{1,2} +(.+?)[ #]*$", idea, re.M)
    first = heading[1] if heading else re.split(r"(?<=[.!?])\s|\n", idea, maxsplit=1)[0]
    return shorten(re.sub(r"[*_`]", "", first).strip(" .:"), NAME_LENGTH)


def page(new: bool = False, error: SwarmError | None = None, typed: dict[str, str] | None = None) -> str:
    """The introduction at a first visit, later the lists. `typed` is a form that was not accepted."""
    journal_end()
    only = request.args.get("show", "")
    shown, older = _sessions(only, number_or("after", None))
    any_yet = bool(shown or _sessions("", None)[0])
    values = {"new": new or not any_yet, "sessions": any_yet, "engine": engine.summary(), "error": as_problem(error),
              "typed": {**dict.fromkeys(FIELDS, ""), "repository": request.args.get("repository", "")[:1000], **(typed or {})},
              "problems": card_problems(error),
              "empty": error.extra.get("field") if isinstance(error, BadRequest) else None}
    if values["new"]:
        return render("home/home.html", "home", **values, sample_features=len(sample.card()["features"]), installation_facts=_installation())
    return render("home/home.html", "home", **values, sessions_shown=shown, older=older, filters=FILTERS, only=only, needs=inbox.needs(), latest=_latest())


def _sessions(only: str, after: int | None) -> tuple[list[dict[str, Any]], int | None]:
    """A page of the sessions, newest first, and the cursor of the next one."""
    state = only if only in dict(FILTERS) and only else None
    listed = session_list(swarm().db, tenant(), state, MOST_LISTED, after)
    return [_row(session) for session in listed["sessions"]], listed["next"]


def _row(session: dict[str, Any]) -> dict[str, Any]:
    by_status: dict[str, int] = dict(session["tickets"]["by_status"])
    bar, total, counts_text = counts(by_status)
    text = {"draft": "an idea, no card yet", "clarifying": "questions to answer", "review": "a card to approve", "approved": "ready to start",
            "cancelled": "nothing was built"}.get(session["state"], "")
    shown = "paused" if session["paused"] and session["state"] == "building" else session["state"]
    return {**session, "counts": bar, "total": total, "counts_text": counts_text, "done": by_status.get("completed", 0),
            "shown_state": shown, "progress_text": text}


def _latest() -> list[dict[str, Any]]:
    """The newest events, newest first."""
    _, newest = journal.bounds(swarm().db)
    names = {session["id"]: session["project_name"] for session in _sessions("", None)[0]}
    news = []
    for event in reversed(journal.since(swarm().db, max(0, newest - 100), tenant=tenant())):
        if not is_news(event):
            continue
        href = f"/tickets/{event['ticket']}" if event["ticket"] else f"/sessions/{event['session']}" if event["session"] else "/engine"
        news.append({"at": event["at"], "href": href, "text": event_text(event),
                     "subject": event["ticket"] or names.get(event["session"], "Session" if event["session"] else "Engine")})
    return news[:NEWS]


def _installation() -> list[dict[str, str]]:
    """What this installation can do, shown at a first visit: [{state, title, text}]."""
    view = engine.state()
    runtime, agent, why_no_git = engine.in_use(view["runtimes"]), engine.in_use(view["agents"]), check_git()
    if runtime is None:
        sandbox = {"state": "unchecked", "title": "Sandbox: not known yet", "text": "It is chosen when the engine starts in this process."}
    else:
        missed = [passed_over["why_not"] for passed_over in view["runtimes"] if passed_over["why_not"]]
        sandbox = {"state": "passed" if runtime["isolates"] else "question", "title": f"Sandbox: {runtime['name']}",
                   "text": " ".join([runtime["isolation"], *missed])}
    version = ".".join(map(str, git_version()[:2])) if why_no_git is None else "?"
    git = {"state": "failed" if why_no_git else "passed", "title": f"git {version}, SQLite {sqlite3.sqlite_version}",
           "text": why_no_git or "Both new enough."}
    if agent is None or agent["fallback"]:
        coder = {"state": "question", "title": "No coding agent configured",
                 "text": "The sample works without one. A ticket with fenced sh blocks runs them. For any other ticket, its brief is written to a file."}
    else:
        coder = {"state": "passed", "title": f"Agent: {agent['name']}", "text": agent["description"]}
    return [sandbox, git, coder]
