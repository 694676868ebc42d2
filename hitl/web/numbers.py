"""Whole numbers as they come from outside: text of ASCII digits (a query, a form), or a JSON integer. Nothing else is one: int() takes other
scripts' digits, signs, spaces and underscores, and str.isdigit() takes what int() does not."""
import re
from typing import Any, TypeGuard

MOST = 2**62


def whole_number(text: str, least: int = 0, most: int = MOST) -> int | None:
    """The number that the text is; None where it is none, or not from `least` (0 or more) to `most`."""
    number = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else -1
    return number if least <= number <= most else None


def is_whole(value: Any, least: int = -MOST, most: int = MOST) -> TypeGuard[int]:
    """Of a JSON value: true and false are no numbers."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
