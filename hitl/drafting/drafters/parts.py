"""The parts of a text before it becomes a card."""
import re
from dataclasses import dataclass, field
from typing import Any

from hitl.card.text import key
from hitl.drafting.drafters import phrases
from hitl.drafting.drafters.outline import plain

TITLE = 100  # characters; a longer title continues in the description
MOST_STEPS = 2_000_000  # in search of cycles, for one text; dependencies that may close one are left out afterwards


@dataclass
class Part:
    """A feature in the making. number: its number in the text; depends: the names that the text uses."""

    title: str
    number: int = 0
    priority: int = 0
    level: int = 0                                             # the level of its heading; 0 for a list item
    description: list[str] = field(default_factory=list)
    criteria: list[Any] = field(default_factory=list)           # a scenario is its list of lines, until settle()
    depends: list[str] = field(default_factory=list)

    def criterion(self, text: str) -> None:
        text, check = phrases.take_check(plain(text))
        if text or check:
            self.criteria.append({"text": text or check, "check": check} if check else text)

    def settle(self) -> None:
        """Makes one criterion of each scenario. Its first line is its heading if it ends with a colon."""
        found, self.criteria = self.criteria, []
        for each in found:
            if isinstance(each, list):
                heading = each[0].endswith(":")
                self.criterion((each[0] + " " if heading else "") + ", ".join(line.rstrip(" ,.") for line in each[heading:]))
            else:
                self.criteria.append(each)


@dataclass
class Parts:
    """All parts of a text. maybe: headings that are features only if there are no other features; bullets: list items, with the same rule."""

    features: list[Part] = field(default_factory=list)
    maybe: list[Part] = field(default_factory=list)
    bullets: list[Part] = field(default_factory=list)
    description: list[list[str]] = field(default_factory=list)  # paragraphs of lines
    technical: list[str] = field(default_factory=list)
    scope: list[str] = field(default_factory=list)
    risks: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)   # repository, base_branch


def part(text: str, number: int = 0, level: int = 0) -> Part:
    """A part from a heading or a list item: “**Title**: description (depends on 2)”."""
    text, depends = phrases.take_depends(text)
    text, priority = phrases.take_priority(text)
    told = phrases.story(text)
    if told is not None:
        return Part(_title(told.want), number, priority, level, [told.text], depends=depends)
    match = re.fullmatch(r"\*\*(.{1,200}?)\*\*\s*[:–—.-]?\s*(.*)", text) or re.fullmatch(r"([^:`]{2,80}):\s+(.+)", text) \
        or re.fullmatch(r"(.{2,80}?)\s+[–—]\s+(.+)", text)
    title, rest = (match[1].rstrip(":"), match[2]) if match else (text, "")
    title = plain(title)
    description = [rest] if rest else []
    if len(title) > TITLE:
        description.insert(0, title)
    return Part(_title(title), number, priority, level, description, depends=depends)


def _title(text: str) -> str:
    text = " ".join(text.split()).rstrip(" .,;:")
    if len(text) > TITLE:
        text = text[:TITLE].rsplit(" ", 1)[0].rstrip(" .,;:") + " …"
    return text[:1].upper() + text[1:] or "Untitled"


def features(parts: list[Part]) -> list[dict[str, Any]]:
    """The features in the form of a card, with unique titles and depends_on as titles. Names of unknown features are left out."""
    names = _unique([each.title for each in parts])
    known = {key(name): place for place, name in reversed(list(enumerate(names)))}
    numbers = {each.number: place for place, each in reversed(list(enumerate(parts))) if each.number}
    graph = _Graph(len(parts))
    edges = [graph.add(place, [known.get(key(plain(name)), numbers.get(_number(name), -1)) for name in each.depends]) for place, each in enumerate(parts)]
    return [_feature(each, names[place], [names[index] for index in edges[place]]) for place, each in enumerate(parts)]


def _feature(each: Part, title: str, depends: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"title": title}
    if text := "\n\n".join(each.description).strip():
        found["description"] = text
    if each.criteria:
        found["acceptance_criteria"] = each.criteria
    if depends:
        found["depends_on"] = depends
    if each.priority:
        found["priority"] = each.priority
    return found


def _unique(titles: list[str]) -> list[str]:
    seen: set[str] = set()
    counts: dict[str, int] = {}  # the last number that was given to a title
    found = []
    for title in titles:
        name, first = title, key(f"{title} (1)")
        while key(name) in seen:
            counts[first] = counts.get(first, 1) + 1
            name = f"{title} ({counts[first]})"
        seen.add(key(name))
        found.append(name)
    return found


def _number(name: str) -> int:
    match = re.fullmatch(r"(?:user story|story|feature|requirement|task|step|us|t|fr-)?\s*#?0*(\d{1,4})", name.strip(), re.I)
    return int(match[1]) if match else -1


class _Graph:
    """The dependencies of parts, which are added in the order of the parts. Only a reference to a later part can close a cycle."""

    def __init__(self, size: int) -> None:
        self._dependents: list[list[int]] = [[] for _ in range(size)]
        self._steps = MOST_STEPS

    def add(self, place: int, wanted: list[int]) -> list[int]:
        """Those of the wanted dependencies (-1: unknown) that close no cycle, each once."""
        waiting = self._waiting_for(place) if wanted else None
        found = list(dict.fromkeys(index for index in wanted if index >= 0 and waiting is not None and index not in waiting))
        for index in found:
            self._dependents[index].append(place)
        return found

    def _waiting_for(self, place: int) -> set[int] | None:
        """The parts that wait for this one, and itself. None if that was asked too often: then it is not known whether a cycle would be closed."""
        pending, seen = [place], {place}
        while pending and self._steps > 0:
            for each in self._dependents[pending.pop()]:
                self._steps -= 1
                if each not in seen:
                    seen.add(each)
                    pending.append(each)
        return None if pending else seen
