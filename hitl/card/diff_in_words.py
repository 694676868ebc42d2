"""The differences between two versions of a card in the words of the pages: the changes of card_diff as labelled lines."""
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hitl.card.diff import CardChange
from hitl.card.opcodes import opcodes
from hitl.card.text import shorten
from hitl.web.filters import number
from hitl.web.strict_json import canonical

MOST, MOST_LINES = 200, 400  # changes of one comparison that are shown, and lines of one change
NAMES = {"name": "Name", "description": "Purpose", "features": "Features", "technical_requirements": "Requirements", "checks": "Checks on the whole",
         "repository": "Repository", "base_branch": "Base branch", "review": "Review",
         "max_parallel": "At the same time", "budget": "Budget"}
OF_FEATURE = {"acceptance_criteria": "acceptance criteria", "depends_on": "dependencies"}  # others are called as they are
_ONE = {"technical_requirements": "Requirement", "checks": "Check on the whole", "acceptance_criteria": "criterion"}
_PATH = re.compile(r"features\[(\d+)\](?:\.(\w+)(?:\[(\d+)\])?)?|(\w+)\[(\d+)\]")


@dataclass(frozen=True)
class Line:
    """One line of a change: kind is same, added or removed."""

    kind: str
    text: str


@dataclass(frozen=True)
class Shown:
    """One change: its place, its kind and its lines. A moved feature has a note instead of lines."""

    label: str
    kind: str
    lines: list[Line]
    note: str = ""


def label(path: str) -> str:
    """'features[1].acceptance_criteria[0]' -> 'Feature 2: criterion 1'."""
    found = _PATH.fullmatch(path)
    if found is None:
        return NAMES.get(path, path)
    place, name, entry, listed, at = found.groups()
    if listed:
        return f"{_ONE.get(listed, listed)} {int(at) + 1}"
    head = f"Feature {int(place) + 1}"
    if not name:
        return head
    return f"{head}: {_ONE.get(name, name)} {int(entry) + 1}" if entry else f"{head}: {OF_FEATURE.get(name, name)}"


def shown(changes: list[CardChange]) -> tuple[list[Shown], int]:
    """(the changes as the pages show them, the number of further changes)."""
    return [_shown(each) for each in changes[:MOST]], max(0, len(changes) - MOST)


def _shown(change: CardChange) -> Shown:
    before, after, kind = change["before"], change["after"], change["kind"]
    where = label(change["path"])
    if kind == "removed" and where.startswith("Feature ") and isinstance(before, dict):
        where = "Feature"
    if kind == "moved":
        return Shown(where, kind, [], f"It was feature {before}.")
    lines = list(_lines("" if kind == "added" else words(before), "" if kind == "removed" else words(after), kind))
    return Shown(where, kind, lines[:MOST_LINES], f"{number(len(lines) - MOST_LINES, 'more line')} not shown." if len(lines) > MOST_LINES else "")


def _lines(before: str, after: str, kind: str) -> Iterator[Line]:
    if kind != "changed":
        yield from (Line(kind, line) for line in (before or after).split("\n"))
        return
    old, new = before.split("\n"), after.split("\n")
    for what, i, i_end, j, j_end in opcodes(old, new):
        if what == "equal":
            yield from _around(old[i:i_end])
            continue
        yield from (Line("removed", line) for line in old[i:i_end])
        yield from (Line("added", line) for line in new[j:j_end])


def _around(lines: list[str]) -> Iterator[Line]:
    """The unchanged lines next to a change, for orientation."""
    if len(lines) > 5:
        lines = [*lines[:2], "…", *lines[-2:]]
    yield from (Line("same", line) for line in lines)


def words(value: Any) -> str:
    """A value of a card as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(words(item) for item in value) or "nothing"
    if isinstance(value, dict) and "title" in value:
        return "\n".join(_feature(value))
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        return str(value["text"]) + (f"\n$ {value['check']}" if isinstance(value.get("check"), str) and value["check"] else "")
    if isinstance(value, dict) and value.keys() <= {"tokens", "money"}:  # a budget
        return "\n".join(f"{name.capitalize()}: {canonical(value[name])}" for name in ("tokens", "money") if name in value) or "no limit"
    return canonical(value)


def _feature(feature: dict[str, Any]) -> Iterator[str]:
    yield words(feature["title"])
    if feature.get("description"):
        yield words(feature["description"])
    criteria = feature.get("acceptance_criteria")
    for item in criteria if isinstance(criteria, list) else ():
        yield "– " + words(item).replace("\n", "\n  ")
    if feature.get("depends_on"):
        yield "After: " + ", ".join(words(feature["depends_on"]).split("\n"))
    for name, value in feature.items():
        if name not in ("title", "description", "acceptance_criteria", "depends_on") and value not in ("", [], None):
            yield f"{shorten(name).capitalize()}: {words(value)}"


def summary(changes: list[CardChange], most: int = 3) -> str:
    """The changes in one line: 'Feature 1 added, Purpose changed and 2 more changes'. Similar features and entries are counted."""
    kinds = [(_kind_of(each["path"]), each["kind"]) for each in changes]
    firsts: dict[tuple[str, str], CardChange] = {}
    for kind_of, each in zip(kinds, changes, strict=True):
        firsts.setdefault(kind_of, each)
    said = []
    for (what, kind), count in Counter(kinds).items():
        first = firsts[what, kind]
        many = {"Feature": "features", "Requirement": "requirements", "Check on the whole": "checks", "criterion": "criteria"}
        subject = f"{count} {many[what]}" if count > 1 and what in many else label(first["path"])
        text = first["after"] if kind == "added" and count == 1 else None
        said.append(f"{subject} {kind}" + (f": {_brief(text)}" if isinstance(text, str) else ""))
    rest = len(said) - most
    return ", ".join(said[:most]) + (f" and {number(rest, 'more change')}" if rest > 0 else "")


def _brief(text: str) -> str:
    return "“" + shorten(" ".join(text.split()), 70) + "”"


def _kind_of(path: str) -> str:
    found = _PATH.fullmatch(path)
    if found is None:
        return path
    _, name, entry, listed, _ = found.groups()
    if listed:
        return _ONE.get(listed, listed)
    return "Feature" if not name else _ONE.get(name, name) if entry else f"feature {name}"
