"""Checks what a result.json says. A runner of any version wrote it, in a process that may have failed in any way, so nothing in it is believed to have its
type. What decides about the ticket must be right, or the whole result counts as unreadable; what is only shown is left out if it is wrong."""
import re
from collections.abc import Callable
from typing import Any

from engine.text import from_outside, json_from_outside

BYTES = 50_000_000      # of a result.json
TEXT, OUTPUT = 20_000, 20_000   # characters of a reason, and of a check's output
MOST = 10**15           # numbers in what is added up: the sum of thousands of them still has 64 bits
OUTCOMES = ("ok", "no_change", "needs_input", "over_budget", "failed")
_NAME = re.compile(r"[0-9A-Za-z]{1,64}")  # of a commit; git says whether there is one


def parsed(data: bytes) -> Any:
    """The JSON value of a result.json. Raises ValueError."""
    if len(data) > BYTES:
        raise ValueError(f"it has more than {BYTES // 1_000_000} MB")
    return json_from_outside(data)


def checked(values: Any) -> dict[str, Any]:
    """The values of a result.json, as engine.text.json_from_outside() leaves them. Raises ValueError, which names what is wrong."""
    if not isinstance(values, dict):
        raise ValueError("it is no object")
    wrong = next((name for name, is_right in _DECIDES.items() if not is_right(values.get(name))), None)
    if wrong:
        raise ValueError(f"its {wrong!r} is not valid")
    shown = {name: make(values[name]) for name, make in _SHOWN.items() if name in values}
    return {**values, **shown}


def _is_sha(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_question(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("question"), str) and _is_list(value.get("options", []), lambda each: isinstance(each, str))


def _is_list(value: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(is_right, value))


def _is_merge(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("run"), str) and _is_sha(value.get("merge"))


def _is_conflict(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name, ""), str) for name in ("run", "sentence", "detail")) and "run" in value \
        and "sentence" in value


def _reason(value: Any) -> str | None:
    return from_outside(value, TEXT) if isinstance(value, str) else None


def checks_of(value: Any) -> list[dict[str, Any]]:
    """[{text, command, exit, seconds, output, passed}], what there is of each with its type, of a result or of the column runs.checks.

    Text and command stay as long as they are: they are the card's own words, by which a check is found again."""
    return [{name: _OF_CHECK[name](each[name]) if name in _OF_CHECK else each[name] for name in each} for each in value if isinstance(each, dict)] \
        if isinstance(value, list) else []


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


_OF_CHECK: dict[str, Callable[[Any], Any]] = {
    "text": lambda value: str(value or ""), "command": lambda value: str(value or ""), "exit": _number, "seconds": _number,
    "output": lambda value: from_outside(str(value or ""), OUTPUT), "passed": bool}


def _said(value: Any) -> dict[str, Any]:
    """{session, tokens, message}: what there is of it."""
    found = value if isinstance(value, dict) else {}
    texts = {name: from_outside(found[name], TEXT) for name in ("session", "message") if isinstance(found.get(name), str)}
    return {**texts, **({"tokens": _counts(found["tokens"])} if isinstance(found.get("tokens"), dict) else {})}


def _counts(value: Any) -> dict[str, Any]:
    """An object with all its numbers from 0 to MOST."""
    return _bounded(value) if isinstance(value, dict) else {}


def _bounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _bounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_bounded(each) for each in value]
    return min(max(value, 0), MOST) if isinstance(value, int | float) and not isinstance(value, bool) else value


_DECIDES: dict[str, Callable[[Any], bool]] = {
    "run": lambda value: isinstance(value, str),
    "outcome": lambda value: value in OUTCOMES,
    "at": lambda value: isinstance(value, int) and 0 <= value < 2**40,
    "base": lambda value: value is None or _is_sha(value),
    "tip": lambda value: value is None or _is_sha(value),
    "failure": lambda value: value is None or isinstance(value, str),
    "request": lambda value: value is None or _is_question(value),
    "merged": lambda value: value is None or _is_list(value, _is_merge),
    "conflicts": lambda value: value is None or _is_list(value, _is_conflict),
}
_SHOWN: dict[str, Callable[[Any], Any]] = {
    "reason": _reason, "checks": checks_of, "phases": _counts, "said": _said, "usage": _counts,
    "vm": _counts, "wait": lambda value: float(_bounded(_number(value) or 0.0)), "stopped": lambda value: value is True,
    "notes": lambda value: [from_outside(each, TEXT) for each in value if isinstance(each, str)] if isinstance(value, list) else [],
    "ignored": lambda value: from_outside(value, TEXT) if isinstance(value, str) else "",
    "merged": lambda value: value or [], "conflicts": lambda value: value or [],
    "ground": lambda value: _counts(value),
}
