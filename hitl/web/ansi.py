"""Makes hostile text safe to show: terminal colours become spans, and every other escape sequence is removed.

    >>> line("\\x1b[31mno\\x1b[0m <b>")
    Markup('<span class="ansi-red">no</span> &lt;b&gt;')
"""
import re

from markupsafe import Markup

COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
LONGEST = 4000  # characters of one line that are shown

# Strings (OSC, DCS, SOS, PM, APC) end at their terminator, or at the end of the line if there is none.
_ESCAPE = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])(?:(?!\x1b\\)[^\x07\x9c])*(?:\x07|\x9c|\x1b\\|$)"
    r"|(?:\x1b\[|\x9b)(?P<codes>[0-?]*)[ -/]*(?P<final>[@-~]|$)"
    r"|\x1b[ -/]*[0-~]?", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
# Marks that reorder or hide text are shown by name, so that people read what the text really contains.
_HIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\u061c\u180e]")


def visible(text: str) -> str:
    """The text without control characters except tabs. Invisible and reordering marks are written as [U+202E]."""
    return _HIDDEN.sub(lambda mark: f"[U+{ord(mark[0]):04X}]", _CONTROL.sub("", text))


def strip(text: str) -> str:
    """One line as plain text, as visible() leaves it, without any escape sequence."""
    return visible(_ESCAPE.sub("", _overwritten(text)))


def line(text: str) -> Markup:
    """One line of a log as escaped HTML. A colour ends with its line. Text that a carriage return overwrote is not shown."""
    text = _overwritten(text)
    cut = len(text) - LONGEST
    if cut > 0:
        text = text[:LONGEST]
    parts, state, at = [], frozenset[str](), 0
    for escape in _ESCAPE.finditer(text):
        parts.append(_span(state, text[at:escape.start()]))
        at = escape.end()
        if escape["final"] == "m":
            state = _after(state, escape["codes"])
    parts.append(_span(state, text[at:]))
    if cut > 0:
        parts.append(Markup('<span class="is-dim"> … {} more characters</span>').format(cut))
    return Markup("").join(parts)


def _overwritten(text: str) -> str:
    return text.rstrip("\r\n").rpartition("\r")[2]


def _span(state: frozenset[str], text: str) -> Markup:
    text = visible(text)
    if not state or not text:
        return Markup.escape(text)
    return Markup('<span class="{}">{}</span>').format(" ".join(sorted(state)), text)


def _after(state: frozenset[str], codes: str) -> frozenset[str]:
    """The style after ESC [ codes m. Backgrounds and colours beyond the 16 are ignored, because their contrast may be too low."""
    if not re.fullmatch(r"[0-9;:]*", codes):
        return state
    numbers = [int(code or 0) for code in re.split("[;:]", codes[:64])]
    while numbers:
        number = numbers.pop(0)
        if number == 0:
            state = frozenset()
        elif number in (38, 48):
            numbers = numbers[2:] if numbers[:1] == [5] else numbers[4:]
            state = _without_colour(state) if number == 38 else state
        elif 30 <= number <= 37 or 90 <= number <= 97:
            state = _without_colour(state) | {"ansi-" + COLOURS[number % 10]}
        elif number == 39:
            state = _without_colour(state)
        elif number == 1:
            state = state | {"ansi-bold"}
        elif number == 2:
            state = state | {"is-dim"}
        elif number == 22:
            state = state - {"ansi-bold", "is-dim"}
    return state


def _without_colour(state: frozenset[str]) -> frozenset[str]:
    return state - {"ansi-" + colour for colour in COLOURS}
