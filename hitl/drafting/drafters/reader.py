"""Reads a text block by block into Parts. It knows the usual forms of specifications, including spec-kit's, and loses no sentence: text that
fits nowhere else goes into the description."""
import re

from hitl.drafting.drafters import phrases
from hitl.drafting.drafters.outline import Block, blocks, plain
from hitl.drafting.drafters.parts import Part, Parts, part

_META = re.compile(r"\*{0,2}(feature branch|created|status|date|spec|plan|author|version|tests|organization|prerequisites)\*{0,2}\s*:", re.I)
_REPOSITORY = re.compile(r"\*{0,2}repository\*{0,2}\s*:\*{0,2}\s*`?(\S{1,300}?)`?", re.I)
_BRANCH = re.compile(r"\*{0,2}base[ _]branch\*{0,2}\s*:\*{0,2}\s*`?(\S{1,200}?)`?", re.I)
_CHECK = re.compile(r"\*{0,2}checks?\*{0,2}\s*:\*{0,2}\s*`(.{1,1000}?)`\.?", re.I)
_ACCEPTANCE = re.compile(r"\W*(acceptance (?:criteria|scenarios?|tests?)|definition of done|done when)\W*", re.I)
_CODED = re.compile(r"\*{0,2}((?:FR|NFR|SC)-?\d{1,4})\*{0,2}\s*:?\s*(.+)", re.S)
_SCENARIO = re.compile(r"\W*scenario(?: outline)?(?: \d{1,3})?\s*:\s*(.{1,200})", re.I)


def read(text: str) -> Parts:
    reader = _Reader()
    for block in blocks(text):
        {"heading": reader.heading, "item": reader.item, "text": reader.text, "code": reader.code}[block.kind](block)
    for each in (*reader.parts.features, *reader.parts.maybe, *reader.parts.bullets):
        each.settle()
    return reader.parts


