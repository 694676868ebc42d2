"""The coverage scan: which topics a card covers and which are missing. Pure functions of the card."""
import re
from collections.abc import Callable
from typing import Any

from hitl.card.text import key

LABELS = {
    "goal": "Users and goal", "features": "Features", "acceptance": "Acceptance", "scope": "Out of scope",
    "technical": "Technical constraints", "repository": "Repository and base branch", "checks": "Checks", "risks": "Risks",
}  # in the order in which they are asked
GOAL, SCOPE, RISKS = "For: ", "Out of scope: ", "Risks: "  # how an answer starts in the card

_PEOPLE = re.compile(r"\b(users?|customers?|clients?|people|persons?|teams?|developers?|admins?|administrators?|visitors?|students?|players?"
                     r"|operators?|readers?|as an?\b[^.\n]{1,80}\bi (?:want|need|can))\b", re.I)
_SCOPE = re.compile(r"\b(out of scope|non-?goals?|not (?:in|part of) (?:the )?scope|will not|won't|excluded|not included)\b", re.I)
_TECHNICAL = re.compile(r"\b(python|javascript|typescript|rust|golang|go 1|java|kotlin|ruby|php|c\+\+|c#|swift|bash|shell|sql|sqlite|postgres\w*|mysql"
                        r"|react|vue|svelte|django|flask|fastapi|node(?:\.js)?|html|css|docker|linux|windows|macos|standard library)\b", re.I)
_RISKS = re.compile(r"\b(risks?|security|privacy|personal data|passwords?|payments?|data loss|migration|backwards? compatib\w+)\b", re.I)


def is_placeholder(card: dict[str, Any]) -> bool:
    """True if the card's only feature stands for the whole idea: it has the card's name and no criteria."""
    features = _features(card)
    return len(features) == 1 and not features[0].get("acceptance_criteria") and \
        key(str(features[0].get("title", ""))) == key(str(card.get("name", "")))


def lacking(card: dict[str, Any], repository: str | None) -> list[str]:
    """The topics that the card does not cover, in the order of the questions. `repository`: the session's repository, or None."""
    return [topic for topic, covered in _COVERED.items() if not covered(card, repository)]


def _features(card: dict[str, Any]) -> list[dict[str, Any]]:
    found = card.get("features")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def texts(card: dict[str, Any], *names: str) -> str:
    """All texts of the card: of its properties `names` and of its features."""
    found: list[str] = []
    for name in names:
        value = card.get(name)
        found += [value] if isinstance(value, str) else [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
    for feature in _features(card):
        found += [value for value in (feature.get("title"), feature.get("description")) if isinstance(value, str)]
        found += criteria_texts(feature)
    return "\n".join(found)


def criteria_texts(feature: dict[str, Any]) -> list[str]:
    items = feature.get("acceptance_criteria")
    found = [item.get("text") if isinstance(item, dict) else item for item in items] if isinstance(items, list) else []
    return [text for text in found if isinstance(text, str)]


def _has_check(feature: dict[str, Any]) -> bool:
    items = feature.get("acceptance_criteria")
    return isinstance(items, list) and any(isinstance(item, dict) and item.get("check") for item in items)


def _goal(card: dict[str, Any], repository: str | None) -> bool:
    text = texts(card, "description")
    return re.search("^" + GOAL, text, re.M) is not None or _PEOPLE.search(text) is not None


def _scope(card: dict[str, Any], repository: str | None) -> bool:
    return _SCOPE.search(texts(card, "description", "technical_requirements")) is not None


def _technical(card: dict[str, Any], repository: str | None) -> bool:
    own = [item for item in card.get("technical_requirements") or [] if isinstance(item, str) and not item.startswith(RISKS)]
    return bool(own) or _TECHNICAL.search(texts(card, "name", "description")) is not None


def _risks(card: dict[str, Any], repository: str | None) -> bool:
    return _RISKS.search(texts(card, "description", "technical_requirements")) is not None


_COVERED: dict[str, Callable[[dict[str, Any], str | None], bool]] = {
    "goal": _goal,
    "features": lambda card, repository: bool(_features(card)) and not is_placeholder(card),
    "acceptance": lambda card, repository: all(each.get("acceptance_criteria") for each in _features(card)) and bool(_features(card)),
    "scope": _scope,
    "technical": _technical,
    "repository": lambda card, repository: bool(card.get("repository") or repository),
    "checks": lambda card, repository: bool(card.get("checks")) or any(_has_check(each) for each in _features(card)),
    "risks": _risks,
}
assert list(_COVERED) == list(LABELS)
