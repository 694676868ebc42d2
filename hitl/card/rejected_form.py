"""The forms of the card's editor as a page shows them: filled from the card, or with the typed values that were not accepted and their problems."""
import re
from dataclasses import dataclass, field
from typing import Any

from engine.errors import InvalidCard, SwarmError
from hitl.card import diff_in_words
from hitl.card.form import LISTS, NUMBERS, Form, text, texts
from hitl.card.graph import titles
from hitl.card.meaning import meaning_of
from hitl.card.spec_card import normalise

MOST_FEATURES = 300  # features of a card on one page
FIELDS = ("title", "description", *NUMBERS, "agent")  # text fields of the form of a feature
TEXTS = ("name", "repository", "base_branch", "review", *FIELDS, "text", "max_parallel", "tokens", "money")


@dataclass
class RejectedForm:
    """A form that was not accepted, or is not finished: its subject, the typed values, and the problems of each field.

    place is the number of its feature, question or ticket. `values` is the form as it was sent. rows is the number of empty rows to show.
    is_gone: the feature that the form changes was removed by someone else meanwhile."""

    what: str = ""
    place: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)
    conflict: dict[str, Any] | None = None
    rows: int = 1
    is_gone: bool = False


def rejected(form: Form, error: SwarmError | None = None, place: int | None = None, rows: int = 1) -> RejectedForm:
    """The rejected form of the editor. place: the index of its feature in the refused card. Problems of other fields are shown below the form."""
    words, checks = texts(form, "criterion"), texts(form, "check")
    criteria = [{"text": criterion, "check": checks[row] if row < len(checks) else ""} for row, criterion in enumerate(words)]
    values: dict[str, Any] = {name: text(form, name) for name in TEXTS}
    values |= {"entries": [entry for entry in texts(form, "entry") if entry], "after": form.getlist("after"), "take": form.getlist("take"),
               "rows": [criterion for criterion in criteria if criterion["text"] or criterion["check"]]}
    kept = RejectedForm(form.get("what", ""), form.get("place", ""), values, rows=rows)
    if error is None:
        return kept
    if error.extra.get("code") == "card_changed":
        kept.conflict = conflict_of(error)
    elif details := card_problems(error):
        for problem in details:
            name = field_of(problem["path"], kept.what, place)
            own = place is None or problem["path"].startswith(f"features[{place}]")
            if name:
                kept.problems.setdefault(name, []).append(problem["message"] if own else _elsewhere(problem))
            else:
                kept.rest.append(_elsewhere(problem))
    elif isinstance(error.extra.get("field"), str):
        kept.problems[str(error.extra["field"])] = [error.sentence]
    else:
        kept.rest.append(error.sentence)
    return kept


def card_problems(error: SwarmError | None) -> list[dict[str, str]]:
    """[{path, message}] if the error refuses a card; [] for any other error."""
    details = error.extra.get("details") if isinstance(error, InvalidCard) else None
    return details if isinstance(details, list) else []


def field_of(path: str, what: str, place: int | None) -> str | None:
    """The field of the form for a problem of the card: 'features[1].title' -> 'title' of feature 1, an entry of a list -> 'row-0'; None for other problems."""
    if what in LISTS:
        row = re.match(re.escape(LISTS[what]) + r"\[(\d+)\]", path)
        return f"row-{row[1]}" if row else None
    if what == "budget" and path.startswith("budget."):
        return path.removeprefix("budget.")
    if place is None:
        return path if path in ("name", "description", "repository", "base_branch", "max_parallel") else None
    own = re.match(rf"features\[{place}\](?:\.([a-z_]+)(?:\[(\d+)\])?)?", path)
    if own is None:  # the card was valid before this form, so this form causes the problem with a title or dependency elsewhere
        return next((name for name in ("title", "depends_on") if re.fullmatch(rf"features\[\d+\]\.{name}", path)), None)
    return f"row-{own[2]}" if own[2] and own[1] == "acceptance_criteria" else own[1] or "title"


def _elsewhere(problem: dict[str, str]) -> str:
    return f"{diff_in_words.label(problem['path'])}: {problem['message']}" if problem["path"] else problem["message"]


def conflict_of(error: SwarmError) -> dict[str, Any]:
    """The changes that someone else saved in the meantime, for the conflict panel."""
    current: Any = error.extra["current"]
    changes: Any = error.extra["changes"]
    base: Any = error.extra["base"]
    shown, more = diff_in_words.shown(changes)
    return {"version": current["version"], "base": base["version"] if base else None, "changes": shown, "more": more}


def feature_form(card: dict[str, Any], place: int | None) -> dict[str, Any]:
    """The values for the form of a feature, and the features that it can wait for. place None: the form of a new feature."""
    names = titles(card["features"])
    if place is None:
        return {"place": None, **dict.fromkeys(FIELDS, ""), "rows": [], "after": set(), "others": _others(names, None, set())}
    feature = normalise(card, meaning_of(card))["features"][place]
    after = set(feature["depends_on"])
    rows = [{"text": item, "check": ""} if isinstance(item, str) else item for item in feature["acceptance_criteria"]]
    return {"place": place, **{name: str(feature[name] or "") for name in FIELDS}, "title_was": feature["title"], "rows": rows,
            "after": {str(index) for index in after}, "others": _others(names, place, after)}


def _others(names: list[str], place: int | None, after: set[int]) -> list[tuple[str, str]]:
    """[(index, 'number title')]: the features of one page, and the features that it already waits for."""
    return [(str(index), f"{index + 1} {name}") for index, name in enumerate(names)
            if index != place and (index < MOST_FEATURES or index in after)]


def filled(values: dict[str, Any], kept: RejectedForm) -> dict[str, Any]:
    """The values of feature_form, replaced by the typed values."""
    return {**values, **{name: kept.values[name] for name in FIELDS}, "rows": kept.values["rows"], "after": set(kept.values["after"])}