class _Reader:
    """sections: the open headings as (level, kind). current: the feature that the next blocks belong to."""

    def __init__(self) -> None:
        self.parts = Parts()
        self.sections: list[tuple[int, str]] = []
        self.current: Part | None = None
        self.accepting = False     # the next items are criteria
        self.steps: list[str] = []  # the lines of the current scenario
        self.of: Part | None = None  # the feature whose criterion these lines are
        self.indent = 0            # the indentation of the item that made the current feature
        self.noted = ""            # a heading that goes into the description, before the first text under it

    @property
    def kind(self) -> str:
        return self.sections[-1][1] if self.sections else ""

    def heading(self, block: Block) -> None:
        self.steps, self.accepting = [], False
        while self.sections and self.sections[-1][0] >= block.level:
            self.sections.pop()
        text, priority = phrases.take_priority(block.text)
        inside = self.current is not None and 0 < self.current.level < block.level
        numbered = None if self.kind in ("technical", "scope", "risks", "notes") else phrases.feature_heading(text)
        kind = phrases.section(text) if numbered is None else None
        if kind is not None:
            self.sections.append((block.level, kind))
            self.accepting, self.noted = kind == "acceptance", text if kind == "notes" else ""
            if not inside:
                self.current = None
        elif numbered is not None or (self.kind == "features" and not inside):
            self._begin(self.parts.features, numbered[1] if numbered else text, numbered[0] if numbered else 0, priority, block.level)
        elif inside and self.current is not None:
            self.current.description.append(text)
        elif block.level == 1 and not self.sections:
            self.sections.append((1, "title"))
        elif self.kind in ("", "title"):
            self._begin(self.parts.maybe, text, 0, priority, block.level)
        else:
            self.sections.append((block.level, self.kind))
            self.current = None

    def _begin(self, where: list[Part], text: str, number: int, priority: int, level: int) -> None:
        self.current = part(text, number, level)
        self.current.priority = priority or self.current.priority
        where.append(self.current)

    def item(self, block: Block) -> None:
        coded = _CODED.fullmatch(block.text)
        if coded:
            self.parts.technical.append(f"{coded[1]}: {plain(coded[2])}")
        elif phrases.gherkin(block.text) and self.current is not None:
            self._step(block.text, new=phrases.gherkin(block.text) == "given")
        elif self.kind in ("technical", "scope", "risks", "checks"):
            self._listed(block)
        elif self.kind in ("notes", "goal"):
            self._describe("- " + block.text)
        elif self.current is not None and (self.accepting or self.current.level or block.level > self.indent):
            self._detail(block.text)
        else:
            self._new_item(block)

    def _listed(self, block: Block) -> None:
        if self.kind == "checks":
            match = re.search(r"`([^`]+)`", block.text)
            self.parts.checks.append(match[1].strip() if match else block.text)
        else:
            {"technical": self.parts.technical, "scope": self.parts.scope, "risks": self.parts.risks}[self.kind].append(plain(block.text))

    def _detail(self, text: str) -> None:
        """An item under a feature: its dependencies, or a criterion."""
        assert self.current is not None
        left, depends = phrases.take_depends(text)
        self.current.depends += depends
        if not depends or plain(left):
            self.current.criterion(left)

    def _new_item(self, block: Block) -> None:
        """A list item at the top level. It is a feature in a list of features or in a numbered list; elsewhere it may be one."""
        where = self.parts.features if self.kind == "features" or block.number or phrases.story(block.text) else self.parts.bullets
        self.current, self.indent, self.steps = part(block.text, block.number), block.level, []
        where.append(self.current)

    def text(self, block: Block) -> None:
        text = block.text
        named, scenario = phrases.feature_heading(plain(text)) if len(text) <= 200 else None, _SCENARIO.fullmatch(text)
        if _ACCEPTANCE.fullmatch(text):
            self.accepting, self.steps = True, []
        elif scenario:
            self.steps = [scenario[1].strip() + ":"]
        elif phrases.gherkin(text) and self.current is not None and (self.steps or phrases.gherkin(text) == "given"):
            self._step(text, new=phrases.gherkin(text) == "given" and not (self.steps and self.steps[-1].endswith(":")))
        elif self._property(text) or _META.match(text):
            return
        elif named and re.match(r"\W*\w+( \w+)?\W*\d*\s*[:–—-]", text):
            self._begin(self.parts.features, named[1], named[0], 0, 0)
        elif phrases.story(text):
            self._story(text)
        else:
            self._sentence(text)

    def _story(self, text: str) -> None:
        """A separate story is a feature. Under the heading of a feature, a story describes that feature."""
        if self.current is not None and self.current.level and not any(map(phrases.story, self.current.description)):
            self.current.description.append(text)
        else:
            self.current, self.indent = part(text), 0
            self.parts.features.append(self.current)

    def _sentence(self, text: str) -> None:
        left, depends = phrases.take_depends(text)
        if depends and self.current is not None and not plain(left):
            self.current.depends += depends
        elif self.kind in ("technical", "scope", "risks"):
            {"technical": self.parts.technical, "scope": self.parts.scope, "risks": self.parts.risks}[self.kind].append(plain(text))
        else:
            self._describe(text)

    def _property(self, text: str) -> bool:
        for name, pattern in (("repository", _REPOSITORY), ("base_branch", _BRANCH)):
            if match := pattern.fullmatch(text):
                self.parts.properties[name] = match[1]
                return True
        if match := _CHECK.fullmatch(text):
            self.parts.checks.append(match[1].strip())
        return match is not None

    def _step(self, text: str, new: bool) -> None:
        """A line of a scenario. The whole scenario is one criterion of the current feature."""
        assert self.current is not None
        heading = self.steps[:1] if self.steps and self.steps[0].endswith(":") else []
        if not new and self.of is self.current and len(self.steps) > len(heading):
            self.steps.append(plain(text))
            return
        self.steps, self.of = [*(() if new else heading), plain(text)], self.current
        self.current.criteria.append(self.steps)

    def code(self, block: Block) -> None:
        self._describe(block.text)

    def _describe(self, text: str) -> None:
        if self.current is not None and self.kind not in ("notes", "goal"):
            self.current.description.append(text)
            return
        if self.noted:
            self.parts.description.append([self.noted + ":"])
            self.noted = ""
        last = self.parts.description[-1][-1] if self.parts.description else ""
        if text.startswith("- ") and (last.endswith(":") or last[last.rfind("\n") + 1:].startswith("- ")):
            self.parts.description[-1].append(text)
        else:
            self.parts.description.append([text])
