"""Texts of a card may contain only what people can see. Hidden characters could give an agent instructions that nobody approved."""
import difflib
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

Problem = dict[str, str]  # {"path": where in the card, "message": a sentence}

# Joiners are allowed only between two characters of a script or emoji that uses them. A variation selector is allowed once after a
# character that has variants. A selector after each letter of a sentence could be a second, invisible sentence.
_JOINED = "[^\x00-\u02ff\u2000-\u206f]"
_VARIED = "[0-9#*\u00a9\u00ae\u1000-\u1fff\u2030-\ud7ff\U0001f000-\U0001ffff]"
_IDEOGRAPH = "[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
_SELECTORS, _IDEOGRAPHIC = "\ufe00-\ufe0f", "\U000e0100-\U000e01ef"
_NEVER = ("\x00-\x08\x0b-\x1f\x7f-\x9f\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
          "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e00ff\U000e01f0-\U000e0fff")
_HIDDEN = re.compile(f"[{_NEVER}]|(?<!{_JOINED})[\u200c\u200d]|[\u200c\u200d](?!{_JOINED})"
                     f"|(?<!{_VARIED})(?<!{_IDEOGRAPH})[{_SELECTORS}]|(?<!{_IDEOGRAPH})[{_IDEOGRAPHIC}]")
_SUSPECT = re.compile(f"[{_NEVER}\u200c\u200d{_SELECTORS}{_IDEOGRAPHIC}]")  # fast, because it is one set of characters
_SUSPECT_ASCII = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_TURNS = "a character that changes the direction of text"
_KINDS = (("\ud800", "\udfff", "half of a surrogate pair"), ("\U000e0000", "\U000e007f", "an invisible tag character"),
          ("\x00", "\x1f", "a control character"), ("\x7f", "\x9f", "a control character"),
          ("\u202a", "\u202e", _TURNS), ("\u2066", "\u2069", _TURNS), ("\u200e", "\u200f", _TURNS), ("\u061c", "\u061c", _TURNS))


def key(title: str) -> str:
    """Two titles are the same title if their keys are equal."""
    return title.strip().lower() if title.isascii() else unicodedata.normalize("NFC", title).strip().casefold()


def shorten(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[:length - 1] + "…"


def step(path: str, name: str | int) -> str:
    """The path one level deeper: features[2].title."""
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{shorten(name, 80)}" if path else shorten(name, 80)


def text_problems(value: Any) -> list[Problem]:
    """A problem for every text and key with a forbidden character, and for every value that is not JSON."""
    texts, pending = [], [value]
    for item in pending:  # first one search in all texts, without paths: it is ten times as fast, and nearly every card is clean
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, dict):
            pending += item
            pending += item.values()
        elif isinstance(item, list):
            pending += item
        elif not _is_scalar(item):
            return list(_search(value, ""))
    together = "\n".join(texts)
    suspect = _SUSPECT_ASCII if together.isascii() else _SUSPECT
    return list(_search(value, "")) if suspect.search(together) else []


def hidden_in(text: str) -> list[str]:
    """The forbidden characters of a text, each once, in their order, as U+200B. Ends of lines may be those of a form."""
    return list(dict.fromkeys(f"U+{ord(mark):04X}" for mark in _HIDDEN.findall(text.replace("\r\n", "\n"))))


def without_hidden(text: str) -> str:
    """The text without its forbidden characters."""
    text, found = text.replace("\r\n", "\n"), 1
    while found:  # without its neighbour a joiner can be forbidden, too
        text, found = _HIDDEN.subn("", text)
    return text


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _search(value: Any, path: str) -> Iterator[Problem]:
    if isinstance(value, str):
        if found := _HIDDEN.search(value):
            yield {"path": path, "message": _describe(value, found.start())}
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                yield {"path": path, "message": "A key must be text."}
            elif found := _HIDDEN.search(name):
                yield {"path": path, "message": "A key has a problem: " + _describe(name, found.start())}
            else:
                yield from _search(item, step(path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _search(item, step(path, number))
    elif not _is_scalar(value):
        yield {"path": path, "message": "This is not a JSON value."}


def _describe(text: str, position: int) -> str:
    character = text[position]
    what = next((what for low, high, what in _KINDS if low <= character <= high), "an invisible character")
    hint = " Use \\n alone to end a line." if character == "\r" else ""
    return f"Contains {what}, U+{ord(character):04X}, at position {position + 1}.{hint}"


class Nearest:
    """Finds the name that may have been meant. Comparing is slow, so it stops suggesting when its budget is used up."""

    def __init__(self, names: Iterable[str], budget: int = 500_000) -> None:
        self._given, self._names, self._cost, self._budget = names, dict[str, str](), 0, budget
        self._known: dict[str, str | None] = {}

    def to(self, name: str) -> str | None:
        if not self._cost:
            self._names = {key(each): each for each in self._given if 0 < len(each) <= 300}
            self._cost = sum(map(len, self._names)) + 1
        wanted = key(name[:300])
        if wanted not in self._known and self._cost <= self._budget:
            self._budget -= self._cost
            found = difflib.get_close_matches(wanted, self._names, n=1)
            self._known[wanted] = self._names[found[0]] if found else None
        return self._known.get(wanted)
