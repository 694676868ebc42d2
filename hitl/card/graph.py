"""Turns depends_on with titles and numbers into a graph, and checks that it has no cycle. The time is linear in features and dependencies."""
from typing import Any

from hitl.card.text import Nearest, Problem, key, shorten
from hitl.web.numbers import whole_number


def titles(features: list[Any]) -> list[str]:
    """The title of each feature; "" if it has none (the schema reports this)."""
    found = [feature.get("title") if isinstance(feature, dict) else None for feature in features]
    return [title.strip() if isinstance(title, str) else "" for title in found]


def duplicates(names: list[str]) -> list[Problem]:
    """A problem for every title that an earlier feature already has."""
    first: dict[str, int] = {}
    problems = []
    for number, name in enumerate(names):
        if name and first.setdefault(key(name), number) != number:
            problems.append({"path": f"features[{number}].title",
                             "message": f"Feature {first[key(name)] + 1} already has this title: “{shorten(name)}”."})
    return problems


def resolve(features: list[Any], names: list[str]) -> tuple[list[list[int]], list[Problem]]:
    """(for each feature the indexes of its dependencies, in order and each once; problems)."""
    known = {key(name): number for number, name in reversed(list(enumerate(names))) if name}
    nearest = Nearest(names)
    graph, problems = [], []
    for number, feature in enumerate(features):
        wanted = feature.get("depends_on", ()) if isinstance(feature, dict) else ()
        found: dict[int, None] = {}
        for reference in wanted if isinstance(wanted, list) else ():
            index, message = _look_up(reference, known, len(features), nearest)
            if index == number:
                index, message = None, f"“{shorten(names[number])}” depends on itself."
            if index is not None:
                found[index] = None
            elif message:
                problems.append({"path": f"features[{number}].depends_on", "message": message})
        graph.append(list(found))
    return graph, problems


def _look_up(reference: Any, known: dict[str, int], count: int, nearest: Nearest) -> tuple[int | None, str | None]:
    """(index, None) or (None, problem or None). A title wins over a number. The schema reports values that are neither text nor number."""
    if isinstance(reference, str):
        if (index := known.get(key(reference))) is not None:
            return index, None
        if (number := whole_number(reference.strip())) is None:
            meant = nearest.to(reference)
            return None, f"No feature is called “{shorten(reference)}”." + (f" Nearest: “{shorten(meant)}”." if meant else "")
        reference = number
    elif isinstance(reference, bool) or not isinstance(reference, int | float) or reference != reference // 1:
        return None, None
    if 1 <= reference <= count:
        return int(reference) - 1, None
    return None, f"There is no feature {shorten(str(reference))}. The features have the numbers 1 to {count}."


def cycles(graph: list[list[int]], names: list[str]) -> list[Problem]:
    """A problem for every dependency that closes a cycle, with the cycle drawn along the dependencies: cycle F1 → F3 → F1."""
    done = [False] * len(graph)
    problems = []
    for root in range(len(graph)):
        if done[root]:
            continue
        path, place, pending = [root], {root: 0}, [iter(graph[root])]
        while path:
            following = next(pending[-1], None)
            if following is None:
                done[path[-1]] = True
                del place[path.pop()]
                pending.pop()
            elif following in place:
                problems.append({"path": f"features[{path[-1]}].depends_on", "message": _draw(path, place[following], names)})
            elif not done[following]:
                place[following] = len(path)
                path.append(following)
                pending.append(iter(graph[following]))
    return problems


def _draw(path: list[int], start: int, names: list[str]) -> str:
    length = len(path) - start
    shown = [shorten(names[index] or f"feature {index + 1}", 40) for index in path[start:start + 6]]
    more = [f"({length - 6} more)"] if length > 6 else []
    return "cycle " + " → ".join([*shown, *more, shown[0]])
