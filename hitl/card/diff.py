"""The differences between two versions of a card, property by property, for people. Features are matched by their titles.

    [{"path": "features[1].title", "kind": "changed", "before": "Old", "after": "New"}, …]

kind is added, removed, changed or moved. A path belongs to the later card; the path of a removed value belongs to the earlier card. For a moved
feature, before and after are its places among the features, from 1. `before` is null for added values, `after` for removed values."""
from collections.abc import Iterator
from typing import Any

from hitl.card import graph as card_graph
from hitl.card.opcodes import longest, opcodes
from hitl.card.text import key, step
from hitl.web.strict_json import canonical

CardChange = dict[str, Any]
BY_ENTRY = ("acceptance_criteria", "checks", "technical_requirements")  # lists whose entries are compared one by one


def diff(before: Any, after: Any) -> list[CardChange]:
    """The changes in the order of the later card, with removed features last. Either card may be None or something that is not a card."""
    old, new = (value if isinstance(value, dict) else {} for value in (before, after))
    changes = list(_properties(old, new, "", skip="features"))
    return changes + list(_features(_list(old.get("features")), _list(new.get("features"))))


def paths(changes: list[CardChange]) -> list[str]:
    """The paths of the changes, each once."""
    return list(dict.fromkeys(change["path"] for change in changes))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _change(path: str, kind: str, before: Any, after: Any) -> CardChange:
    return {"path": path, "kind": kind, "before": before, "after": after}


def _properties(old: dict[str, Any], new: dict[str, Any], path: str, skip: str = "") -> Iterator[CardChange]:
    for name in [*new, *(name for name in old if name not in new)]:
        where = step(path, name)
        if name == skip or (name in old and name in new and canonical(old[name]) == canonical(new[name])):
            continue
        if name in BY_ENTRY and isinstance(old.get(name, []), list) and isinstance(new.get(name, []), list):
            yield from _entries(old.get(name, []), new.get(name, []), where)
        elif name not in old:
            yield _change(where, "added", None, new[name])
        elif name not in new:
            yield _change(where, "removed", old[name], None)
        else:
            yield _change(where, "changed", old[name], new[name])


def _entries(old: list[Any], new: list[Any], path: str) -> Iterator[CardChange]:
    for what, i, i_end, j, j_end in opcodes([canonical(item) for item in old], [canonical(item) for item in new]):
        if what == "equal":
            continue
        both = min(i_end - i, j_end - j)
        yield from (_change(step(path, j + n), "changed", old[i + n], new[j + n]) for n in range(both))
        yield from (_change(step(path, n), "added", None, new[n]) for n in range(j + both, j_end))
        yield from (_change(step(path, n), "removed", old[n], None) for n in range(i + both, i_end))


def _features(old: list[Any], new: list[Any]) -> Iterator[CardChange]:
    pairs = _pair(old, new)
    moved = _moved(pairs)
    for place, feature in enumerate(new):
        path = f"features[{place}]"
        if place not in pairs:
            yield _change(path, "added", None, feature)
            continue
        earlier = old[pairs[place]]
        if place in moved:
            yield _change(path, "moved", pairs[place] + 1, place + 1)
        if isinstance(earlier, dict) and isinstance(feature, dict):
            yield from _properties(earlier, feature, path)
        elif canonical(earlier) != canonical(feature):
            yield _change(path, "changed", earlier, feature)
    kept = set(pairs.values())
    yield from (_change(f"features[{place}]", "removed", feature, None) for place, feature in enumerate(old) if place not in kept)


def _pair(old: list[Any], new: list[Any]) -> dict[int, int]:
    """{place in the later card: place in the earlier card}: first by title, then a renamed feature that has kept its place."""
    known: dict[str, int] = {}
    for place, title in enumerate(card_graph.titles(old)):
        known.setdefault(key(title), place)
    pairs: dict[int, int] = {}
    for place, title in enumerate(card_graph.titles(new)):
        found = known.pop(key(title), None) if title else None
        if found is not None:
            pairs[place] = found
    taken = set(pairs.values())
    for place in range(len(new)):  # a feature with a new title is in the place of the old one
        if place not in pairs:
            candidate = pairs[place - 1] + 1 if place - 1 in pairs else 0 if place == 0 else len(old)
            if candidate < len(old) and candidate not in taken and _alike(old[candidate], new[place]):
                pairs[place] = candidate
                taken.add(candidate)
    return pairs


def place_now(before: Any, after: Any, place: int) -> int | None:
    """The place in the later card of the feature that is at `place` in the earlier one; None if it was removed. A feature that was renamed
    and changed at once is still the one in its place, if no feature was added or removed."""
    old, new = (_list(value.get("features")) if isinstance(value, dict) else [] for value in (before, after))
    pairs = _pair(old, new)
    found = next((now for now, earlier in pairs.items() if earlier == place), None)
    return place if found is None and len(old) == len(new) and place < len(new) and place not in pairs else found


def _alike(old: Any, new: Any) -> bool:
    """Whether a feature was renamed and not replaced: another property is the same, or both have only a title."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return False
    return old.keys() == new.keys() == {"title"} or any(
        old.get(name) and old.get(name) == new.get(name) for name in ("description", "acceptance_criteria", "depends_on"))


def _moved(pairs: dict[int, int]) -> set[int]:
    """Places in the later card of the moved features: all except a longest sequence that kept its order."""
    places = sorted(pairs)
    return set(places) - {places[n] for n in longest([pairs[place] for place in places])}
