"""Rows of a diff as HTML. This is Python, because a page has thousands of rows and a template takes four times as long. All text is escaped here."""
import re
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from hitl.changes.diff_rows import Line, Pair
from hitl.changes.diff_text import Piece

_MARKS = {"added": '<span class="visually-hidden">added</span><span aria-hidden="true">+</span>',
          "removed": '<span class="visually-hidden">removed</span><span aria-hidden="true">−</span>'}
_EMPTY = '<td class="line-number is-empty"></td><td class="is-empty"></td>'
_NONE = '<td class="line-number"></td>'


@dataclass(frozen=True)
class Ids:
    """anchor: the id of the file on the page. at: the start of a link to a new comment, None if comments are not possible; left: whether lines
    before the change can have comments."""

    anchor: str
    at: str | None
    left: bool

    def number(self, side: str, line: int) -> str:
        """The number of a line as a link: to a new comment on the line, or to the line itself."""
        key, word = f"{side}{line}", "old" if side == "L" else "new"
        place = f"#{escape(self.anchor)}-{key}"
        if self.at is None or (side == "L" and not self.left):
            return f'<a href="{place}" aria-label="{word.capitalize()} line {line}">{line}</a>'
        return f'<a href="{escape(self.at)}{key}{place}" data-comment="{key}" aria-label="Comment on {word} line {line}">{line}</a>'


def keys(row: Line | Pair) -> list[str]:
    """The lines of a row that can have comments: ['L4', 'R5']."""
    if isinstance(row, Pair):
        return [key for line in (row.left, row.right) if line and (line is row.right or line.kind == "removed") for key in keys(line)]
    if row.kind in ("hunk", "note"):
        return []
    return [f"L{row.old}"] if row.kind == "removed" else [f"R{row.new}"]


def unified(row: Line, ids: Ids) -> Markup:
    if row.kind in ("hunk", "note"):
        return Markup(f'<tr class="diff-hunk">{_NONE}{_NONE}<td class="line-mark"></td><td>{_text(row.pieces)}</td></tr>')
    old = ids.number("L", row.old) if row.kind == "removed" and row.old else f"<span>{row.old}</span>" if row.old else ""
    new = ids.number("R", row.new) if row.new else ""
    kind = "" if row.kind == "same" else f' class="is-{row.kind}"'
    return Markup(f'<tr id="{escape(ids.anchor)}-{keys(row)[0]}"{kind}><td class="line-number">{old}</td><td class="line-number">{new}</td>'
                  f'<td class="line-mark">{_MARKS.get(row.kind, "")}</td><td>{_text(row.pieces)}</td></tr>')


def split(row: Pair, ids: Ids) -> Markup:
    if row.wide:
        return Markup(f'<tr class="diff-hunk">{_NONE}<td colspan="3">{_text(row.wide.pieces)}</td></tr>')
    left, right = row.left, row.right
    before = after = _EMPTY
    if left and left.old:
        removed = left.kind == "removed"
        number = ids.number("L", left.old) if removed else f"<span>{left.old}</span>"
        before = _side(left, f"L{left.old}" if removed else "", number, ids)
    if right and right.new:
        after = _side(right, f"R{right.new}", ids.number("R", right.new), ids)
    return Markup(f"<tr>{before}{after}</tr>")


def _side(line: Line, key: str, number: str, ids: Ids) -> str:
    kind = "" if line.kind == "same" else f" is-{line.kind}"
    place = f' id="{escape(ids.anchor)}-{key}"' if key else ""
    return f'<td class="line-number{kind}"{place}>{number}</td><td class="{kind.strip()}">{_text(line.pieces)}</td>'


def _text(pieces: list[Piece]) -> str:
    return "".join(f'<span class="diff-{kind}">{escape(text)}</span>' if kind else escape(text) for text, kind in pieces)


def anchor(path: str, place: int) -> str:
    """The id of a file of a diff: readable, and unique because of its number."""
    return f"f{place}-" + re.sub(r"[^A-Za-z0-9]+", "-", path)[-40:].strip("-")
