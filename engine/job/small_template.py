"""The small reader of a template, for an installation without python-liquid: {{ names }}, {% if name %}, {% else %}, {% endif %}."""
import re
from typing import Any

from engine.errors import Permanent

_TAG = re.compile(r"\{\{(.*?)\}\}|\{%-?(.*?)-?%\}", re.DOTALL)
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
    for tag in _TAG.finditer(template):
        line += template.count("\n", at, tag.start())
        parts += [template[at:tag.start()]] if all(shown) else []
        at = tag.end()
        if tag[1] is not None:
            value = _value(tag[1].strip(), values, line)
            parts += [text_of(value)] if all(shown) else []
        else:
            _branch(tag[2].strip(), shown, values, line)
        line += tag[0].count("\n")
    rest_of = template[at:]
    if shown or "{{" in rest_of or "{%" in rest_of:
        raise Permanent(f"Line {line}: the template has a tag that is not closed, here or below.")
    return "".join([*parts, rest_of])


def _branch(tag: str, shown: list[bool], values: dict[str, Any] | None, line: int) -> None:
    """Opens, turns or closes a condition."""
    word, _, rest = tag.partition(" ")
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
