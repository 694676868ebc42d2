"""The card's editor: a form for each property, the JSON of the same draft, import, versions and what differs between them."""
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request

from engine.errors import BadRequest, InvalidCard, SwarmError
from hitl.card import diff_in_words
from hitl.card import form as card_form
from hitl.drafting import draft as drafting
from hitl.drafting import edit as card_actions
from hitl.pages import card_facts, facts, session_screen
from hitl.pages.frame import render
from hitl.session import sessions
from hitl.session import versions as card_versions
from hitl.session.seen_card import Base
from hitl.web import strict_json
from hitl.web.context import swarm, tenant
from hitl.web.forms import attempt, go, typed_text

card_pages = Blueprint("card_pages", __name__)


def base_of_form() -> Base:
    """The version that the page showed; a form without one does not say. Raises BadRequest."""
    given = request.form.get("base_version", "")
    if given and not (given.isascii() and given.isdigit() and len(given) < 10):
        raise BadRequest("base_version must be a whole number.")
    return Base(int(given)) if given else Base()


def parsed(text: str) -> Any:
    """Raises InvalidCard where the text is not JSON."""
    try:
        return strict_json.parse(text.encode("utf-8", "surrogatepass"))
    except BadRequest as error:
        raise InvalidCard(f"The spec card is not valid JSON. {error.sentence}", details=[{"path": "", "message": error.sentence}]) from None


@card_pages.post("/sessions/<session_id>/card")
def edit_card(session_id: str) -> Response:
    """One form of the editor. `more` asks for further rows and saves nothing."""
    form = request.form
    facts.session(session_id)
    if "more" in form:
        return make_response(session_screen.session(session_id, kept=card_facts.typed(form, rows=4)))
    try:
        row = sessions.editable(sessions.get(swarm().db, tenant(), session_id))
        base = base_of_form()
        card = sessions.current_card(row)
        if not isinstance(card, dict) or not isinstance(card.get("features"), list):
            raise BadRequest("The stored card is not one that forms can edit: mend it as JSON.")
        base.check(swarm().db, row, None)
        edits = card_form.edits_of(form, card)
        if edits:
            card_actions.edit_card(swarm().db, swarm().config, tenant(), session_id, edits, base, "page")
    except SwarmError as error:
        if error.status >= 500:
            raise
        return make_response(session_screen.session(session_id, error=error, kept=_kept(session_id, error)), error.status)
    return go(f"/sessions/{session_id}{_anchor(form, edits)}")


def _kept(session_id: str, error: SwarmError) -> card_facts.Typed:
    """The form as it was typed. After a conflict its feature is looked for by the title that it had."""
    form = request.form
    place = int(form["place"]) if form.get("place", "").isdigit() else None
    kept = card_facts.typed(form, error, {"split": (place or 0) + 1, "add": _count(session_id)}.get(form.get("what", ""), place))
    if kept.conflict and kept.what in ("feature", "split", "move", "remove"):
        found = facts.card(session_id).card
        now = card_form.places(found, form.get("title_was", "")) if found is not None else []
        kept.place = str(now[0]) if now else ""
        kept.what = kept.what if now else "add" if kept.what == "feature" else ""
    return kept


def _count(session_id: str) -> int:
    card = facts.session(session_id)["spec_card"]
    return len(card["features"]) if isinstance(card, dict) and isinstance(card.get("features"), list) else 0


def _anchor(form: Any, edits: list[dict[str, Any]]) -> str:
    """Where the page shows what was changed."""
    what, place = form.get("what", ""), form.get("place", "")
    if what == "move" and edits:
        return f"#feature-{edits[0]['to'] + 1}"
    if what in ("feature", "move", "split") and place.isdigit():
        return f"#feature-{int(place) + 1}"
    return "#features" if what in ("add", "remove") else f"#row-{what}"


