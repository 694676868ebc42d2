"""The page of a session before its approval: the conversation, and next to it the card with a form for each property.

session.py shows it; the forms of the conversation are in interview.py, those of the card in card.py."""
import base64
import re
from dataclasses import dataclass, field
from typing import Any

from flask import request

from engine.errors import SwarmError
from engine.loop.status import agent_names
from hitl.card import diff as card_diff
from hitl.card import diff_in_words
from hitl.card.coverage import LABELS
from hitl.card.rejected_form import MOST_FEATURES, RejectedForm, card_problems, feature_form, filled
from hitl.drafting import conversation, draft
from hitl.drafting.drafters.model import ModelDrafter
from hitl.pages.frame import render
from hitl.pages.session_frame import StoredCard
from hitl.session import versions as card_versions
from hitl.web.context import swarm, tenant
from hitl.web.input import number_or
from hitl.web.numbers import whole_number


def page(card: StoredCard, kept: RejectedForm | None, error: SwarmError | None, values: dict[str, Any]) -> str:
    """kept: a form that was not accepted, and its error. values: what session_frame.head gives, and the card as it is read."""
    session = values["session"]
    talk = _talk(session, kept)
    kept = kept or RejectedForm()
    reason = card.reason
    if talk["open"]:
        reason = f"Question {talk['open']['number']} is open. Answer or skip it first."
    elif session["state"] != "review" and not card.problems:
        reason = "Answer the questions or draft the card first." if session["description"].strip() else "Say what to build first."
    if kept.what and kept.what not in ("answer", "say"):
        reason = "What you typed is not saved yet. Save or cancel it first."
    values |= {"live": False, "talk": talk, "kept": kept, "drafters": _drafters(), "agents": agent_names(),
               "approvable": session["state"] == "review" and not reason, "approve_reason": reason,
               "changed_parts": _changed_parts(session["id"], session["spec_version"]), "drafted": _drafted(session["spec_version"])}
    if kept.conflict or (kept.rest and kept.what in ("answer", "say")):
        values["error"] = None  # shown next to the form instead
    if kept.problems or (kept.what and card_problems(error)):
        values["error"] = {"error": "This is not valid yet.", "means": "Nothing was saved. What you typed is kept below."}
    values |= _open_form(card, kept)
    return render("session/draft.html", "session", **values)


def _talk(session: dict[str, Any], kept: RejectedForm | None) -> dict[str, Any]:
    """{"entries": [{kind: idea, said, asked, …}] in order, "open": the question that waits or None, "assumed": [questions],
    "progress": '2 of at most 5', "answers": how many, "coverage"}."""
    view = conversation.conversation_view(swarm().db, tenant(), session["id"])
    questions = [_question(question, kept) for question in view["questions"]]
    entries = [{"kind": "idea", "text": session["description"], "at": session["created_at"]}] if session["description"].strip() else []
    entries += [{"kind": "said", "text": message["body"], "at": message["created_at"], **_with_changes(message)} for message in view["messages"]]
    entries += [{"kind": "asked", "at": question["created_at"], "question": question} for question in questions if question["state"] != "open"]
    entries.sort(key=lambda entry: str(entry["at"]))
    waiting = next((question for question in questions if question["state"] == "open"), None)
    return {"entries": entries, "open": waiting, "assumed": [question for question in questions if question["state"] == "assumed"],
            "answers": sum(question["state"] == "answered" for question in questions), "most": view["most"],
            "progress": f"Question {waiting['number']} of at most {view['most']}" if waiting else "", "coverage": view["coverage"],
            "begun": bool(view["messages"] or questions), "ended": not waiting and bool(questions)}


def _question(question: dict[str, Any], kept: RejectedForm | None) -> dict[str, Any]:
    """The question with its topic in words, the changes that it made, and an answer that was typed but not accepted."""
    mine = kept is not None and kept.what == "answer" and kept.place == str(question["number"])
    return {**question, **_with_changes(question), "label": LABELS.get(question["topic"], question["topic"]),
            "typed": kept.values["text"] if kept and mine else "", "problems": kept.rest if kept and mine else []}


def _with_changes(entry: dict[str, Any]) -> dict[str, Any]:
    """changed: the changes in one line, '' if there are none; from, to: the versions to compare."""
    changes = entry["changes"]
    return {"changed": diff_in_words.summary(changes) if changes else "", "from": entry["from_version"], "to": entry["to_version"]}


def _drafters() -> dict[str, Any]:
    """{"names": the drafters to choose from, best first, "used": the drafter that auto takes, "model": the model's name, "why_not"}."""
    config = swarm().config
    why_not = ModelDrafter(config).why_not()
    used = draft.choose(config).name
    return {"names": ["model", "template"] if used == "model" else ["template"], "used": used, "model": config.model, "why_not": why_not or ""}


def _drafted(version: int) -> dict[str, str] | None:
    """How the newest version was drafted: {by, fallback}. The form that drafted it left this in a cookie."""
    try:
        told = base64.urlsafe_b64decode(request.cookies.get("drafted", "")[:1000]).decode()
    except ValueError:
        return None
    number, by, fallback = [*told.split(" ", 2), "", ""][:3]
    return {"by": by, "fallback": fallback} if number == str(version) and by in ("template", "model") else None


def _open_form(card: StoredCard, kept: RejectedForm) -> dict[str, Any]:
    """The only feature form on the page: ?edit= or ?split= with the index, ?add, or the form that was not accepted."""
    if card.card is None:
        return {"form": None, "form_what": ""}
    count = len(card.card["features"])
    if kept.what in ("feature", "add", "split"):
        place = whole_number(kept.place, most=count - 1) if kept.what != "add" else None
        what = kept.what if place is not None else "add"
        return {"form": filled(feature_form(card.card, place), kept), "form_what": what}
    for what, name in (("feature", "edit"), ("split", "split")):
        place = number_or(name, -1)
        if 0 <= place < min(count, MOST_FEATURES):
            return {"form": feature_form(card.card, place), "form_what": what}
    return {"form": feature_form(card.card, None) if "add" in request.args else None, "form_what": "add" if "add" in request.args else ""}


@dataclass
class ChangedParts:
    """The changes of the newest version: property names, feature indexes, and a summary in one line. before: the version before it, 0 for none."""

    before: int = 0
    names: set[str] = field(default_factory=set)
    features: dict[int, str] = field(default_factory=dict)
    text: str = ""


def _changed_parts(session_id: str, version: int) -> ChangedParts:
    """The changes since the version before. A first version has none."""
    if version < 2:
        return ChangedParts()
    changes = card_versions.changes_of(swarm().db, session_id, version - 1, version)
    parts = ChangedParts(version - 1, text=diff_in_words.summary(changes) or "no differences")
    for path in card_diff.paths(changes):
        kind = next(change["kind"] for change in changes if change["path"] == path)
        if place := re.match(r"features\[(\d+)\](.*)", path):
            if kind != "removed" or place[2]:
                parts.features.setdefault(int(place[1]), {"added": "New", "moved": "Moved"}.get("changed" if place[2] else kind, "Changed"))
        else:
            parts.names.add(re.split(r"[.\[]", path)[0])
    return parts
