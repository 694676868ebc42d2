"""Markdown or plain text as a sequence of blocks: headings, list items, lines of text, fenced code. The time is linear in the text."""
import re
from collections.abc import Iterator
from dataclasses import dataclass

_HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*)")
_ITEM = re.compile(r"(\s*)(?:([-*+•])|(\d{1,4})[.)])\s+(?:\[([ xX])\]\s+)?(\S.*)")
_FENCE = re.compile(r"\s{0,6}(`{3,}|~{3,})([^`]*)")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)


@dataclass
class Block:
    """kind: heading, item, text or code. level: the level of a heading, from 1, or the indentation of an item in columns. number: of an ordered
    item, otherwise 0. done: whether the item's box is ticked."""

    kind: str
    text: str
    level: int = 0
    number: int = 0
    done: bool = False


def blocks(text: str) -> list[Block]:
    """The blocks in order. The lines after an item, indented or not, belong to it until an empty line or another block starts."""
    found: list[Block] = []
    more: dict[int, list[str]] = {}  # the further lines of items
    fresh = True  # an empty line came before
    lines = iter(_COMMENT.sub("", text).replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ").split("\n"))
    for line in lines:
        if fence := _FENCE.fullmatch(line):
            found.append(Block("code", _code(line, fence[1], lines)))
        elif heading := _HEADING.fullmatch(line):
            found.append(Block("heading", plain(_unclosed(heading[2])), len(heading[1])))
        elif item := _ITEM.fullmatch(line):
            found.append(Block("item", item[5].strip(), len(item[1]), int(item[3] or 0), (item[4] or " ") != " "))
        elif line.strip() and found and not fresh and found[-1].kind == "item" and not is_label(line):
            more.setdefault(len(found) - 1, []).append(line.strip())
        elif line.strip() and not re.fullmatch(r"\s*([-*_])(\s*\1){2,}\s*", line):
            found.append(Block("text", line.strip()))
        fresh = not line.strip()
    for place, added in more.items():
        found[place].text = " ".join([found[place].text, *added])
    return found


def _unclosed(text: str) -> str:
    """The text of a heading without the marks at its end: “Title ##”."""
    text = text.rstrip()
    bare = text.rstrip("#")
    return bare.rstrip() if bare[-1:].isspace() else text


def _code(first: str, mark: str, lines: Iterator[str]) -> str:
    """A fenced block with its fences. It ends at a matching fence or at the end of the text."""
    indent = len(first) - len(first.lstrip(" "))
    kept = [first[indent:]]
    for line in lines:
        kept.append(line[min(indent, len(line) - len(line.lstrip(" "))):])
        bare = line.strip()
        if bare.startswith(mark) and not bare.strip(mark[0]):
            return "\n".join(kept)
    return "\n".join([*kept, mark])


def plain(text: str) -> str:
    """The text as one line, without marks of emphasis around it, for a title."""
    text = re.sub(r"\*\*(.+?)\*\*|__(.+?)__", lambda m: m[1] or m[2], " ".join(text.split()))
    return text.strip(" *_")


def is_label(line: str) -> bool:
    """Whether a line starts with a few words and a colon, in bold or not (**Independent Test**: …), or is the first line of a scenario."""
    return re.match(r"\s*(\*\*[^*]{1,60}\*\*\s*:?|[A-Z][A-Za-z ]{1,30}:(\s|$)|Given\s)", line) is not None
