"""The page of a session, whatever its state: the conversation and the card before it is approved, the tickets to create after it, then the board."""
import base64
from typing import Any

from flask import request

from engine.errors import SwarmError
from engine.loop.status import agent_names
from engine.tickets.evidence import unchecked
from hitl.card.meaning import meaning_of
from hitl.card.spec_card import normalise
from hitl.pages import card_facts, engine_facts, facts, talk_facts, ticket_facts
from hitl.pages.card_facts import Typed
from hitl.pages.frame import as_problem, journal_end, render
from hitl.views import evidence, graph
from hitl.views import usage as used
from hitl.views.board import RUNNING, board_view, columns, counts
from hitl.views.preview import preview
from hitl.views.session import steps
from hitl.web.context import swarm, tenant

BEFORE = ("draft", "clarifying", "review")


def session(session_id: str, view: str = "", error: SwarmError | None = None, kept: Typed | None = None) -> str:
    """view: '' is the session's own page; `kept` is a form that was not accepted. Raises NotFound."""
    values = head(session_id, view, error)
    found, board = values["session"], values.pop("board_view")
    if board["epic"] is not None:
        return _built(session_id, board, values)
    card = facts.card(session_id)
    values |= {"card": card_facts.readable(card.card), "card_reason": card.reason, "problems": card.problems, "warnings": found["warnings"]}
    if found["state"] in BEFORE and view == "":
        return _draft(card, kept, error, values)
    if found["state"] == "approved" and view == "":
        values["preview"], values["unchecked"] = preview(normalise(card.card, meaning_of(card.card))) if card.card else ([], [])
        return render("session/approved.html", "session", **values)
    return render("session/spec.html", "session", **values)


def head(session_id: str, view: str, error: SwarmError | None = None) -> dict[str, Any]:
    """What the frame of each of a session's pages shows. Raises NotFound."""
    journal_end()
    found = facts.session(session_id)
    board = board_view(swarm().db, tenant(), session_id)
    built = board["epic"] is not None
    base, version = f"/sessions/{session_id}", found["spec_version"]
    own = "board" if built else ""
    values: dict[str, Any] = {
        "session": found, "session_id": session_id, "base": base, "error": as_problem(error), "live": True, "engine": engine_facts.engine(),
        "view": view or own, "title_word": facts.state_word(found), "approvable": False, "board_view": board, "mark": mark(found),
        "steps": steps(found["state"], "building" if built else "review" if version else "draft"), "tabs": _tabs(found, base, built)}
    if built:
        values |= {"board": _progress(board), "unchecked": unchecked(swarm().db, session_id), "used": used.against(found["usage"]),
                   "used_notice": used.notice(found["usage"]) if found["state"] == "building" else ""}
    return values


def _tabs(found: dict[str, Any], base: str, built: bool) -> list[dict[str, str]]:
    version, editable = found["spec_version"], found["state"] in BEFORE
    tabs = [("board", "Board", base), ("graph", "Graph", base + "/graph"), ("evidence", "Evidence", base + "/evidence")] if built else []
    if not built and found["state"] != "cancelled":
        tabs.append(("", "Tickets" if found["state"] == "approved" else "Card", base))
    if not editable:
        tabs.append(("spec", f"Spec v{version}" if version else "Spec", base + "/spec"))
    if editable:
        tabs.append(("json", "JSON and import", base + "/json"))
    tabs += [("versions", "Versions", base + "/versions")] if version else []
    tabs += [("amend", "Amend", base + "/amend")] if found["state"] == "building" else []
    return [{"name": name, "label": label, "href": href} for name, label, href in [*tabs, ("notes", "Notes", base + "/notes")]]


def mark(found: dict[str, Any]) -> str:
    """What a page before the build was made of; while it is the same, the page is not out of date."""
    return f"{found['spec_version']}.{found['spec_sha256'] or ''}"[:20] + f".{found['state']}.{found['open_question'] or 0}"


def _draft(card: facts.Card, kept: Typed | None, error: SwarmError | None, values: dict[str, Any]) -> str:
    """The card before its approval: the conversation beside it, and a form for each of its properties."""
    found = values["session"]
    talk = talk_facts.talk(found, kept)
    kept = kept or Typed()
    reason = card.reason
    if talk["open"]:
        reason = f"Question {talk['open']['number']} is open: answer it or skip it first."
    elif found["state"] != "review" and not card.problems:
        reason = "Let it ask you, or draft the card." if found["description"].strip() else "Say what is to be built first."
    if kept.what and kept.what not in ("answer", "say"):
        reason = "What you typed is not saved yet: save it or leave it first."
    values |= {"live": False, "talk": talk, "kept": kept, "drafters": talk_facts.drafters(), "agents": agent_names(),
               "approvable": found["state"] == "review" and not reason, "approve_reason": reason,
               "marks": card_facts.marks(found["id"], found["spec_version"]), "drafted": _drafted(found["spec_version"])}
    if kept.conflict or (kept.rest and kept.what in ("answer", "say")):
        values["error"] = None  # told where it belongs
    if kept.problems or (kept.what and facts.card_problems(error)):
        values["error"] = {"error": "This is not valid yet.", "means": "Nothing was saved. What you typed is kept below."}
    values |= _open_form(card, kept)
    return render("session/draft.html", "session", **values)