@card_pages.post("/sessions/<session_id>/spec")
def save_card(session_id: str) -> Response:
    """The whole card, as JSON."""
    text = typed_text("spec_card")
    return attempt(lambda: sessions.put_card(swarm().db, swarm().config, tenant(), session_id, parsed(text), "page", base_of_form()),
                   f"/sessions/{session_id}", lambda error: json_page(session_id, error, text))


@card_pages.get("/sessions/<session_id>/json")
def show_json(session_id: str) -> Response | str:
    if facts.session(session_id)["state"] not in session_screen.BEFORE:
        return go(f"/sessions/{session_id}/spec")
    return json_page(session_id)


def json_page(session_id: str, error: SwarmError | None = None, card_text: str | None = None, markdown: str = "") -> str:
    """`card_text` and `markdown` are what was typed and not saved."""
    values = session_screen.head(session_id, "json", error)
    found, card = values["session"], facts.card(session_id)
    conflict = card_facts.conflict_of(error) if error is not None and error.extra.get("code") == "card_changed" else None
    stored = card.text or swarm().db.value("select spec_card from hitl_sessions where id = ?", (session_id,)) or facts.starter_card(found)
    values |= {"live": False, "card_text": stored if card_text is None else card_text, "markdown": markdown, "conflict": conflict,
               "problems": facts.card_problems(error) or ([] if card_text is not None else card.problems), "warnings": found["warnings"],
               "error": None if conflict else values["error"]}
    return render("card/json.html", "session", **values)


@card_pages.post("/sessions/<session_id>/import")
def import_card(session_id: str) -> Response:
    """markdown: a PRD, spec.md or tasks.md, pasted or as a file; or a card's JSON."""
    upload = request.files.get("file")
    given = upload.read() if upload is not None and upload.filename else b""
    text = given.decode("utf-8", "replace").replace("\r\n", "\n").strip() if given else typed_text("markdown")

    def do() -> None:
        card = parsed(text) if text.startswith("{") else drafting.import_markdown(facts.session(session_id)["project_name"], text)
        sessions.put_card(swarm().db, swarm().config, tenant(), session_id, card, "import", base_of_form())

    return attempt(do, f"/sessions/{session_id}", lambda error: json_page(session_id, error, markdown=text))


@card_pages.get("/sessions/<session_id>/versions")
def versions(session_id: str) -> str:
    return _versions(session_id)


def _versions(session_id: str, error: SwarmError | None = None) -> str:
    """?from=&to=: what differs; by default the newest against the one before it."""
    values = session_screen.head(session_id, "versions", error)
    found = card_facts.versions(session_id)
    newest = found[0]["version"] if found else 0
    later = request.args.get("to", newest, type=int)
    earlier = request.args.get("from", max(later - 1, 0), type=int)
    changes: list[diff_in_words.Shown] = []
    more = 0
    if found:
        changes, more = diff_in_words.shown(card_versions.diff_view(swarm().db, tenant(), session_id, earlier, later)["changes"])
    editable = values["session"]["state"] == "review"
    return render("card/versions.html", "session", **values, versions=found, earlier=earlier, later=later, changes=changes, more=more, editable=editable)


@card_pages.post("/sessions/<session_id>/restore")
def restore(session_id: str) -> Response:
    """An earlier version becomes a new one; so undo is undone in the same way."""
    given = request.form.get("version", "")

    def do() -> None:
        version = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
        card = card_versions.version_view(swarm().db, tenant(), session_id, version)["spec_card"]
        sessions.put_card(swarm().db, swarm().config, tenant(), session_id, card, "restore", base_of_form())

    return attempt(do, f"/sessions/{session_id}#card", lambda error: session_screen.session(session_id, error=error))


@card_pages.get("/sessions/<session_id>/newer")
def newer(session_id: str) -> str:
    """?seen=: nothing, or a notice that the page which shows that is out of date."""
    found = facts.session(session_id)
    if request.args.get("seen") == session_screen.mark(found):
        return ""
    return render_template("session/newer.html", base=f"/sessions/{session_id}", session=found)
