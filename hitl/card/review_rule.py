"""Who looks at a change before it is merged: what a feature says, else its card, else its session."""
from typing import Any


def review_asked(card: dict[str, Any], feature: dict[str, Any], review: bool | str) -> bool | str:
    """True, False or 'unchecked'. review: the session's word."""
    found: bool | str = feature.get("review", card.get("review", review))
    return found


def is_reviewed(asked: bool | str, criteria: list[Any]) -> bool:
    """'unchecked': where no command checks anything."""
    return asked is True or (asked == "unchecked" and all(isinstance(item, str) for item in criteria))
