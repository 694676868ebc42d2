"""The card of a session: the forms of its editor, the same draft as JSON, the import, and the versions with their differences."""
import json
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request

from engine.errors import BadRequest, SwarmError
from engine.tickets.session_states import EDITABLE
from hitl.card import diff as card_diff
from hitl.card import diff_in_words
from hitl.card import form as card_form
from hitl.card.rejected_form import RejectedForm, card_problems, conflict_of, rejected
from hitl.drafting import draft as drafting
from hitl.drafting import edit
from hitl.pages import frame, session
from hitl.pages.frame import parsed_card, render
from hitl.pages.session_frame import base_of_form, head, mark, stored_card
from hitl.session import sessions
from hitl.session import versions as card_versions
from hitl.web.context import swarm, tenant
from hitl.web.forms import attempt, go, typed_text
from hitl.web.input import number_or
from hitl.web.numbers import whole_number

routes = Blueprint("card", __name__)
WRITTEN_BY = {
    "api": "by a program", "page": "edited by you", "sample": "the sample", "interview": "from the conversation", "template": "drafted by the template",
    "model": "drafted by the model", "import": "imported", "amendment": "amended", "restore": "an earlier version, restored"}


@routes.post("/sessions/<session_id>/card")
def edit_card(session_id: str) -> Response:
    """Saves one form of the editor. `more` asks for more rows and saves nothing."""
    form = request.form
    frame.session(session_id)
    if "more" in form:
        return make_response(session.page(session_id, kept=rejected(form, rows=4)))
    try:
        row = sessions.editable(sessions.get(swarm().db, tenant(), session_id))
        base = base_of_form()
        card = sessions.current_card(row)
        if not isinstance(card, dict) or not isinstance(card.get("features"), list):
            raise BadRequest("The forms cannot edit the stored card. Fix it as JSON.")
        base.check(swarm().db, row, None)
        edits = card_form.edits_of(form, card)
        if edits:
            edit.edit_card(swarm().db, swarm().config, tenant(), session_id, edits, base, "page")
    except SwarmError as error:
        if error.status >= 500:
            raise
        return make_response(session.page(session_id, error=error, kept=_kept(session_id, error)), error.status)
    return go(f"/sessions/{session_id}{_anchor(form, edits)}")


def _kept(session_id: str, error: SwarmError) -> RejectedForm:
    """The form as it was typed. After a conflict the feature is found in the card that it has become. If it was removed, its words stand
    in the form of a new feature, and the page says so."""
    form = request.form
    place = whole_number(form.get("place", ""))
    kept = rejected(form, error, {"split": (place or 0) + 1, "add": _count(session_id)}.get(form.get("what", ""), place))
    if kept.conflict and kept.what in ("feature", "split", "move", "remove"):
        now = _place_now(error, place)
        kept.place = "" if now is None else str(now)
        kept.is_gone = now is None
        kept.what = kept.what if now is not None else "add" if kept.what in ("feature", "split") else ""
    return kept


def _place_now(error: SwarmError, place: int | None) -> int | None:
    """The present place of the feature that the form is about, after someone else has saved the card; None if it is no longer there."""
    base: Any = error.extra["base"]
    current: Any = error.extra["current"]
    if base is not None and place is not None:
        return card_diff.place_now(base["spec_card"], current["spec_card"], place)
    card = current["spec_card"] if isinstance(current["spec_card"], dict) else {"features": []}
    return next(iter(card_form.places(card, request.form.get("title_was", ""))), None)


def _count(session_id: str) -> int:
    card = frame.session(session_id)["spec_card"]
    return len(card["features"]) if isinstance(card, dict) and isinstance(card.get("features"), list) else 0


def _anchor(form: Any, edits: list[dict[str, Any]]) -> str:
    """The anchor of the changed part of the page."""
    what, place = form.get("what", ""), whole_number(form.get("place", ""))
    if what == "move" and edits:
        return f"#feature-{edits[0]['to'] + 1}"
    if what in ("feature", "move", "split") and place is not None:
        return f"#feature-{place + 1}"
    return "#features" if what in ("add", "remove") else f"#row-{what}"


