"""What the pages show of a card before its build: its properties, what changed since its last version, and the forms that change it."""
import re
from dataclasses import dataclass, field
from typing import Any

from engine.errors import SwarmError
from hitl.card import diff as card_diff
from hitl.card import diff_in_words
from hitl.card.form import LISTS, text, texts
from hitl.card.graph import titles
from hitl.card.meaning import meaning_of
from hitl.card.spec_card import normalise
from hitl.pages import facts
from hitl.session import versions as card_versions
from hitl.views.graph import small_layout
from hitl.web.context import swarm, tenant

MOST_FEATURES = 300  # of a card that one page shows


@dataclass
class Typed:
    """A form that was not accepted, or is not finished: what it is about, what was typed, and what is wrong with it, field by field.

    place is the number of its feature, question or ticket. `values` is the form as it was sent; rows asks for more empty rows."""

    what: str = ""
    place: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)
    conflict: dict[str, Any] | None = None
    rows: int = 1


def typed(form: Any, error: SwarmError | None = None, place: int | None = None, rows: int = 1) -> Typed:
    """Of a form of the editor. place: the index of its feature in the card that was refused; problems elsewhere are told below the form."""
    words, checks = texts(form, "criterion"), texts(form, "check")
    pairs = [{"text": said, "check": checks[row] if row < len(checks) else ""} for row, said in enumerate(words)]
    names = ("name", "description", "repository", "base_branch", "review", "title", "priority", "agent", "text", "tokens", "money")
    values: dict[str, Any] = {name: text(form, name) for name in names}
    values |= {"entries": [each for each in texts(form, "entry") if each], "after": form.getlist("after"), "take": form.getlist("take"),
               "rows": [each for each in pairs if each["text"] or each["check"]]}
    kept = Typed(form.get("what", ""), form.get("place", ""), values, rows=rows)
    if error is None:
        return kept
    if error.extra.get("code") == "card_changed":
        kept.conflict = conflict_of(error)
    elif details := facts.card_problems(error):
        for each in details:
            name = field_of(each["path"], kept.what, place)
            own = place is None or each["path"].startswith(f"features[{place}]")
            kept.problems.setdefault(name, []).append(each["message"] if own else _elsewhere(each)) if name else kept.rest.append(_elsewhere(each))
    elif isinstance(error.extra.get("field"), str):
        kept.problems[str(error.extra["field"])] = [error.sentence]
    else:
        kept.rest.append(error.sentence)
    return kept


def field_of(path: str, what: str, place: int | None) -> str | None:
    """The field of a form that a problem of the card is about: 'features[1].title' -> 'title' of feature 1, an entry of a list -> 'row-0'."""
    if what in LISTS:
        row = re.match(re.escape(LISTS[what]) + r"\[(\d+)\]", path)
        return f"row-{row[1]}" if row else None
    if what == "budget" and path.startswith("budget."):
        return path.removeprefix("budget.")
    if place is None:
        return path if path in ("name", "description", "repository", "base_branch") else None
    found = re.match(rf"features\[{place}\](?:\.([a-z_]+)(?:\[(\d+)\])?)?", path)
    if found is None:  # the card was valid before this form, so a title or dependency elsewhere fails because of what it says
        return next((name for name in ("title", "depends_on") if re.fullmatch(rf"features\[\d+\]\.{name}", path)), None)
    return f"row-{found[2]}" if found[2] and found[1] == "acceptance_criteria" else found[1] or "title"


def _elsewhere(problem: dict[str, str]) -> str:
    return f"{diff_in_words.label(problem['path'])}: {problem['message']}" if problem["path"] else problem["message"]


def conflict_of(error: SwarmError) -> dict[str, Any]:
    """What somebody else has saved meanwhile, for the panel that shows both."""
    current: Any = error.extra["current"]
    changes: Any = error.extra["changes"]
    base: Any = error.extra["base"]
    shown, more = diff_in_words.shown(changes)
    return {"version": current["version"], "base": base["version"] if base else None, "changes": shown, "more": more}


@dataclass
class Marks:
    """What the newest version changed: property names, feature indexes, and all of it in one line."""

    before: int = 0
    names: set[str] = field(default_factory=set)
    features: dict[int, str] = field(default_factory=dict)
    text: str = ""


def marks(session_id: str, version: int) -> Marks:
    """Against the version before it; nothing is marked in a first version."""
    if version < 2:
        return Marks()
    changes = card_versions.changes_of(swarm().db, session_id, version - 1, version)
    found = Marks(version - 1, text=diff_in_words.summary(changes) or "nothing differs")
    for path in card_diff.paths(changes):
        kind = next(each["kind"] for each in changes if each["path"] == path)
        if place := re.match(r"features\[(\d+)\](.*)", path):
            if kind != "removed" or place[2]:
                found.features.setdefault(int(place[1]), {"added": "New", "moved": "Moved"}.get("changed" if place[2] else kind, "Changed"))
        else:
            found.names.add(re.split(r"[.\[]", path)[0])
    return found


def readable(card: dict[str, Any] | None) -> dict[str, Any] | None:
    """A valid card with its dependencies in words; `raw` holds each feature's own properties."""
    if card is None:
        return None
    features = normalise(card, meaning_of(card))["features"]
    names = [f"{place} {feature['title']}" for place, feature in enumerate(features, 1)]
    shown = [{**feature, "after": [names[index] for index in feature["depends_on"]]} for feature in features[:MOST_FEATURES]]
    return {**card, "features": shown, "count": len(features), "graph": small_layout(features) if 1 < len(features) <= MOST_FEATURES else None}


def feature_form(card: dict[str, Any], place: int | None) -> dict[str, Any]:
    """What the form of a feature is filled with: its values, and the features that it may wait for."""
    names = titles(card["features"])
    if place is None:
        return {"place": None, "title": "", "description": "", "rows": [], "after": set(), "priority": "", "agent": "",
                "others": _others(names, None, set())}
    feature = normalise(card, meaning_of(card))["features"][place]
    after = set(feature["depends_on"])
    rows = [{"text": item, "check": ""} if isinstance(item, str) else item for item in feature["acceptance_criteria"]]
    return {"place": place, "title": feature["title"], "title_was": feature["title"], "description": feature["description"], "rows": rows,
            "after": {str(each) for each in after}, "priority": str(feature["priority"] or ""), "agent": feature["agent"] or "",
            "others": _others(names, place, after)}


def _others(names: list[str], place: int | None, after: set[int]) -> list[tuple[str, str]]:
    """[(index, 'number title')]: those that one page shows, and those that it waits for already."""
    return [(str(index), f"{index + 1} {name}") for index, name in enumerate(names)
            if index != place and (index < MOST_FEATURES or index in after)]


def filled(values: dict[str, Any], kept: Typed) -> dict[str, Any]:
    """The same with what was typed in their place."""
    return {**values, "title": kept.values["title"], "description": kept.values["description"], "rows": kept.values["rows"],
            "after": set(kept.values["after"]), "priority": kept.values["priority"], "agent": kept.values["agent"]}


def versions(session_id: str) -> list[dict[str, Any]]:
    """Newest first, with who wrote each in words."""
    said = {"api": "by a program", "page": "edited by you", "sample": "the sample", "interview": "from the conversation", "template": "drafted by the template",
            "model": "drafted by the model", "import": "imported", "amendment": "amended", "restore": "an earlier version again"}
    return [{**each, "by": said.get(each["source"], each["source"])} for each in card_versions.versions_view(swarm().db, tenant(), session_id)]
