"""The differences between two lists of texts as opcodes, in the form of difflib, in a time that grows with the lists and not with their square.

difflib compares small lists. Its time can grow with the cube of their length, so the parts of long lists are first found by the texts that both
have once: what stands between two of them is compared alone, or counts as replaced if it is too long for difflib, too."""
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher

Opcode = tuple[str, int, int, int, int]  # equal, replace, delete or insert; from and to in the first list, from and to in the second
MOST_STEPS = 100_000  # of difflib for one comparison: 300 different texts, or 45 equal ones


def opcodes(old: list[str], new: list[str]) -> list[Opcode]:
    """What turns the first list into the second."""
    if _is_quick(old, new):
        return list(SequenceMatcher(None, old, new, autojunk=False).get_opcodes())
    found: list[Opcode] = []
    for each in _parts(old, new):
        what, i, i_end, j, j_end = each
        if found and found[-1][0] == what == "equal":
            found[-1] = ("equal", found[-1][1], i_end, found[-1][3], j_end)
        elif i < i_end or j < j_end:
            found.append(each)
    return found


def _is_quick(old: list[str], new: list[str]) -> bool:
    counts = Counter(new)
    pairs = sum(counts[text] for text in old)  # each is looked at in every step, and each step finds a common part
    return (pairs + len(old)) * min(len(old), len(new)) <= MOST_STEPS


def _parts(old: list[str], new: list[str]) -> Iterator[Opcode]:
    """The opcodes of what stands between the places that both lists have in common, and of these places."""
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    at, to = head, head
    yield "equal", 0, head, 0, head
    for i, j in [*_anchors(old, new, head, tail), (len(old) - tail, len(new) - tail)]:
        yield from _between(old[at:i], new[to:j], at, to)
        same = 1 if i < len(old) - tail else tail
        yield "equal", i, i + same, j, j + same
        at, to = i + same, j + same


def _between(old: list[str], new: list[str], i: int, j: int) -> Iterator[Opcode]:
    if not old or not new or not _is_quick(old, new):
        yield "replace" if old and new else "delete" if old else "insert", i, i + len(old), j, j + len(new)
        return
    for what, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        yield what, i + i1, i + i2, j + j1, j + j2


def _common(old: list[str], new: list[str]) -> int:
    """How many texts both begin with."""
    return next((n for n, (left, right) in enumerate(zip(old, new, strict=False)) if left != right), min(len(old), len(new)))


def _anchors(old: list[str], new: list[str], head: int, tail: int) -> list[tuple[int, int]]:
    """The places of a longest sequence of texts that both lists have once, in the middle, in the same order."""
    left, right = ({text: place for place, text in enumerate(side[head:len(side) - tail], head)} for side in (old, new))
    counts = Counter(old[head:len(old) - tail]), Counter(new[head:len(new) - tail])
    pairs = [(place, right[text]) for text, place in left.items() if counts[0][text] == counts[1][text] == 1]
    return [pairs[n] for n in longest([j for _, j in pairs])]


def longest(numbers: list[int]) -> list[int]:
    """The places of a longest rising sequence of different numbers."""
    tails: list[int] = []
    ends: list[int] = []
    previous: list[int] = []
    for place, number in enumerate(numbers):
        at = bisect_left(tails, number)
        tails[at:at + 1], ends[at:at + 1] = [number], [place]
        previous.append(ends[at - 1] if at else -1)
    found, place = list[int](), ends[-1] if ends else -1
    while place >= 0:
        found.append(place)
        place = previous[place]
    return found[::-1]
