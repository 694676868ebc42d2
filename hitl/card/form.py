"""The forms of the card's editor: turns a form that a browser sent into edits for hitl/card/edits.py. It does not use the database.

The field `what` names the form: name, description, requirements, checks, repository, review, max_parallel, budget, feature, add, move, split or remove."""
import re
from collections.abc import Callable
from typing import Any, Protocol

from engine.errors import BadRequest
from hitl.card.graph import resolve, titles
from hitl.card.review_rule import BY_WORD
from hitl.card.text import key
from hitl.web.numbers import whole_number

Card = dict[str, Any]
Edit = dict[str, Any]
NUMBERS = ("priority",)  # properties of a feature that are whole numbers; 0 means the same as leaving it out
LISTS = {"requirements": "technical_requirements", "checks": "checks"}


class Form(Protocol):
    """The part of werkzeug's MultiDict that is used here."""

    def get(self, key: str, default: str, /) -> str: ...

    def getlist(self, key: str, /) -> list[str]: ...


def text(form: Form, name: str) -> str:
    """A field as it was typed, with plain line ends."""
    return form.get(name, "").replace("\r\n", "\n").strip()


def texts(form: Form, name: str) -> list[str]:
    return [each.replace("\r\n", "\n").strip() for each in form.getlist(name)]


def edits_of(form: Form, card: Card) -> list[Edit]:
    """The edits that write this form's values into the card; [] if the card already has them. Raises BadRequest."""
    what = form.get("what", "")
    if what not in _FORMS:
        raise BadRequest("This form is unknown. Load the page again.")
    return _FORMS[what](form, card)


def _property(path: str, value: Any, holder: Card, name: str) -> list[Edit]:
    """The edit that sets a property; an empty value removes it."""
    if value in ("", [], None, False) and name != "title":
        return [{"op": "remove", "path": path}] if name in holder else []
    return [] if name in holder and holder[name] == value and type(holder[name]) is type(value) else [{"op": "set", "path": path, "value": value}]


def _text_of(name: str) -> Callable[[Form, Card], list[Edit]]:
    def edits(form: Form, card: Card) -> list[Edit]:
        value = text(form, name)
        return [] if card.get(name, "").strip() == value else [{"op": "set", "path": name, "value": value}]
    return edits


def _list_of(what: str) -> Callable[[Form, Card], list[Edit]]:
    def edits(form: Form, card: Card) -> list[Edit]:
        return _property(LISTS[what], [each for each in texts(form, "entry") if each], card, LISTS[what])
    return edits


def _repository(form: Form, card: Card) -> list[Edit]:
    return [edit for name in ("repository", "base_branch") for edit in _property(name, text(form, name), card, name)]


def _review(form: Form, card: Card) -> list[Edit]:
    """The edit of the review setting. An empty word removes it, so that the session's setting applies."""
    wanted = BY_WORD.get(form.get("review", ""))
    if wanted is None:
        return _property("review", None, card, "review")
    return [] if card.get("review") == wanted else [{"op": "set", "path": "review", "value": wanted}]


def _max_parallel(form: Form, card: Card) -> list[Edit]:
    given = text(form, "max_parallel")
    number = whole_number(given, most=999_999) if given else None
    if given and number is None:
        raise BadRequest("Runs at the same time must be a whole number.", field="max_parallel")
    return [{"op": "set", "path": "max_parallel", "value": 0}] if number == 0 else _property("max_parallel", number, card, "max_parallel")


def _budget(form: Form, card: Card) -> list[Edit]:
    """The edit of the budget. Amounts may have separators; other keys of the budget are kept. Raises BadRequest for an invalid amount."""
    before = card.get("budget")
    wanted: Card = {name: value for name, value in before.items() if name not in ("tokens", "money")} if isinstance(before, dict) else {}
    for name, pattern, what in (("tokens", r"\d{1,15}", "Tokens must be a whole number."),
                                ("money", r"\d{1,9}(\.\d{1,6})?", "Money must be a number like 2.50.")):
        given = re.sub(r"[\s,_]", "", text(form, name))
        if given and not re.fullmatch(pattern, given, re.ASCII):
            raise BadRequest(what, field=name)
        if given:
            wanted[name] = float(given) if "." in given else int(given)
    return _property("budget", wanted or None, card, "budget")


