"""Whether someone reviews a change before it is merged: the feature decides, otherwise its card, otherwise its session."""
from typing import Any

from engine.errors import BadRequest

BY_WORD: dict[str, bool | str] = {"true": True, "false": False, "unchecked": "unchecked"}  # the word in columns and forms: the value in cards


def word_of(review: Any) -> str:
    """The word in a column for the value in a card. Raises BadRequest for an invalid value."""
    for word, value in BY_WORD.items():
        if value is review or value == review == "unchecked":
            return word
    raise BadRequest("review must be true, false or “unchecked”.")


def review_asked(card: dict[str, Any], feature: dict[str, Any], review: bool | str) -> bool | str:
    """The review setting of a feature: True, False or 'unchecked'. review: the session's setting."""
    found: bool | str = feature.get("review", card.get("review", review))
    return found


def is_reviewed(asked: bool | str, criteria: list[Any]) -> bool:
    """Whether the change of a feature is reviewed. 'unchecked' means yes if no criterion has a command."""
    return asked is True or (asked == "unchecked" and all(isinstance(item, str) for item in criteria))