def _drafted(version: int) -> dict[str, str] | None:
    """How the newest version was drafted, as the form that drafted it left it for the next page: {by, fallback}."""
    try:
        said = base64.urlsafe_b64decode(request.cookies.get("drafted", "")[:1000]).decode()
    except ValueError:
        return None
    number, by, fallback = [*said.split(" ", 2), "", ""][:3]
    return {"by": by, "fallback": fallback} if number == str(version) and by in ("template", "model") else None


def _open_form(card: facts.Card, kept: Typed) -> dict[str, Any]:
    """The one form of a feature that is on the page: ?edit= or ?split= with its index, ?add, or the one that was not accepted."""
    if card.card is None:
        return {"form": None, "form_what": ""}
    count = len(card.card["features"])
    if kept.what in ("feature", "add", "split"):
        place = int(kept.place) if kept.place.isdigit() and int(kept.place) < count and kept.what != "add" else None
        what = kept.what if place is not None else "add"
        return {"form": card_facts.filled(card_facts.feature_form(card.card, place), kept), "form_what": what}
    for what, name in (("feature", "edit"), ("split", "split")):
        place = request.args.get(name, -1, type=int)
        if 0 <= place < min(count, card_facts.MOST_FEATURES):
            return {"form": card_facts.feature_form(card.card, place), "form_what": what}
    return {"form": card_facts.feature_form(card.card, None) if "add" in request.args else None, "form_what": "add" if "add" in request.args else ""}


def _progress(board: dict[str, Any]) -> dict[str, Any]:
    """The build in numbers, and its columns."""
    bar, total, said = counts(board["counts"])
    cards = columns(board["columns"], swarm().config.max_attempts)
    mine = sum(len(column["tickets"]) for column in cards if column["mine"] or column["key"] == "in_review")
    return {"counts": bar, "total": total, "counts_text": said, "done": board["counts"].get("completed", 0), "epic": board["epic"],
            "running": sum(board["counts"].get(status, 0) for status in RUNNING), "branch": board["branch"], "needs": mine,
            "started_at": board["epic"]["created_at"], "columns": cards}


def _prove(session_id: str, columns: list[dict[str, Any]]) -> None:
    """Cards of tickets that came to an end, for now or for good, say what proves them."""
    at_rest = {card["id"]: card for column in columns for card in column["tickets"][:column["most"]]
               if card["status"] in ("needs_input", "in_review", "completed", "failed")}
    for ticket, words in evidence.of_cards(swarm().db, session_id, list(at_rest)).items():
        at_rest[ticket]["facts"] += [words] if words else []


def _built(session_id: str, board: dict[str, Any], values: dict[str, Any]) -> str:
    view, found = values["view"], values["session"]
    cards = values["board"]["columns"]
    if view == "board":
        for card in (card for column in cards for card in column["tickets"]):
            card["last"] = ticket_facts.last_line(card["run_id"]) if card["shown"] == "running" and card["run_id"] else ""
        _prove(session_id, cards)
        values["result"] = facts.result(found)
        values["isolation"] = facts.requests_of(session_id, "isolation", "budget", "delivery")
        values["proposed"] = swarm().db.value("select 1 from amendments where session_id = ? and state = 'proposed'", (session_id,)) is not None
    if view == "graph":
        features = [card for column in cards for card in column["tickets"] if card["type"] != "epic"]
        values["graph"] = graph.layout(sorted(features, key=lambda card: card["seq"]))
    if view == "evidence":
        values["evidence"] = evidence.evidence_view(swarm().db, tenant(), session_id, max(0, request.args.get("after", 0, int)))
        values |= {"evidence_text": evidence.in_words(values["evidence"]["counts"]), "used_table": used.table(found["usage"])}
    if view == "spec":
        card = facts.card(session_id)
        values |= {"card": card_facts.readable(card.card), "card_reason": card.reason, "problems": card.problems, "warnings": found["warnings"]}
    return render(f"session/{view}.html", "session", **values)
