"""Makes foreign text safe: to keep and send at all, for people, for one line, for one word of a shell.

Nothing that comes out of a sandbox or a worker is trusted to be text. Everything of it that becomes text or JSON of ours goes through
from_outside() or json_from_outside(), so that it can be stored, shown and sent anywhere."""
import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

DEEPEST = 100     # levels of foreign JSON that are kept
REPLACED = "\ufffd"  # what a character that is none becomes


def from_outside(data: bytes | str, most: int) -> str:
    """Foreign bytes or text as valid Unicode of at most `most` characters. Bytes that are not UTF-8, lone surrogates (half an emoji) and NUL are
    replaced."""
    return _valid(data[:4 * most].decode("utf-8", "replace")[:most] if isinstance(data, bytes) else data[:most])


def _valid(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:  # halves that stand side by side become their character
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", REPLACED)


def cleaned(value: Any, deepest: int = DEEPEST) -> Any:
    """A value as JSON that everything can store and read. Texts and names are valid Unicode. Numbers that are not finite or need more than 64 bits, and
    what is nested deeper than `deepest`, become None; values of other types become text. Never raises for JSON and its like."""
    if isinstance(value, str):
        return _valid(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -2**63 <= value < 2**63 else None
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping | list | tuple):
        if deepest == 0:
            return None
        if isinstance(value, Mapping):
            return {_valid(str(name)): cleaned(each, deepest - 1) for name, each in value.items()}
        return [cleaned(each, deepest - 1) for each in value]
    return _valid(str(value))


def json_from_outside(data: bytes | str) -> Any:
    """The value of a foreign JSON text, as cleaned() leaves it. Raises ValueError if it is not JSON, or is nested so deeply that it cannot be read."""
    text = from_outside(data, len(data)).lstrip("\ufeff")
    try:
        value = _READER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return cleaned(value) if "\\u" in text or text.count("[") + text.count("{") > DEEPEST else value


def stored(text: str | None, default: Any) -> Any:
    """The JSON value of a column, as cleaned() leaves it; `default` if it is empty, or if someone edited it into a value of another type."""
    try:
        value = json_from_outside(text or "null")
    except ValueError:
        return default
    return value if isinstance(value, type(default)) else default


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= 20 and -2**63 <= int(digits) < 2**63 else None


def _fraction(digits: str) -> float | None:
    value = float(digits)
    return value if isfinite(value) else None


_READER = json.JSONDecoder(parse_int=_whole, parse_float=_fraction, parse_constant=lambda name: None)


def one_line(text: object) -> str:
    """The text with all white space, including line breaks, as single spaces."""
    return " ".join(str(text).split())


def printable(text: str) -> str:
    """The text with backslash escapes for everything that could control a terminal or a browser."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def shown(path: bytes) -> str:
    """A path in a repository, as text for people. The path may contain any bytes except NUL."""
    return printable(path.decode("utf-8", "backslashreplace"))


def quoted(text: str) -> str:
    """Any text as one word for a POSIX shell. NUL is left out, because no shell can hold it."""
    return "'" + text.replace("\0", "").replace("'", "'\\''") + "'"
