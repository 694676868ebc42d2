"""Rows of a diff as a page shows them, in one column or in two: changed lines next to the old lines, with different words marked."""
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from hitl.changes.diff_text import Piece, marked
from hitl.changes.parse import Row


@dataclass(slots=True)
class Line:
    """A row with its text in pieces."""

    kind: str
    old: int | None
    new: int | None
    pieces: list[Piece]


@dataclass(slots=True)
class Pair:
    """A row of two columns; wide: a line that spans both columns."""

    left: Line | None = None
    right: Line | None = None
    wide: Line | None = None


def unified(rows: list[Row]) -> list[Line]:
    return [line for before, after in _blocks(rows) for line in (*before, *after)]


def split(rows: list[Row]) -> list[Pair]:
    found: list[Pair] = []
    for before, after in _blocks(rows):
        if before and before[0].kind in ("hunk", "note"):
            found += [Pair(wide=line) for line in before]
        elif before and before[0].kind == "same":
            found += [Pair(line, line) for line in before]
        else:
            found += [Pair(left, right) for left, right in zip_longest(before, after)]
    return found


def _blocks(rows: list[Row]) -> Iterator[tuple[list[Line], list[Line]]]:
    """(removed lines, the lines added in their place). Any other row is a block of its own, as the first of the two.

    A note between them (no newline at the end of the file) comes after both and does not split the block."""
    at = 0
    while at < len(rows):
        before, at = _of("removed", rows, at)
        note = rows[at:at + 1] if before and rows[at:at + 1] and rows[at].kind == "note" and rows[at + 1:at + 2] and rows[at + 1].kind == "added" else []
        after, at = _of("added", rows, at + len(note))
        if before or after:
            yield _compared(before, after)
            yield from (([_line(each)], []) for each in note)
        else:
            yield [_line(rows[at])], []
            at += 1


def _of(kind: str, rows: list[Row], at: int) -> tuple[list[Row], int]:
    end = at
    while end < len(rows) and rows[end].kind == kind:
        end += 1
    return rows[at:end], end


def _compared(before: list[Row], after: list[Row]) -> tuple[list[Line], list[Line]]:
    left, right = [], []
    for old, new in zip_longest(before, after):
        if old and new:
            one, other = marked(old.raw, new.raw)
            left.append(Line(old.kind, old.old, None, one))
            right.append(Line(new.kind, None, new.new, other))
        elif old:
            left.append(_line(old))
        elif new:
            right.append(_line(new))
    return left, right


def _line(row: Row) -> Line:
    return Line(row.kind, row.old, row.new, row.pieces)
