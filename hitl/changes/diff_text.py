"""A line of a diff in pieces: invisible characters are spelled out, and differences between two lines are marked.

    >>> marked("token = a()", "token = b()")
    ([('token = ', ''), ('a', 'word'), ('()', '')], [('token = ', ''), ('b', 'word'), ('()', '')])
"""
import re
from difflib import SequenceMatcher
from unicodedata import category

Piece = tuple[str, str]     # text, and '' or 'word' (it differs), 'hidden' (the name of an invisible character)

LONGEST = 2_000             # characters of a line that are shown
_PLAIN = re.compile(r"[\t\x20-\x7e]*")
_TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # letters and marks that show nothing
_SHOWN = frozenset("\t\u3000\ufe0e\ufe0f")
_MOST_TOKENS = 60           # of the part that differs, on both sides together; a longer part is marked as a whole
_LEAST_ALIKE = 0.4          # of the longer line; lines with less in common are not compared


def is_hidden(char: str) -> bool:
    """True for control characters, unusual spaces, marks that reorder or hide text, and variation selectors that could carry a message."""
    if char in _SHOWN:
        return False
    return not char.isprintable() or char in _FILLERS or (category(char) == "Mn" and ("\ufe00" <= char <= "\ufe0d" or char >= "\U000e0100"))


def spelled(text: str) -> list[Piece]:
    """The text in pieces, with invisible characters spelled out, also a carriage return at the end."""
    cut = len(text) - LONGEST
    text = text[:LONGEST]
    if _PLAIN.fullmatch(text):
        found: list[Piece] = [(text, "")] if text else []
    else:
        found = []
        for char in text:
            hidden = is_hidden(char)
            if hidden:
                found.append((f"[U+{ord(char):04X}]", "hidden"))
            elif found and not found[-1][1]:
                found[-1] = (found[-1][0] + char, "")
            else:
                found.append((char, ""))
    return [*found, (f" … {cut:,} more characters", "hidden")] if cut > 0 else found


def visible(text: str) -> str:
    return "".join(piece for piece, _ in spelled(text))


def marked(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    """Both lines in pieces, with the differences marked as 'word'. Nothing is marked if the lines have little in common."""
    if max(len(before), len(after)) > LONGEST or not before.strip() or not after.strip():
        return spelled(before), spelled(after)
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    left, right = old[start:len(old) - end], new[start:len(new) - end]
    same = _same(left, right)
    alike = sum(map(len, old[:start])) + sum(map(len, old[len(old) - end:])) + sum(len("".join(left[a:a + n])) for a, _, n in same)
    if alike < _LEAST_ALIKE * max(len(before), len(after)):
        return spelled(before), spelled(after)
    head, tail = "".join(old[:start]), "".join(old[len(old) - end:])
    return (_pieces(head, left, [(a, n) for a, _, n in same], tail), _pieces(head, right, [(b, n) for _, b, n in same], tail))


def _same(left: list[str], right: list[str]) -> list[tuple[int, int, int]]:
    """The common parts: [(place in the first, place in the second, number of tokens)]. White space alone does not count."""
    if not left or not right or len(left) + len(right) > _MOST_TOKENS:
        return []
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    return [(a, b, n) for a, b, n in blocks if n and "".join(left[a:a + n]).strip()]


def _pieces(head: str, middle: list[str], same: list[tuple[int, int]], tail: str) -> list[Piece]:
    parts, at = [(head, "")], 0
    for start, count in same:
        parts += [("".join(middle[at:start]), "word"), ("".join(middle[start:start + count]), "")]
        at = start + count
    parts += [("".join(middle[at:]), "word"), (tail, "")]
    found: list[Piece] = []
    for text, kind in parts:
        for piece, own in spelled(text):
            if found and not own and found[-1][1] == kind:
                found[-1] = (found[-1][0] + piece, kind)
            else:
                found.append((piece, own or kind))
    return found
