"""What the pages share: the frame around each page, its session, the notice of an error, and the words of a form that was not accepted."""
import re
from typing import Any

from flask import g, render_template, request
from markupsafe import escape

from engine import VERSION
from engine.errors import BadRequest, InvalidCard, SwarmError
from engine.store import journal
from engine.tickets.session_states import EDITABLE
from hitl.card.text import hidden_in, without_hidden
from hitl.views.inbox import waiting_count
from hitl.views.session import session_view
from hitl.web import strict_json
from hitl.web.context import swarm, tenant

WAITING = (*EDITABLE, "approved")  # sessions in these states wait for someone to act
MOST_LISTED = 50  # sessions of one list
LABELS = {"project_name": "The project name", "description": "The description", "text": "Your text", "markdown": "The document", "title": "The title",
          "reason": "The reason", "repository": "The repository", "name": "The name", "criterion": "A criterion", "check": "A check", "entry": "An entry",
          "spec_card": "The spec card", "base_branch": "The base branch"}  # fields in which people write, as the pages call them


def render(template: str, place: str, **values: Any) -> str:
    """Renders a template with the values that every page shows. The journal's end is read first: the socket reports every later change.

    A page that answers a form which was not accepted has all words of that form, in a panel of their own if it no longer has their field."""
    values |= {"place": place, "version": VERSION, "theme": request.cookies.get("theme", "system"), "seq": journal_end(), "waiting": waiting(),
               "shortcuts": request.cookies.get("shortcuts", "on"), "here": here(), "hidden_marks": _hidden_marks() if request.method == "POST" else None}
    html = render_template(template, **values)
    unsent = [text for text in _typed() if not _has_field(html, text)] if request.method == "POST" and "more" not in request.form else []
    return render_template(template, **values, unsent=unsent) if unsent else html


def _typed() -> list[str]:
    """What a person has written into the form of this request."""
    return [text.replace("\r\n", "\n").strip() for name in LABELS for text in request.form.getlist(name) if text.strip()]


def _has_field(html: str, text: str) -> bool:
    """Whether a field of the page has exactly this text."""
    return bool(re.search(rf'(value="|<textarea[^>]*>\n?){re.escape(escape(text))}\s*("|</textarea>)', html))


def _hidden_marks() -> dict[str, Any] | None:
    """{"about": which fields have characters that nobody can see, "marks": their names, "fields": [(name, value without them)]}, or None.
    The fields are all those of this form, so that it can be sent again without the characters."""
    found = {name: marks for name, value in request.form.items(multi=True) if name in LABELS and (marks := hidden_in(value))}
    if not found:
        return None
    about = " and ".join("what you want to build" if name == "description" and request.path == "/sessions" else LABELS[name].lower() for name in found)
    return {"about": about[:1].upper() + about[1:], "marks": list(dict.fromkeys(mark for marks in found.values() for mark in marks)),
            "fields": [(name, without_hidden(value) if name in LABELS else value) for name, value in request.form.items(multi=True)]}


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
    if error.status in (400, 422) and request.method == "POST" and _hidden_marks():  # the panel about them says the rest
        return {"error": "Nothing was saved.", "means": "What you typed is kept below."}
    return {"error": in_words(error.sentence), "means": hint.get(error.status, "Nothing was changed.")}


def in_words(sentence: str) -> str:
    """The sentence of an error about a field of a form, in the words of the form instead of the field's name in JSON."""
    limits = re.fullmatch(r"(\w+) must be text of [01] to ([\d,]+) characters\.", sentence)
    if limits and limits[1] in LABELS:
        empty = not request.form.get(limits[1], "").strip()
        return f"{LABELS[limits[1]]} is empty. Write something and send again." if empty else f"{LABELS[limits[1]]} may have at most {limits[2]} characters."
    name = re.match(r"(\w+)(?=:? )", sentence)
    if name is None or name[1] not in LABELS or not request.form:
        return sentence
    rest = sentence[name.end():].removeprefix(":")
    return LABELS[name[1]] + (rest if rest.startswith(" must") else " c" + rest[2:] if rest.startswith(" Contains") else f":{rest}")


def parsed_card(text: str) -> Any:
    """The card that was typed as JSON. Raises InvalidCard if the text is not JSON."""
    try:
        return strict_json.parse(text.encode("utf-8", "surrogatepass"))
    except BadRequest as error:
        raise InvalidCard(f"The spec card is not valid JSON. {error.sentence}", details=[{"path": "", "message": error.sentence}]) from None
