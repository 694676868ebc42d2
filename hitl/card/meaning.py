"""The meaning of a card: the titles of its features and their dependencies. It is read once and accepts a card of any shape."""
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hitl.card import graph as card_graph
from hitl.card.shape import list_of
from hitl.card.text import Problem

_AGENT = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True)
class Meaning:
    """titles: the title of each feature, stripped; "" if it has none. waits_for: for each feature the indexes of its dependencies, in order and
    each once. problems: problems of texts, names of agents, titles and dependencies."""

    titles: list[str]
    waits_for: list[list[int]]
    problems: list[Problem]


def meaning_of(card: dict[str, Any]) -> Meaning:
    """The meaning of a card. Values that the schema refuses are skipped."""
    features = list_of(card, "features")
    names = card_graph.titles(features)
    waits_for, unresolved = card_graph.resolve(features, names)
    return Meaning(names, waits_for, [*_word_problems(card), *card_graph.duplicates(names), *unresolved, *card_graph.cycles(waits_for, names)])


def _word_problems(card: dict[str, Any]) -> Iterator[Problem]:
    yield from _line_problems("name", card.get("name"))
    yield from _agent_problems("agent", card.get("agent"))
    for number, feature in enumerate(list_of(card, "features")):
        if isinstance(feature, dict):
            yield from _line_problems(f"features[{number}].title", feature.get("title"))
            yield from _agent_problems(f"features[{number}].agent", feature.get("agent"))
            for place, item in enumerate(list_of(feature, "acceptance_criteria")):
                path = f"features[{number}].acceptance_criteria[{place}]"
                yield from _blank_problems(path + ".text", item.get("text")) if isinstance(item, dict) else _blank_problems(path, item)
    for name in ("checks", "technical_requirements"):
        for place, item in enumerate(list_of(card, name)):
            yield from _blank_problems(f"{name}[{place}]", item)


def _agent_problems(path: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, str) and value and not _AGENT.fullmatch(value):
        yield {"path": path, "message": "Must start with a small letter and have only small letters, digits, - and _."}


def _blank_problems(path: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, str) and value.isspace():
        yield {"path": path, "message": "Must not be empty."}


def _line_problems(path: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, str) and value.isspace():
        yield from _blank_problems(path, value)
    elif isinstance(value, str) and ("\n" in value or "\t" in value):
        yield {"path": path, "message": "Must be one line, without tabs."}
