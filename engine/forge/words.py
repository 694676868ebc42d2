"""What a forge says is wrong, in its own words: the message of an answer, and each error by its field and code."""
from typing import Any

from engine.forge.base import clean
from engine.text import one_line

LONGEST = 400  # characters that are shown
DEEPEST = 3    # levels of errors within errors


def words(answer: Any, most: int = LONGEST) -> str:
    """The words of an answer that was read as JSON, on one line; '' if it says nothing.

    GitHub: {"message": "Validation Failed", "errors": [{"resource": "PullRequest", "field": "base", "code": "invalid"}]}.
    GitLab: {"message": {"source_branch": ["is too long"]}}, {"message": ["…"]} or {"error": "title is missing"}."""
    if not isinstance(answer, dict):
        return _line(_values(answer), most)
    main, details = _values(answer.get("message") or answer.get("error")), _values(answer.get("errors"))
    return _line(f"{main.rstrip('.')}. {details}" if main and details else main or details, most)


def _values(value: Any, depth: int = 0) -> str:
    """Text, a list of errors, one error of GitHub's, or GitLab's {field: [texts]}."""
    if isinstance(value, str):
        return value.strip()
    if depth >= DEEPEST:
        return ""
    if isinstance(value, list):
        return "; ".join(part for part in (_values(each, depth + 1) for each in value[:20]) if part)
    if not isinstance(value, dict):
        return ""
    if isinstance(value.get("code"), str) or isinstance(value.get("message"), str):
        return _error(value)
    return "; ".join(f"{name}: {said}" for name, each in list(value.items())[:20] if (said := _values(each, depth + 1)))


def _error(error: dict[str, Any]) -> str:
    """One error of GitHub's. The code custom only says that the message has the words."""
    resource, field, code, message = (value.strip() if isinstance(value := error.get(name), str) else "" for name in ("resource", "field", "code", "message"))
    place = " ".join(part for part in (resource if field or not message else "", field) if part)
    said = " ".join(part for part in (message, f"({code})" if message and code != "custom" and code else "" if message else code) if part)
    return f"{place}: {said}" if place and said else said or place


def _line(text: str, most: int) -> str:
    line = one_line(clean(text, len(text)))
    return line if len(line) <= most else line[:most] + "…"