def place_of(form: Form, card: Card) -> int:
    """The index of the feature that the form is about. Raises BadRequest if the card has no such feature."""
    place = whole_number(form.get("place", ""), most=len(card["features"]) - 1)
    if place is None:
        raise BadRequest("The card no longer has this feature. Load the page again.")
    return place


def places(card: Card, title: str) -> list[int]:
    """The indexes of the features with this title."""
    return [place for place, each in enumerate(titles(card["features"])) if title.strip() and key(each) == key(title)]


def criteria(form: Form, before: list[Any]) -> list[Any]:
    """The criteria from rows of text and check, without empty rows. Other keys of a criterion are kept if its row still exists."""
    words, checks = texts(form, "criterion"), texts(form, "check")
    found: list[Any] = []
    for row, said in enumerate(words):
        check = checks[row] if row < len(checks) else ""
        if not said and not check:
            continue
        there = before[row] if row < len(before) else ""
        known: Card = there if isinstance(there, dict) else {"text": there}
        said = known["text"] if known["text"].strip() == said else said
        extra = {name: value for name, value in known.items() if name not in ("text", "check")}
        found.append({"text": said, **({"check": check} if check else {}), **extra} if check or extra else said)
    return found


def values_of(form: Form, before: Card, names: list[str]) -> Card:
    """The feature with the form's values: all its properties, including empty ones. names: the titles by number.

    Raises BadRequest if a field that must be a number is not one."""
    after = [names[place] for each in form.getlist("after") if (place := whole_number(each, most=len(names) - 1)) is not None]
    return {"title": text(form, "title"), "description": text(form, "description"),
            "acceptance_criteria": criteria(form, before.get("acceptance_criteria", [])),
            "depends_on": after, **{name: _whole(form, name) for name in NUMBERS}, "agent": text(form, "agent")}


def _whole(form: Form, name: str) -> int:
    given = text(form, name)
    number = whole_number(given.removeprefix("-") or given or "0", most=999_999)
    if number is None:
        raise BadRequest(f"{name.capitalize()} must be a whole number.", field=name)
    return -number if given.startswith("-") else number


def _feature(form: Form, card: Card) -> list[Edit]:
    place = place_of(form, card)
    before, names = card["features"][place], titles(card["features"])
    graph, _ = resolve(card["features"], names)
    values = values_of(form, before, names)
    if sorted(values["depends_on"]) == sorted(names[index] for index in graph[place]):
        values["depends_on"] = before.get("depends_on", [])  # unchanged, so the numbers or titles stay as they were written
    for name in ("title", "description"):
        if before.get(name, "").strip() == values[name]:
            values[name] = before.get(name, "")
    return [edit for name, value in values.items() for edit in _of_feature(place, name, value, before)]


def _of_feature(place: int, name: str, value: Any, before: Card) -> list[Edit]:
    if not value and not before.get(name) and name != "title":
        return []
    return _property(f"features[{place}].{name}", value, before, name)


def new_feature(form: Form, names: list[str]) -> Card:
    """A new feature from the form, without empty properties except the title."""
    return {name: value for name, value in values_of(form, {}, names).items() if value or name == "title"}


def _add(form: Form, card: Card) -> list[Edit]:
    return [{"op": "add", "path": "features", "value": new_feature(form, titles(card["features"]))}]


def _move(form: Form, card: Card) -> list[Edit]:
    place = place_of(form, card)
    to = place + (-1 if form.get("to", "") == "up" else 1)
    return [{"op": "move", "path": f"features[{place}]", "to": to}] if 0 <= to < len(card["features"]) else []


def _split(form: Form, card: Card) -> list[Edit]:
    chosen = [place for each in form.getlist("take") if (place := whole_number(each)) is not None]
    return [{"op": "split", "path": f"features[{place_of(form, card)}]", "title": text(form, "title"), "description": text(form, "description"),
             "criteria": chosen}]


def _remove(form: Form, card: Card) -> list[Edit]:
    return [{"op": "remove", "path": f"features[{place_of(form, card)}]"}]


_FORMS: dict[str, Callable[[Form, Card], list[Edit]]] = {
    "name": _text_of("name"), "description": _text_of("description"), "requirements": _list_of("requirements"), "checks": _list_of("checks"),
    "repository": _repository, "review": _review, "max_parallel": _max_parallel, "budget": _budget, "feature": _feature, "add": _add, "move": _move,
    "split": _split, "remove": _remove,
}
