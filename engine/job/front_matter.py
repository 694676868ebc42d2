"""Where the front matter of a WORKFLOW.md ends, and the small reader of its YAML, for an installation without PyYAML. It knows only what is needed
there; anything else is an error with its line number.

Maps by indentation, lists of scalars (`- one`, `[one, two]`), plain, 'single' and "double" quoted scalars, true, false, null, numbers, block
text (`|`), comments. No anchors, tags, flow maps or several documents, because a foreign file needs only a small parser."""
import re
from typing import Any

from engine.errors import Permanent

FENCE = "---"
DEPTH, LINES = 8, 2000
HOOKS = ("after_create", "before_run", "after_run", "before_remove")
LIMITS = ("run_seconds", "stall_seconds", "check_seconds")
USED = {"hooks": (*HOOKS, "timeout_ms"), "agent": ("name",), "limits": LIMITS}  # what is used of a front matter
ENVIRONMENT = "environment"  # used as a whole: {"value": it}, or {"error": why it cannot be read}
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]{0,99}):(?:\s+(.*))?$")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "/": "/"}


def cut(text: str) -> tuple[list[str], str, int]:
    """(lines of the front matter, rest, number of the rest's first line) of a document; no lines if it has no front matter. Raises Permanent."""
    lines = text.lstrip("\ufeff").replace("\r\n", "\n").split("\n")
    if lines[0].rstrip() != FENCE:
        return [], "\n".join(lines), 1
    end = next((number for number, line in enumerate(lines) if number and line.rstrip() == FENCE), None)
    if end is None:
        raise Permanent(f"Line 1: the front matter has no end. Add a line {FENCE} after it.")
    if end > LINES:
        raise Permanent(f"Line {LINES + 1}: the front matter has more than {LINES} lines.")
    return lines[1:end], "\n".join(lines[end + 1:]), end + 2


def read(lines: list[str]) -> dict[str, Any]:
    """The front matter, from its lines. Raises Permanent with the line of what is not understood."""
    return _Reader(lines).all()


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self.lines, self.at = lines, 0

    def all(self) -> dict[str, Any]:
        found = self._map(0, 0) if self._next() is not None else {}
        if self._next() is not None:
            raise self._wrong("is not indented like the lines before it")
        return found

    def _next(self) -> int | None:
        """The indentation of the next line that is not empty or a comment; None at the end."""
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.strip() and not line.lstrip().startswith("#"):
                if "\t" in line[:len(line) - len(line.lstrip())]:
                    raise self._wrong("is indented with a tab; use spaces")
                return len(line) - len(line.lstrip(" "))
            self.at += 1
        return None

    def _map(self, indent: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if depth > DEPTH:
            raise self._wrong("is nested too deeply")
        while self._next() == indent:
            matched = _KEY.match(self.lines[self.at].strip())
            if matched is None:
                raise self._wrong("is not understood; expected a name, a colon and a value")
            name, rest = matched[1], (matched[2] or "").strip()
            if name in found:
                raise self._wrong(f"repeats the name {name}")
            self.at += 1
            found[name] = self._value(rest, indent, depth)
        return found

    def _value(self, rest: str, indent: int, depth: int) -> Any:
        if rest in ("|", "|-", "|+"):
            return self._text(indent, rest)
        if rest and not rest.startswith("#"):
            self.at -= 1  # for the number of the line
            value = self._scalar(rest)
            self.at += 1
            return value
        deeper = self._next()
        if deeper is not None and deeper >= indent and f"{self.lines[self.at].strip()} ".startswith("- "):
            return self._list(deeper)
        return self._map(deeper, depth + 1) if deeper is not None and deeper > indent else None

    def _list(self, indent: int) -> list[Any]:
        found = []
        while self._next() == indent and self.lines[self.at].lstrip().startswith("-"):
            found.append(self._scalar(self.lines[self.at].strip()[1:].strip()))
            self.at += 1
        return found

    def _text(self, indent: int, how: str) -> str:
        taken: list[str] = []
        while self.at < len(self.lines) and (not self.lines[self.at].strip() or len(self.lines[self.at]) - len(self.lines[self.at].lstrip(" ")) > indent):
            taken.append(self.lines[self.at])
            self.at += 1
        depth = min((len(line) - len(line.lstrip(" ")) for line in taken if line.strip()), default=0)
        text = "\n".join(line[depth:] for line in taken)
        return text if how == "|+" else text.rstrip("\n") + ("\n" if how == "|" and text.strip() else "")

    def _scalar(self, text: str, listed: bool = False) -> Any:
        if text[:1] in ("'", '"'):
            return self._quoted(text)
        text = re.sub(r"(?<!\s)\s+#.*$", "", text)  # the look back makes it one pass over many spaces
        if text[:1] == "[" and text[-1:] == "]" and not listed:
            return [self._scalar(part.strip(), listed=True) for part in text[1:-1].split(",") if part.strip()]
        if text[:1] in "[]{}&*!|>%@`," and text:
            raise self._wrong("uses a part of YAML that is not supported here")
        if re.fullmatch(r"[-+]?\d{1,15}", text):
            return int(text)
        if re.fullmatch(r"[-+]?\d{1,15}\.\d{1,15}", text):
            return float(text)
        return {"true": True, "false": False, "null": None, "~": None, "": None}.get(text, text)

    def _quoted(self, text: str) -> str:
        pattern = r"'((?:[^']|'')*)'\s*(#.*)?" if text[0] == "'" else r'"((?:[^"\\]|\\.)*)"\s*(#.*)?'
        matched = re.fullmatch(pattern, text)
        if matched is None:
            raise self._wrong("has a quote that is not closed")
        if text[0] == "'":
            return matched[1].replace("''", "'")
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), matched[1])

    def _wrong(self, what: str) -> Permanent:
        return Permanent(f"Line {self.at + 2} {what}.")
