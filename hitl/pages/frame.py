"""What the pages share: the frame around each page, its session, and the notice of an error."""
from typing import Any

from flask import g, render_template, request

from engine import VERSION
from engine.errors import BadRequest, InvalidCard, SwarmError
from engine.store import journal
from engine.tickets.session_states import EDITABLE
from hitl.views.inbox import waiting_count
from hitl.views.session import session_view
from hitl.web import strict_json
from hitl.web.context import swarm, tenant

WAITING = (*EDITABLE, "approved")  # sessions in these states wait for someone to act
MOST_LISTED = 50  # sessions of one list


def render(template: str, place: str, **values: Any) -> str:
    """Renders a template with the values that every page shows. The journal's end is read first: the socket reports every later change."""
    return render_template(template, place=place, version=VERSION, theme=request.cookies.get("theme", "system"), seq=journal_end(),
                           shortcuts=request.cookies.get("shortcuts", "on"), waiting=waiting(), here=here(), **values)


def journal_end() -> int:
    """The number of the newest event that this page knows. A page reads it before anything else."""
    if "seq" not in g:
        g.seq = journal.bounds(swarm().db)[1]
    return int(g.seq)


def here() -> str:
    return request.full_path.rstrip("?") if request.method == "GET" else request.path


def waiting() -> int:
    """Number of items that inbox.needs lists, without loading them."""
    return waiting_count(swarm().db, tenant(), WAITING, MOST_LISTED)


def session(session_id: str) -> dict[str, Any]:
    """session_view of views/session.py, read once for each request. Raises NotFound."""
    known: dict[str, dict[str, Any]] = g.setdefault("sessions", {})
    if session_id not in known:
        known[session_id] = session_view(swarm().db, swarm().config, tenant(), session_id)
    return known[session_id]


def as_problem(error: SwarmError | None) -> dict[str, Any] | None:
    """The error for the macro `problem`: {error, means}, or None."""
    if error is None:
        return None
    hint = {409: "Nothing was changed. The page shows the current state.", 422: "Nothing was saved. What you typed is kept below."}
    return {"error": error.sentence, "means": hint.get(error.status, "Nothing was changed.")}


def parsed_card(text: str) -> Any:
    """The card that was typed as JSON. Raises InvalidCard if the text is not JSON."""
    try:
        return strict_json.parse(text.encode("utf-8", "surrogatepass"))
    except BadRequest as error:
        raise InvalidCard(f"The spec card is not valid JSON. {error.sentence}", details=[{"path": "", "message": error.sentence}]) from None
