"""Reads checked values from a request: numbers of the query, texts and numbers of the body."""
from typing import Any

from flask import request

from engine.errors import BadRequest
from hitl.web.numbers import MOST, is_whole, whole_number

PAGE = 500  # entries in one answer


def number(name: str, default: int, most: int = MOST, least: int = 0) -> int:
    """A whole number from the query. Raises BadRequest that names the allowed range."""
    text = request.args.get(name)
    if text is None:
        return default
    value = whole_number(text, least, most)
    if value is None:
        raise BadRequest(f"{name} must be a whole number from {least} to {most}.")
    return value


def number_or(name: str, default: int) -> int:
    """A whole number from the query, for pages. Any other text gives the default."""
    value = whole_number(request.args.get(name, ""))
    return default if value is None else value


def text_of(body: dict[str, Any], name: str, most: int, default: str = "") -> str:
    """A text from the body. Raises BadRequest that names the allowed length."""
    text = body.get(name, default)
    if not isinstance(text, str) or not text.strip() or len(text) > most:
        raise BadRequest(f"{name} must be text of 1 to {most:,} characters.")
    return text


def whole(body: dict[str, Any], name: str) -> int:
    """A whole number from the body. Raises BadRequest."""
    value = body.get(name)
    if not is_whole(value):
        raise BadRequest(f"{name} must be a whole number.")
    return value
