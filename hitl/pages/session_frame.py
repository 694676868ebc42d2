"""What the pages of a session share: the head with its steps and tabs, the stored card, and the card version of a form."""
import json
from dataclasses import dataclass, field
from typing import Any

from flask import request

from engine.errors import BadRequest, InvalidCard, SwarmError
from engine.tickets.evidence import unchecked
from engine.tickets.session_states import EDITABLE
from hitl.card.meaning import Meaning
from hitl.card.rejected_form import card_problems
from hitl.card.spec_card import normalise, validate
from hitl.pages import engine, frame
from hitl.pages.frame import as_problem, journal_end
from hitl.session.seen_card import Base
from hitl.views import usage as used
from hitl.views.board import RUNNING, board_view, columns, counts
from hitl.views.session import steps
from hitl.web.context import swarm, tenant
from hitl.web.filters import number, word
from hitl.web.numbers import whole_number


def head(session_id: str, view: str, error: SwarmError | None = None) -> dict[str, Any]:
    """The values for the frame around each page of a session. view: '' is the session's own page. Raises NotFound."""
    journal_end()
    session = frame.session(session_id)
    board = board_view(swarm().db, tenant(), session_id)
    built = board["epic"] is not None
    base, version = f"/sessions/{session_id}", session["spec_version"]
    values: dict[str, Any] = {
        "session": session, "session_id": session_id, "base": base, "error": as_problem(error), "live": True, "engine": engine.summary(),
        "view": view or ("board" if built else ""), "title_word": _state_word(session), "approvable": False, "mark": mark(session), "built": built,
        "steps": steps(session["state"], "building" if built else "review" if version else "draft"), "tabs": _tabs(session, base, built)}
    if built:
        values |= {"board": _progress(board), "unchecked": unchecked(swarm().db, session_id), "used": used.against(session["usage"]),
                   "used_notice": used.notice(session["usage"]) if session["state"] == "building" else ""}
    return values


def _state_word(session: dict[str, Any]) -> str:
    return word("paused" if session["paused"] and session["state"] == "building" else session["state"]).lower()


def _tabs(session: dict[str, Any], base: str, built: bool) -> list[dict[str, str]]:
    version, editable = session["spec_version"], session["state"] in EDITABLE
    tabs = [("board", "Board", base), ("graph", "Graph", base + "/graph"), ("evidence", "Evidence", base + "/evidence")] if built else []
    if not built and session["state"] != "cancelled":
        tabs.append(("", "Tickets" if session["state"] == "approved" else "Card", base))
    if not editable:
        tabs.append(("spec", f"Spec v{version}" if version else "Spec", base + "/spec"))
    if editable:
        tabs.append(("json", "JSON and import", base + "/json"))
    tabs += [("versions", "Versions", base + "/versions")] if version else []
    tabs += [("amend", "Amend", base + "/amend")] if session["state"] == "building" else []
    return [{"name": name, "label": label, "href": href} for name, label, href in [*tabs, ("notes", "Notes", base + "/notes")]]


def _progress(board: dict[str, Any]) -> dict[str, Any]:
    """The build in numbers, and its columns."""
    bar, total, counts_text = counts(board["counts"])
    cards = columns(board["columns"], swarm().config.max_attempts)
    mine = sum(len(column["tickets"]) for column in cards if column["mine"] or column["key"] == "in_review")
    return {"counts": bar, "total": total, "counts_text": counts_text, "done": board["done"],
            "cancelled": board["counts"].get("cancelled", 0), "epic": board["epic"],
            "running": sum(board["counts"].get(status, 0) for status in RUNNING), "branch": board["branch"], "needs": mine,
            "started_at": board["epic"]["created_at"], "columns": [column for column in cards if column["tickets"] or column["key"] != "cancelled"]}


def mark(session: dict[str, Any]) -> str:
    """A mark of the state that a page before the build shows. While the mark is the same, the page is up to date."""
    return f"{session['spec_version']}.{session['spec_sha256'] or ''}"[:20] + f".{session['state']}.{session['open_question'] or 0}"


@dataclass
class StoredCard:
    """A session's card and its meaning, or the reason why no card can be used. text: the card as JSON for the editor."""

    card: dict[str, Any] | None = None
    meaning: Meaning | None = None
    text: str = ""
    reason: str = ""
    problems: list[dict[str, str]] = field(default_factory=list)

    def plan(self) -> dict[str, Any] | None:
        """The card in the form that is built, see normalise."""
        return normalise(self.card, self.meaning) if self.card is not None and self.meaning is not None else None


def stored_card(session_id: str) -> StoredCard:
    """The session's card, checked. Raises NotFound."""
    session = frame.session(session_id)
    card = session["spec_card"]
    if card is None:
        if session["warnings"]:  # edited by hand into something that is not JSON
            return StoredCard(reason="The stored card is not valid JSON.", problems=session["warnings"])
        return StoredCard(reason="There is no spec card yet. Write one and save it.")
    text = json.dumps(card, indent=2, ensure_ascii=False)
    try:
        checked = validate(card, swarm().config)
    except InvalidCard as error:
        problems = card_problems(error)
        return StoredCard(text=text, reason=f"{number(len(problems), 'thing')} to fix before this card can be approved.", problems=problems)
    return StoredCard(card, checked.meaning, text)


def base_of_form() -> Base:
    """The card version that the page showed; unknown for a form without one. Raises BadRequest."""
    given = request.form.get("base_version", "")
    version = whole_number(given)
    if given and version is None:
        raise BadRequest("base_version must be a whole number.")
    return Base(version)
