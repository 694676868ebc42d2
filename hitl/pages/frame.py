"""What every page shares: its frame, the application's parts, and an error as its notice shows it."""
from typing import Any

from flask import g, render_template, request

from engine import VERSION
from engine.errors import SwarmError
from engine.store import journal
from hitl.pages import facts
from hitl.web.context import swarm


def render(template: str, place: str, **values: Any) -> str:
    """With what every page shows. The journal's end is read first: a change after it is told by the socket."""
    return render_template(template, place=place, version=VERSION, theme=request.cookies.get("theme", "system"), seq=journal_end(),
                           shortcuts=request.cookies.get("shortcuts", "on"), waiting=facts.waiting(), here=here(), **values)


def journal_end() -> int:
    if "seq" not in g:
        g.seq = journal.bounds(swarm().db)[1]
    return int(g.seq)


def here() -> str:
    return request.full_path.rstrip("?") if request.method == "GET" else request.path


def as_problem(error: SwarmError | None) -> dict[str, Any] | None:
    """For the macro `problem`."""
    if error is None:
        return None
    hint = {409: "Nothing was changed. The page shows how things stand now.", 422: "Nothing was saved. What you typed is kept below."}
    return {"error": error.sentence, "means": hint.get(error.status, "Nothing was changed.")}
