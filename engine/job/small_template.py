"""The small reader of a template, for an installation without python-liquid: {{ names }}, {% if name %}, {% else %}, {% endif %}."""
import re
from collections.abc import Iterator
from typing import Any

from engine.errors import Permanent

_OPEN = re.compile(r"\{\{|\{%")
DEPTH = 50  # of conditions in conditions
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def check(template: str, line: int) -> None:
    """Checks a template before anything runs. Raises Permanent for a tag that is not closed or not known. line: of its first line in the file."""
    _render(template, None, line)


def render(template: str, values: dict[str, Any], line: int) -> str:
    """Fills the template with values. Raises Permanent for an unknown name, and names it and its line."""
    return _render(template, values, line)


def _render(template: str, values: dict[str, Any] | None, first: int) -> str:
    """values None: accept every name."""
    parts: list[str] = []
    shown: list[bool] = []  # for each open {% if %}: True if its branch is shown
    at, line = 0, first
    for start, end, is_value, inner in _tags(template, first):
        line += template.count("\n", at, start)
        parts += [template[at:start]] if all(shown) else []
        if is_value:
            value = _value(inner.strip(), values, line)
            parts += [text_of(value)] if all(shown) else []
        else:
            _branch(inner.removeprefix("-").removesuffix("-").strip(), shown, values, line)
        line += template.count("\n", start, end)
        at = end
    if shown:
        raise Permanent(f"Line {line + template.count(chr(10), at)}: the template ends before the end of an {{% if %}}.")
    return "".join([*parts, template[at:]])


def _tags(template: str, first: int) -> Iterator[tuple[int, int, bool, str]]:
    """(start, end, whether it is {{ … }}, what is in it) of each tag. A foreign file is read in one pass."""
    at = 0
    while opened := _OPEN.search(template, at):
        end = template.find("}}" if opened[0] == "{{" else "%}", opened.end())
        if end < 0:
            raise Permanent(f"Line {first + template.count(chr(10), 0, opened.start())}: the template has a tag that is not closed.")
        at = end + 2
        yield opened.start(), at, opened[0] == "{{", template[opened.end():end]


def _branch(tag: str, shown: list[bool], values: dict[str, Any] | None, line: int) -> None:
    """Opens, turns or closes a condition."""
    word, _, rest = tag.partition(" ")
    if word == "if" and len(shown) == DEPTH:
        raise Permanent(f"Line {line}: the template has more than {DEPTH} conditions in each other.")
    if word == "if":
        shown.append(bool(_value(rest.strip(), values, line)))
    elif word in ("else", "endif") and shown and not rest:
        shown[-1:] = [not shown[-1]] if word == "else" else []
    else:
        raise Permanent(f"Line {line}: the template has {{% {tag[:60]} %}}, which is unknown or in a wrong place.")


def _value(path: str, values: dict[str, Any] | None, line: int) -> Any:
    if not _PATH.fullmatch(path):
        raise Permanent(f"Line {line}: the template has {{{{ {path[:60]} }}}}. Only names are allowed there, no filters and no other expressions.")
    if values is None:
        return ""
    found: Any = values
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            raise Permanent(f"Line {line}: the template uses {path}, which is not a variable.")
        found = found[name]
    return found


def text_of(value: Any) -> str:
    """A value in a prompt: each item of a list on a line of its own, a ticket by its identifier."""
    if value is None or value is False:
        return ""
    if isinstance(value, dict):
        return text_of(value.get("identifier"))
    return "\n".join(f"- {text_of(each)}" for each in value) if isinstance(value, list | tuple) else str(value)
