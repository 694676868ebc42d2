"""Edits of single properties of a card, applied in order, all or none. Paths are written as in the validation: features[1].title.

    {"op": "set", "path": "features[0].title", "value": "Say hello"}      dependencies on the old title change to the new one
    {"op": "add", "path": "features", "value": {…}, "at": 1}              adds to a list and creates it if it is missing; at: from 0, default last
    {"op": "remove", "path": "features[2]"}                               dependencies on it are removed
    {"op": "move", "path": "features[2]", "to": 0}
    {"op": "split", "path": "features[0]", "title": "…", "description": "…", "criteria": [1, 2]}
                    a new feature after it takes those criteria (from 0) and depends on it; its dependents wait for both"""
import copy
import re
from collections.abc import Callable
from typing import Any

from engine.errors import BadRequest
from hitl.card import graph as card_graph
from hitl.card.text import key, shorten
from hitl.web.numbers import is_whole, whole_number

MOST_EDITS = 500
_STEP = re.compile(r"\[(\d{1,6})\]|(?:^|\.)([^.\[\]]{1,200})")


def edit(card: dict[str, Any], edits: Any) -> dict[str, Any]:
    """A changed copy, which may be invalid. Raises BadRequest with `edit`, the number (from 0) of the edit that cannot be done."""
    if not isinstance(edits, list) or not 1 <= len(edits) <= MOST_EDITS:
        raise BadRequest(f"edits must be a list of 1 to {MOST_EDITS} edits.")
    card = copy.deepcopy(card)
    for number, each in enumerate(edits):
        try:
            if not isinstance(each, dict) or each.get("op") not in list(OPERATIONS):
                raise BadRequest(f"op must be one of: {', '.join(OPERATIONS)}.")
            OPERATIONS[each["op"]](card, each)
        except BadRequest as error:
            raise BadRequest(f"Edit {number + 1} cannot be done. {error.sentence}", edit=number) from None
    return card


def _steps(path: Any) -> list[str | int]:
    found: list[str | int] = []
    end = 0
    for match in _STEP.finditer(path if isinstance(path, str) else ""):
        if match.start() != end:
            break
        found.append(int(match[1]) if match[1] is not None else match[2])
        end = match.end()
    if not found or end != len(path):
        raise BadRequest("path must name a property, such as features[0].title.")
    return found


def _parent(card: dict[str, Any], path: Any) -> tuple[Any, Any]:
    """(the object or list that contains the path's end, the key or index in it). Raises BadRequest if the path does not exist."""
    *way, last = _steps(path)
    value: Any = card
    for part in way:
        if not _has(value, part):
            raise BadRequest(f"{shorten(str(path))} does not exist.")
        value = value[part]
    if not isinstance(value, list if isinstance(last, int) else dict):
        raise BadRequest(f"{shorten(str(path))} does not exist.")
    return value, last


def _has(value: Any, part: str | int) -> bool:
    return part in value if isinstance(value, dict) and isinstance(part, str) else \
        isinstance(value, list) and isinstance(part, int) and part < len(value)


def _set(card: dict[str, Any], each: dict[str, Any]) -> None:
    holder, last = _parent(card, each.get("path"))
    if "value" not in each or (isinstance(last, int) and last >= len(holder)):
        raise BadRequest("value is required." if "value" not in each else f"{each['path']} does not exist.")
    before = holder.get(last) if isinstance(holder, dict) else holder[last]
    feature = _feature_of(card, each["path"])
    if feature is not None and last == "title" and isinstance(each["value"], str) and isinstance(before, str):
        replace_reference(card, before, [each["value"].strip()])
    holder[last] = each["value"]


def _feature_of(card: dict[str, Any], path: str) -> int | None:
    match = re.fullmatch(r"features\[(\d{1,6})\]\.title", path)
    return int(match[1]) if match else None


def _add(card: dict[str, Any], each: dict[str, Any]) -> None:
    holder, last = _parent(card, each.get("path"))
    if "value" not in each:
        raise BadRequest("value is required.")
    if isinstance(holder, dict):
        holder.setdefault(last, [])
    found = holder[last] if _has(holder, last) else None
    if not isinstance(found, list):
        raise BadRequest(f"{each['path']} is not a list.")
    at = each.get("at", len(found))
    if not is_whole(at, 0, len(found)):
        raise BadRequest(f"at must be a whole number from 0 to {len(found)}.")
    if each["path"] == "features" and at < len(found):
        titles_for_numbers(card)
    found.insert(at, each["value"])


