"""Strict JSON: it accepts only JSON that every reader understands in the same way.

It refuses other encodings than UTF-8, duplicate keys, NaN and Infinity, NUL and lone surrogates in texts, whole numbers beyond 64 bits,
numbers too large for a float, and nesting deeper than 100. Each error says what is wrong and where."""
import hashlib
import json
import math
import re
from typing import Any, NoReturn

from engine.errors import BadRequest

DEEPEST = 100
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|[\[\]{}]|-?(?:\d[\d.eE+-]*|Infinity|NaN)', re.S)
_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.S)  # a string without its end goes to the end of the text
_AS_GIVEN = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.S)


class _Unacceptable(Exception):
    """Raised inside the parser's hooks, which do not know their position. The position of .token is found afterwards."""

    def __init__(self, what: str, token: str | None) -> None:
        super().__init__(what)
        self.what, self.token = what, token


def parse(body: bytes) -> Any:
    """The value of a JSON text. Raises BadRequest with `line` and `column`, both counted from 1."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        before = body[:error.start].decode("utf-8")
        _refuse(before, len(before), "The body is not UTF-8")
    _check_depth(text)
    if "\\u" in text:
        _check_escapes(text)
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
    except json.JSONDecodeError as error:
        _refuse(text, error.pos, f"The body is not valid JSON: {error.msg}")
    except _Unacceptable as error:
        _refuse(text, _duplicate(text) if error.token is None else _number(text, error.token), error.what)


def canonical(value: Any) -> str:
    """The canonical JSON text of a value: sorted keys, no white space, characters unescaped. Raises ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def as_given(value: Any) -> str:
    """The JSON text of a value with its keys in their given order."""
    return _AS_GIVEN(value)


def sha256(value: Any) -> str:
    """The SHA-256 of the canonical text in UTF-8, in hex."""
    return hashlib.sha256(canonical(value).encode("utf-8")).hexdigest()


def _refuse(text: str, position: int, what: str) -> NoReturn:
    line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
    raise BadRequest(f"{what} (line {line}, column {column}).", line=line, column=column) from None


def _check_depth(text: str) -> None:
    """Checks the nesting before json.loads, which would use up the stack."""
    depth = 0
    for match in _BRACKET.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            if depth > DEEPEST:
                _refuse(text, match.start(), f"The JSON is nested deeper than {DEEPEST} levels")
        elif first != '"':
            depth -= 1


def _check_escapes(text: str) -> None:
    """Refuses escapes that are not a character: NUL, and half of a surrogate pair."""
    high = -1  # the end of the last high surrogate; escapes occur outside strings only in broken JSON
    start = 0
    for match in _ESCAPE.finditer(text):
        code = int(match[1], 16) if match[1] else -1
        low = 0xDC00 <= code <= 0xDFFF
        if high >= 0 and not (low and match.start() == high):
            _refuse(text, start, "A text has half of a surrogate pair, which is not a character")
        if code == 0:
            _refuse(text, match.start(), "A text contains NUL (\\u0000)")
        if low and high < 0:
            _refuse(text, match.start(), "A text has half of a surrogate pair, which is not a character")
        high, start = (match.end(), match.start()) if 0xD800 <= code <= 0xDBFF else (-1, 0)
    if high >= 0:
        _refuse(text, start, "A text has half of a surrogate pair, which is not a character")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Unacceptable(f"The key {_short(twice)} occurs twice in one object", None)
    return value


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -2**63 <= int(digits) < 2**63:
        raise _Unacceptable(f"The number {_short(digits)} does not fit in 64 bits", digits)
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise _Unacceptable(f"The number {_short(digits)} is too large", digits)
    return value


def _constant(name: str) -> NoReturn:
    raise _Unacceptable(f"{name} is not JSON", name)


def _short(text: str) -> str:
    return json.dumps(text if len(text) <= 40 else text[:30] + "…", ensure_ascii=False)


def _number(text: str, token: str) -> int:
    return next((m.start() for m in _TOKEN.finditer(text) if m[0] == token), 0)


def _duplicate(text: str) -> int:
    """The position of the first key that its object already has."""
    objects: list[set[str]] = []
    for match in _TOKEN.finditer(text):
        first = text[match.start()]
        if first in "[{":
            objects.append(set())
        elif first in "]}":
            objects.pop()
        elif match[1]:
            key = json.loads(match[0][:-len(match[1])])
            if key in objects[-1]:
                return match.start()
            objects[-1].add(key)
    return 0
