"""The list of repositories, and the page that adds one."""
from flask import Blueprint, Response, make_response

from engine.errors import SwarmError
from engine.repositories import sources
from hitl.pages.frame import as_problem, journal_end, render
from hitl.pages.repositories.page import WORDS, address
from hitl.views.repositories import repository_dict
from hitl.views.repositories.look import look_at
from hitl.views.repositories.page import sessions_of
from hitl.web.context import swarm, tenant
from hitl.web.forms import go, typed_text

routes = Blueprint("repositories", __name__)
LOOK_SECONDS = 2.0  # an answer waits at most this long for the first look


@routes.get("/repositories")
def index() -> str:
    journal_end()
    found = []
    for row in sources.all_of(swarm().db, tenant()):
        shown = repository_dict(swarm(), row)
        state = "without" if shown["environment"]["without"] else shown["environment"]["state"]
        counted = sessions_of(swarm().db, row["id"])
        found.append({**shown, "words": WORDS[state], "count": counted["count"], "building": counted["building"]})
    return render("repository/list.html", "repositories", repositories=found)


@routes.get("/repositories/new")
def new() -> str:
    return _new()


@routes.post("/repositories")
def add() -> Response:
    """Looks at the repository, and goes to its page."""
    try:
        row = sources.row_for(swarm().db, swarm().config, tenant(), typed_text("repository"))
    except SwarmError as error:
        if error.status >= 500:
            raise
        return make_response(_new(error), error.status)
    look_at(swarm(), row, LOOK_SECONDS)
    return go(address(row["id"]))


def _new(error: SwarmError | None = None) -> str:
    return render("repository/new.html", "repositories", error=as_problem(error), typed=typed_text("repository") if error else "")