def _remove(card: dict[str, Any], each: dict[str, Any]) -> None:
    holder, last = _parent(card, each.get("path"))
    if not _has(holder, last):
        raise BadRequest(f"{shorten(str(each['path']))} does not exist.")
    if _is_features(card, holder):
        titles_for_numbers(card)
        title = card_graph.titles(holder)[last]
        del holder[last]
        if title:
            replace_reference(card, title, [])
    else:
        del holder[last]


def _move(card: dict[str, Any], each: dict[str, Any]) -> None:
    holder, last = _parent(card, each.get("path"))
    if not isinstance(last, int) or not _has(holder, last):
        raise BadRequest(f"{shorten(str(each['path']))} does not exist.")
    if not is_whole(each.get("to"), 0, len(holder) - 1):
        raise BadRequest(f"to must be a whole number from 0 to {len(holder) - 1}.")
    if _is_features(card, holder):
        titles_for_numbers(card)
    holder.insert(each["to"], holder.pop(last))


def _split(card: dict[str, Any], each: dict[str, Any]) -> None:
    holder, last = _parent(card, each.get("path"))
    if not _is_features(card, holder) or not _has(holder, last) or not isinstance(holder[last], dict):
        raise BadRequest("Only a feature can be split. path must be features[…].")
    first, title, moved = holder[last], each.get("title"), each.get("criteria", [])
    criteria = first.get("acceptance_criteria", [])
    if not isinstance(title, str) or not title.strip() or not isinstance(each.get("description", ""), str):
        raise BadRequest("title must be text: the title of the new feature. description, if given, must be text, too.")
    if not isinstance(criteria, list) or not isinstance(moved, list) or not all(is_whole(place, 0, len(criteria) - 1) for place in moved):
        raise BadRequest("criteria must be a list of numbers: the places, from 0, of the criteria that the new feature takes.")
    titles_for_numbers(card)
    before = card_graph.titles(holder)[last]
    replace_reference(card, before, [before, title.strip()])
    second: dict[str, Any] = {name: value for name, value in first.items() if name in ("priority", "agent", "review")}
    second |= {"title": title, "description": each.get("description", ""), "depends_on": [before],
               "acceptance_criteria": [criteria[place] for place in sorted(set(moved))]}
    if criteria:
        first["acceptance_criteria"] = [item for place, item in enumerate(criteria) if place not in moved]
    holder.insert(last + 1, second)


def _is_features(card: dict[str, Any], holder: Any) -> bool:
    return holder is card.get("features")


def titles_for_numbers(card: dict[str, Any]) -> None:
    """Replaces numbers in depends_on by titles, because the places are about to change. Unknown numbers stay."""
    features = card.get("features")
    if not isinstance(features, list):
        return
    names = card_graph.titles(features)
    known = {key(name) for name in names if name}
    for feature in features:
        wanted = feature.get("depends_on") if isinstance(feature, dict) else None
        if isinstance(wanted, list):
            feature["depends_on"] = [_title_for(item, names, known) for item in wanted]


def _title_for(item: Any, names: list[str], known: set[str]) -> Any:
    if isinstance(item, bool) or (isinstance(item, str) and key(item) in known):
        return item
    text = str(item).strip()
    place = whole_number(text, 1, len(names)) if isinstance(item, int | str) else None
    return item if place is None else names[place - 1] or item


def replace_reference(card: dict[str, Any], title: str, by: list[str]) -> None:
    """Replaces the dependency on `title` by dependencies on `by`, in all features. Call titles_for_numbers first."""
    features = card.get("features")
    for feature in features if isinstance(features, list) else ():
        wanted = feature.get("depends_on") if isinstance(feature, dict) else None
        if isinstance(wanted, list) and any(isinstance(item, str) and key(item) == key(title) for item in wanted):
            feature["depends_on"] = [name for item in wanted for name in (by if isinstance(item, str) and key(item) == key(title) else [item])]


OPERATIONS: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {"set": _set, "add": _add, "remove": _remove, "move": _move, "split": _split}
