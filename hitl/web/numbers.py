"""Whole numbers from outside: text of ASCII digits (a query, a form), or a JSON integer. Nothing else counts as a number here: int() also accepts
digits of other scripts, signs, spaces and underscores, and str.isdigit() accepts text that int() refuses."""
import re
from typing import Any, TypeGuard

MOST = 2**62


def whole_number(text: str, least: int = 0, most: int = MOST) -> int | None:
    """The number in the text; None if the text is not a number from `least` (0 or more) to `most`."""
    number = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else -1
    return number if least <= number <= most else None


def is_whole(value: Any, least: int = -MOST, most: int = MOST) -> TypeGuard[int]:
    """Whether a JSON value is a whole number in this range. true and false are not numbers."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_too_large(text: str) -> bool:
    """Whether the text is a whole number that no row can have."""
    return re.fullmatch(r"0*[1-9][0-9]{18,}", text) is not None
