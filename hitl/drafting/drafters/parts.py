"""The parts of a text before it becomes a card."""
import re
from dataclasses import dataclass, field
from typing import Any

from hitl.card.text import key
from hitl.drafting.drafters import phrases
from hitl.drafting.drafters.outline import plain

TITLE = 100  # characters; a longer title continues in the description


@dataclass
class Part:
    """A feature in the making. number: its number in the text; depends: the names that the text uses."""

    title: str
    number: int = 0
    priority: int = 0
    level: int = 0                                             # the level of its heading; 0 for a list item
    description: list[str] = field(default_factory=list)
    criteria: list[Any] = field(default_factory=list)
    depends: list[str] = field(default_factory=list)

    def criterion(self, text: str) -> None:
        text, check = phrases.take_check(plain(text))
        if text or check:
            self.criteria.append({"text": text or check, "check": check} if check else text)


@dataclass
class Parts:
    """All parts of a text. maybe: headings that are features only if there are no other features; bullets: list items, with the same rule."""

    features: list[Part] = field(default_factory=list)
    maybe: list[Part] = field(default_factory=list)
    bullets: list[Part] = field(default_factory=list)
    description: list[str] = field(default_factory=list)
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
    edges: list[list[int]] = []
    forward = False  # only a reference to a later part can close a cycle
    for place, each in enumerate(parts):
        wanted = [known.get(key(plain(name)), numbers.get(_number(name), -1)) for name in each.depends]
        forward = forward or any(index >= place for index in wanted)
        edges.append(list(dict.fromkeys(index for index in wanted if index >= 0 and not (forward and _reaches(edges, index, place)))))
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
    found = []
    for title in titles:
        name, count = title, 1
        while key(name) in seen:
            count += 1
            name = f"{title} ({count})"
        seen.add(key(name))
        found.append(name)
    return found


def _number(name: str) -> int:
    match = re.fullmatch(r"(?:user story|story|feature|requirement|task|step|us|t|fr-)?\s*#?0*(\d{1,4})", name.strip(), re.I)
    return int(match[1]) if match else -1


def _reaches(edges: list[list[int]], start: int, goal: int) -> bool:
    """Whether `goal` is `start` or one of its dependencies. Such a dependency would close a cycle."""
    pending, seen = [start], {start}
    while pending:
        at = pending.pop()
        if at == goal:
            return True
        for following in edges[at] if at < len(edges) else ():
            if following not in seen:
                seen.add(following)
                pending.append(following)
    return False