@routes.get("/sessions/<session_id>/newer")
def newer(session_id: str) -> str:
    """A notice that the page is out of date, or '' if it is not. ?seen=: the mark of the card on that page."""
    now = frame.session(session_id)
    if request.args.get("seen") == mark(now):
        return ""
    return render_template("session/newer.html", base=f"/sessions/{session_id}", session=now)


@routes.get("/sessions/<session_id>/json")
def show_json(session_id: str) -> Response | str:
    if frame.session(session_id)["state"] not in EDITABLE:
        return go(f"/sessions/{session_id}/spec")
    return _json_page(session_id)


@routes.post("/sessions/<session_id>/spec")
def save_card(session_id: str) -> Response:
    """Saves the whole card, given as JSON."""
    text = typed_text("spec_card")
    return attempt(lambda: sessions.put_card(swarm().db, swarm().config, tenant(), session_id, parsed_card(text), "page", base_of_form()),
                   f"/sessions/{session_id}", lambda error: _json_page(session_id, error, text))


@routes.post("/sessions/<session_id>/import")
def import_card(session_id: str) -> Response:
    """Imports a PRD, a spec.md or a tasks.md in Markdown, or a card as JSON: pasted text or a file."""
    upload = request.files.get("file")
    given = upload.read() if upload is not None and upload.filename else b""
    text = given.decode("utf-8", "replace").replace("\r\n", "\n").strip() if given else typed_text("markdown")

    def do() -> None:
        card = parsed_card(text) if text.startswith("{") else drafting.import_markdown(frame.session(session_id)["project_name"], text)
        sessions.put_card(swarm().db, swarm().config, tenant(), session_id, card, "import", base_of_form())

    return attempt(do, f"/sessions/{session_id}", lambda error: _json_page(session_id, error, markdown=text))


def _json_page(session_id: str, error: SwarmError | None = None, card_text: str | None = None, markdown: str = "") -> str:
    """`card_text` and `markdown` are what was typed and not saved."""
    values, card = head(session_id, "json", error), stored_card(session_id)
    session = values["session"]
    conflict = conflict_of(error) if error is not None and error.extra.get("code") == "card_changed" else None
    stored = card.text or swarm().db.value("select spec_card from hitl_sessions where id = ?", (session_id,)) or _starter_card(session)
    values |= {"live": False, "card_text": stored if card_text is None else card_text, "markdown": markdown, "conflict": conflict,
               "problems": card_problems(error) or ([] if card_text is not None else card.problems), "warnings": session["warnings"],
               "error": None if conflict else values["error"]}
    return render("card/json.html", "session", **values)


def _starter_card(session: dict[str, Any]) -> str:
    """The first card of an idea: one feature, made from its name and description."""
    feature = {"title": session["project_name"], "description": session["description"], "acceptance_criteria": []}
    card = {"name": session["project_name"], "description": session["description"], "features": [feature]}
    return json.dumps(card, indent=2, ensure_ascii=False)


@routes.get("/sessions/<session_id>/versions")
def versions(session_id: str) -> str:
    """?from=&to=: the versions to compare. By default the newest version is compared with the version before it."""
    values = head(session_id, "versions")
    listed = [{**version, "by": WRITTEN_BY.get(version["source"], version["source"])}
              for version in card_versions.versions_view(swarm().db, tenant(), session_id)]
    newest = listed[0]["version"] if listed else 0
    later = number_or("to", newest)
    earlier = number_or("from", max(later - 1, 0))
    changes: list[diff_in_words.Shown] = []
    more = 0
    if listed:
        changes, more = diff_in_words.shown(card_versions.diff_view(swarm().db, tenant(), session_id, earlier, later)["changes"])
    editable = values["session"]["state"] == "review"
    return render("card/versions.html", "session", **values, versions=listed, earlier=earlier, later=later, changes=changes, more=more, editable=editable)


@routes.post("/sessions/<session_id>/restore")
def restore(session_id: str) -> Response:
    """Saves an earlier version as a new version. An undo can be undone in the same way."""
    given = request.form.get("version", "")

    def do() -> None:
        version = whole_number(given) or 0
        card = card_versions.version_view(swarm().db, tenant(), session_id, version)["spec_card"]
        sessions.put_card(swarm().db, swarm().config, tenant(), session_id, card, "restore", base_of_form())

    return attempt(do, f"/sessions/{session_id}#card", lambda error: session.page(session_id, error=error))
