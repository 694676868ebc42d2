"""Who looks at a change before it is merged: what a feature says, else its card, else its session."""
from typing import Any

from engine.errors import BadRequest

BY_WORD: dict[str, bool | str] = {"true": True, "false": False, "unchecked": "unchecked"}  # as columns and forms have it; as cards have it


def word_of(review: Any) -> str:
    """What a column holds for a card's word. Raises BadRequest for what is none."""
    for word, value in BY_WORD.items():
        if value is review or value == review == "unchecked":
            return word
    raise BadRequest("review must be true, false or “unchecked”.")


def review_asked(card: dict[str, Any], feature: dict[str, Any], review: bool | str) -> bool | str:
    """True, False or 'unchecked'. review: the session's word."""
    found: bool | str = feature.get("review", card.get("review", review))
    return found


def is_reviewed(asked: bool | str, criteria: list[Any]) -> bool:
    """'unchecked': where no command checks anything."""
    return asked is True or (asked == "unchecked" and all(isinstance(item, str) for item in criteria))
