"""What routes read of a request beside its body: numbers of the query, texts of the body."""
import re
from typing import Any

from flask import request

from engine.errors import BadRequest

PAGE = 500  # entries in one answer


def number(name: str, default: int, most: int = 2**62, least: int = 0) -> int:
    """A whole number of the query. Raises BadRequest with what is allowed."""
    text = request.args.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,18}", text) or not least <= int(text) <= most:
        raise BadRequest(f"{name} must be a whole number from {least} to {most}.")
    return int(text)


def text_of(body: dict[str, Any], name: str, most: int, default: str = "") -> str:
    """A text of the body. Raises BadRequest with what is allowed."""
    text = body.get(name, default)
    if not isinstance(text, str) or not text.strip() or len(text) > most:
        raise BadRequest(f"{name} must be text of 1 to {most:,} characters.")
    return text


def whole(body: dict[str, Any], name: str) -> int:
    """A whole number of the body. Raises BadRequest."""
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRequest(f"{name} must be a whole number.")
    return value
