"""Reads checked values from a request: numbers of the query, texts and numbers of the body."""
from collections.abc import Mapping
from typing import Any, TypeVar

from flask import request
from werkzeug.routing import BaseConverter

from engine.errors import BadRequest
from hitl.web.numbers import MOST, is_too_large, is_whole, whole_number

PAGE = 500  # entries in one answer
T = TypeVar("T", int, None)


def number(name: str, default: int, most: int = MOST, least: int = 0) -> int:
    """A whole number from the query. Raises BadRequest that names the allowed range."""
    text = request.args.get(name)
    if text is None:
        return default
    value = whole_number(text, least, most)
    if value is None:
        raise BadRequest(f"{name} must be a whole number from {least} to {most}.")
    return value


def number_or(name: str, default: T) -> int | T:
    """A whole number from the query, for pages. Text that is no number gives the default. Raises BadRequest if the number is too large."""
    value = number_in(request.args, name)
    return default if value is None else value


def number_in(values: Mapping[str, str], name: str, most: int = MOST) -> int | None:
    """A whole number from these values; None if there is none up to `most`. Raises BadRequest if the number is too large for any row."""
    text = values.get(name, "")
    if is_too_large(text):
        raise BadRequest(f"{name} is too large. Check the address.")
    return whole_number(text, most=most)


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


class WholeNumber(BaseConverter):
    """<int:name> in an address: ASCII digits, any number of them. guard.check_request() refuses a number that is too large; a converter
    could only make the address unknown."""

    regex = "[0-9]+"

    def to_python(self, value: str) -> int:
        number = whole_number(value.lstrip("0") or "0")
        return MOST + 1 if number is None else number

    def to_url(self, value: Any) -> str:
        return str(int(value))
