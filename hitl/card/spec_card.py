"""The spec card, which is approved and then built. Validation checks its shape, texts, meaning and place, each once.

    checked = validate(card, config)                            raises InvalidCard with every problem: details [{path, message}]
    plan = normalise(checked.card, checked.meaning)             titles stripped, criteria in one form, depends_on as indexes
"""
import hashlib
from dataclasses import dataclass
from typing import Any

from engine.config import Config
from engine.errors import InvalidCard
from hitl.card.meaning import Meaning, meaning_of
from hitl.card.place import place_problems
from hitl.card.review_rule import is_reviewed, review_asked
from hitl.card.shape import kind_of, shape_problems
from hitl.card.text import Problem, text_problems
from hitl.card.unknown_keys import warnings_of
from hitl.web.strict_json import canonical


@dataclass(frozen=True)
class Checked:
    """A valid card. `text` is its canonical JSON, `sha256` the hash of that text, `warnings` a list of {path, message}."""

    card: dict[str, Any]
    text: str
    sha256: str
    warnings: list[Problem]
    meaning: Meaning


def validate(card: Any, config: Config | None = None) -> Checked:
    """Checks a card. Raises InvalidCard with all problems. `config` says which repositories are allowed; without it the defaults apply."""
    if not isinstance(card, dict):
        raise invalid([{"path": "", "message": f"The card must be an object, not {kind_of(card)}."}])
    problems = [*shape_problems(card), *text_problems(card)]
    meaning = meaning_of(card)
    problems += [*meaning.problems, *place_problems(card, config or Config())]
    if problems:
        raise invalid(problems)
    text = canonical(card)
    return Checked(card, text, hashlib.sha256(text.encode("utf-8")).hexdigest(), warnings_of(card), meaning)


def invalid(problems: list[Problem]) -> InvalidCard:
    first, more = problems[0], len(problems) - 1
    where = f"{first['path']}: " if first["path"] else ""
    rest = f" There {'is 1 more problem' if more == 1 else f'are {more} more problems'}." if more else ""
    return InvalidCard(f"The spec card is not valid. {where}{first['message']}{rest}", details=problems)


def normalise(card: dict[str, Any], meaning: Meaning, review: bool | str = False) -> dict[str, Any]:
    """A valid card in the form that the build uses: {name, description, checks, review, features: [{title, description,
    acceptance_criteria: [text or {"text", "check"}], depends_on: [index], priority, agent or None, review}]}.

    meaning: the card's meaning. review: the session's review setting, used if the card has none. The review of a feature says whether someone
    sees its change before it is merged; 'unchecked' is resolved for each feature."""
    features = card["features"]
    criteria = [[_criterion(item) for item in feature.get("acceptance_criteria", ())] for feature in features]
    return {
        "name": card["name"].strip(), "description": card.get("description", ""), "checks": card.get("checks", []),
        "review": card.get("review", review),
        "features": [{"title": meaning.titles[number], "description": feature.get("description", ""), "depends_on": meaning.waits_for[number],
                      "acceptance_criteria": criteria[number], "priority": int(feature.get("priority", 0)), "agent": feature.get("agent") or card.get("agent"),
                      "review": is_reviewed(review_asked(card, feature, review), criteria[number])}
                     for number, feature in enumerate(features)],
    }


def _criterion(item: Any) -> Any:
    if isinstance(item, str):
        return item
    return {"text": item["text"], "check": item["check"]} if item.get("check", "").strip() else item["text"]
