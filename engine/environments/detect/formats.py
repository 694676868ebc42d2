"""Reads the formats of manifests: JSON with comments, TOML, YAML and INI. Contents are foreign: what cannot be read raises ValueError, nothing else."""
import configparser
import json
import re
import tomllib
from typing import Any

DEPTH, NODES = 30, 20_000  # levels and values of a YAML text that are read
DOTS = 200  # in a line of TOML: the time for a key grows with the square of its parts
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^"/,]+|//[^\n]*|/|,', re.DOTALL)
_SPACE = re.compile(r"\s*")


def commented_json(text: str) -> Any:
    """JSON that may have comments and a comma after the last item."""
    parts: list[str] = []
    at = 0
    while at < len(text):
        if text.startswith("/*", at):
            at = text.index("*/", at + 2) + 2  # ValueError: the comment has no end
            continue
        matched = _TOKEN.match(text, at)
        if matched is None:
            raise ValueError("a text in it has no end")
        at = matched.end()
        if not matched[0].startswith("//"):
            parts.append(matched[0])
    return _json("".join(_without_last_commas([part for part in parts if not part.isspace()])))


def _without_last_commas(parts: list[str]) -> list[str]:
    """The parts without each comma that only space and a closing bracket follow."""
    following = [*parts[1:], ""]
    return [part for part, after in zip(parts, following, strict=True) if part != "," or after.lstrip()[:1] not in ("]", "}")]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def toml(text: str) -> dict[str, Any]:
    if any(line.count(".") > DOTS for line in text.split("\n")):
        raise ValueError("a line has too many dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def ini(text: str) -> dict[str, dict[str, str]]:
    """{section: {key: text}}"""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
        return {name: dict(parser.items(name)) for name in parser.sections()}
    except (configparser.Error, AttributeError, TypeError) as error:  # the last two: a line that continues nothing
        raise ValueError(str(error).partition("\n")[0]) from None


def yaml(text: str) -> Any:
    """Maps, lists and texts: a scalar stays the text that it is, so that 3.10 is not 3.1. Tags make nothing. No aliases, one document."""
    try:
        import yaml as library
    except ImportError:
        raise ValueError("PyYAML is not installed, which reads it") from None

    builder = _Builder()
    try:
        for event in library.parse(text, Loader=library.SafeLoader):
            builder.take(type(event).__name__, getattr(event, "value", ""))
    except library.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"line {mark.line + 1}: {error.problem}" if mark else "it is not YAML") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return builder.root


class _Builder:
    """Makes values from the events of a YAML reader, without recursion."""

    def __init__(self) -> None:
        self.root: Any = None
        self._open: list[Any] = []     # maps and lists that have not ended
        self._keys: list[Any] = []     # of each: the key that waits for its value
        self._count = self._documents = 0

    def take(self, kind: str, value: str) -> None:
        if kind == "AliasEvent":
            raise ValueError("it uses an alias (*name), which is not read here")
        if kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                raise ValueError("it has several documents")
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            made: Any = {} if kind.startswith("M") else []
            self._place(made)
            self._open.append(made)
            self._keys.append(None)
            if len(self._open) > DEPTH:
                raise ValueError("it is nested too deeply")
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._open.pop()
            self._keys.pop()
        elif kind == "ScalarEvent":
            self._place(value)

    def _place(self, value: Any) -> None:
        self._count += 1
        if self._count > NODES:
            raise ValueError("it has too many values")
        if not self._open:
            self.root = value
        elif isinstance(self._open[-1], list):
            self._open[-1].append(value)
        elif self._keys[-1] is None:
            self._keys[-1] = value if isinstance(value, str) else ""
        else:
            self._open[-1][self._keys[-1]] = value
            self._keys[-1] = None
