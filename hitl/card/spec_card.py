"""The spec card: what a person approves, and what is built. Shape in spec_card.schema.json, meaning here.

    checked = validate(card, config)     raises InvalidCard with every problem: details [{path, message}]
    plan = normalise(checked.card)       titles stripped, criteria in one form, depends_on as indexes
"""
import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from engine.config import Config
from engine.errors import BadRequest, InvalidCard
from engine.git.source import validate_source
from hitl.card import graph as card_graph
from hitl.card.review_rule import is_reviewed, review_asked
from hitl.card.text import Nearest, Problem, shorten, step, text_problems
from hitl.web.strict_json import canonical

SCHEMA = json.loads(Path(__file__).with_name("spec_card.schema.json").read_text(encoding="utf-8"))
_FEATURE, _CRITERION, _BUDGET = SCHEMA["$defs"]["feature"], SCHEMA["$defs"]["criterion"], SCHEMA["properties"]["budget"]
_AGENT = re.compile(r"[a-z][a-z0-9_-]*")
_BRANCH = re.compile(r"(?![-/.])(?!.*(?:\.\.|//|@\{|/\.|\.lock(?:/|$)))[^\x00-\x20~^:?*\[\\\x7f]+(?<![/.])")


def _without_items(schema: dict[str, Any]) -> dict[str, Any]:
    features = {name: value for name, value in schema["properties"]["features"].items() if name != "items"}
    return {**schema, "properties": {**schema["properties"], "features": features}}


def _limits(schema: Any, *names: str) -> set[int]:
    """The values from which on one of these keywords judges differently."""
    if isinstance(schema, list):
        return set().union(*(_limits(item, *names) for item in schema))
    if not isinstance(schema, dict):
        return set()
    own = {value + name.startswith("max") for name, value in schema.items() if name in names and isinstance(value, int)}
    return own.union(*(_limits(value, *names) for value in schema.values()))


# jsonschema takes 2.6 s for 10,000 rich features. It sees each shape of a feature once: what only differs within the limits
# of the schema is valid alike. The card itself is validated without its features.
_CARD_VALIDATOR = Draft202012Validator(_without_items(SCHEMA))
_FEATURE_VALIDATOR = Draft202012Validator({**_FEATURE, "$defs": SCHEMA["$defs"]})
_LENGTHS = sorted(_limits(_FEATURE, "minLength", "maxLength") | _limits(_CRITERION, "minLength", "maxLength"))
_SIZES = sorted(_limits(_FEATURE, "minItems", "maxItems"))
_WORDS = {word for of in _FEATURE["properties"].values() for word in of.get("enum", ()) if isinstance(word, str)}
_NUMBERS = sorted(_limits(_FEATURE, "minimum", "maximum"))


@dataclass(frozen=True)
class Checked:
    """A card that is valid. `text` is its canonical JSON, `sha256` that text's hash, `warnings` [{path, message}]."""

    card: dict[str, Any]
    text: str
    sha256: str
    warnings: list[Problem]


def validate(card: Any, config: Config | None = None) -> Checked:
    """Raises InvalidCard with all problems. `config` says which repositories are allowed; without it, the defaults do."""
    if not isinstance(card, dict):
        raise invalid([{"path": "", "message": f"The card must be an object, not {_kind(card)}."}])
    problems = [*_schema_problems(card), *text_problems(card), *_meaning_problems(card), *_place_problems(card, config or Config())]
    if problems:
        raise invalid(problems)
    text = canonical(card)
    return Checked(card, text, hashlib.sha256(text.encode("utf-8")).hexdigest(), warnings_of(card))


def invalid(problems: list[Problem]) -> InvalidCard:
    first, more = problems[0], len(problems) - 1
    where = f"{first['path']}: " if first["path"] else ""
    rest = f" There {'is 1 more problem' if more == 1 else f'are {more} more problems'}." if more else ""
    return InvalidCard(f"The spec card is not valid. {where}{first['message']}{rest}", details=problems)


def normalise(card: dict[str, Any], review: bool | str = False) -> dict[str, Any]:
    """A valid card in the form that is built: {name, description, checks, review, features: [{title, description,
    acceptance_criteria: [text or {"text", "check"}], depends_on: [index], priority, agent or None, review}]}.

    review: what the session asks for where the card does not say. Of a feature: whether a person sees its change before it is merged;
    'unchecked' is worked out for each."""
    features = card["features"]
    names = card_graph.titles(features)
    graph, _ = card_graph.resolve(features, names)
    criteria = [[_criterion(item) for item in feature.get("acceptance_criteria", ())] for feature in features]
    return {
        "name": card["name"].strip(), "description": card.get("description", ""), "checks": card.get("checks", []),
        "review": card.get("review", review),
        "features": [{"title": names[number], "description": feature.get("description", ""), "depends_on": graph[number],
                      "acceptance_criteria": criteria[number], "priority": int(feature.get("priority", 0)), "agent": feature.get("agent") or card.get("agent"),
                      "review": is_reviewed(review_asked(card, feature, review), criteria[number])}
                     for number, feature in enumerate(features)],
    }


def _criterion(item: Any) -> Any:
    if isinstance(item, str):
        return item
    return {"text": item["text"], "check": item["check"]} if item.get("check", "").strip() else item["text"]


def _schema_problems(card: dict[str, Any]) -> Iterator[Problem]:
    for error in _CARD_VALIDATOR.iter_errors(card):
        yield _friendly(error, "")
    good: set[Hashable] = set()
    for number, feature in enumerate(_list(card, "features")):
        shape = _shape(feature)
        if shape not in good:
            errors = list(_FEATURE_VALIDATOR.iter_errors(feature))
            yield from (_friendly(error, f"features[{number}]") for error in errors)
            if not errors:
                good.add(shape)


def _shape(value: Any) -> Hashable:
    """All that the schema's keywords can tell apart."""
    if isinstance(value, str):
        return value if value in _WORDS else bisect_right(_LENGTHS, len(value))
    if isinstance(value, dict):
        return frozenset((name, _shape(item)) for name, item in value.items())
    if isinstance(value, list):
        return "list", bisect_right(_SIZES, len(value)), frozenset(map(_shape, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return "whole", bisect_right(_NUMBERS, value)
    return type(value), value if isinstance(value, float) else None


def _friendly(error: ValidationError, path: str) -> Problem:
    for part in error.absolute_path:
        path = step(path, part)
    value: Any = error.instance
    limit: Any = error.validator_value
    kind = error.validator
    if kind == "required":
        missing = next(name for name in limit if error.message.startswith(repr(name)))
        return {"path": step(path, missing), "message": f"This is required: {missing}."}
    said = {
        "type": lambda: f"Must be {_wanted(limit)}, not {_kind(value)}.",
        "minLength": lambda: "Must not be empty.",
        "maxLength": lambda: f"Has {len(value):,} characters; at most {limit:,} are possible.",
        "minItems": lambda: "Needs at least one entry.",
        "maxItems": lambda: f"Has {len(value):,} entries; at most {limit:,} are possible.",
        "minimum": lambda: f"Must be {limit} or more.",
        "maximum": lambda: f"Must be {limit} or less.",
        "enum": lambda: f"Must be one of: {', '.join(str(each).lower() if isinstance(each, bool) else str(each) for each in limit)}.",
    }
    return {"path": path, "message": said[str(kind)]()}


def _wanted(types: Any) -> str:
    names = {"string": "text", "object": "an object", "array": "a list", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
    return " or ".join(names[name] for name in ([types] if isinstance(types, str) else types))


def _kind(value: Any) -> str:
    kinds: list[tuple[Any, str]] = [(type(None), "null"), (bool, "true or false"), (str, "text"), (int | float, "a number"), (list, "a list"),
                                    (dict, "an object")]
    return next((name for kind, name in kinds if isinstance(value, kind)), type(value).__name__)


def _meaning_problems(card: dict[str, Any]) -> Iterator[Problem]:
    features = _list(card, "features")
    names = card_graph.titles(features)
    yield from _line_problems("name", card.get("name"))
    yield from _agent_problems("agent", card.get("agent"))
    for number, feature in enumerate(features):
        if isinstance(feature, dict):
            yield from _line_problems(f"features[{number}].title", feature.get("title"))
            yield from _agent_problems(f"features[{number}].agent", feature.get("agent"))
            for place, item in enumerate(_list(feature, "acceptance_criteria")):
                path = f"features[{number}].acceptance_criteria[{place}]"
                yield from _blank_problems(path + ".text", item.get("text")) if isinstance(item, dict) else _blank_problems(path, item)
    for name in ("checks", "technical_requirements"):
        for place, item in enumerate(_list(card, name)):
            yield from _blank_problems(f"{name}[{place}]", item)
    yield from card_graph.duplicates(names)
    graph, problems = card_graph.resolve(features, names)
    yield from problems
    yield from card_graph.cycles(graph, names)


def _agent_problems(path: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, str) and value and not _AGENT.fullmatch(value):
        yield {"path": path, "message": "An agent's name has small letters, digits, - and _, and begins with a letter."}


def _blank_problems(path: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, str) and value.isspace():
        yield {"path": path, "message": "Must not be empty."}


def _line_problems(path: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, str) and value.isspace():
        yield from _blank_problems(path, value)
    elif isinstance(value, str) and ("\n" in value or "\t" in value):
        yield {"path": path, "message": "Must be one line, without tabs."}


def _place_problems(card: dict[str, Any], config: Config) -> Iterator[Problem]:
    repository, branch = card.get("repository"), card.get("base_branch")
    if isinstance(repository, str) and repository:
        try:
            validate_source(repository, config.repository_roots, config.repository_url, config.repository_protocols)
        except BadRequest as error:
            yield {"path": "repository", "message": error.sentence}
    if isinstance(branch, str) and branch and not _BRANCH.fullmatch(branch):
        yield {"path": "base_branch", "message": "This is not a name that a git branch can have."}
    if isinstance(card.get("budget"), dict) and isinstance(card["budget"].get("money"), int | float) and not config.prices:
        yield {"path": "budget.money", "message": "This installation has no price table (SWARM_PRICES), so money cannot be counted: limit the tokens."}


def warnings_of(card: dict[str, Any]) -> list[Problem]:
    """[{path, message}] for every unknown key, with the nearest known one. The card need not be valid."""
    of_card, of_feature, of_criterion = (Nearest(schema["properties"]) for schema in (SCHEMA, _FEATURE, _CRITERION))
    budget, of_budget = card.get("budget"), _BUDGET["properties"]
    found = [*_unknown_keys(card, SCHEMA["properties"], "", of_card),
             *(_unknown_keys(budget, of_budget, "budget", Nearest(of_budget)) if isinstance(budget, dict) else ())]
    for number, feature in enumerate(_list(card, "features")):
        if not isinstance(feature, dict):
            continue
        found += _unknown_keys(feature, _FEATURE["properties"], f"features[{number}]", of_feature)
        for place, item in enumerate(_list(feature, "acceptance_criteria")):
            if isinstance(item, dict) and item.keys() - _CRITERION["properties"].keys():
                found += _unknown_keys(item, _CRITERION["properties"], f"features[{number}].acceptance_criteria[{place}]", of_criterion)
    return found


def _unknown_keys(value: dict[str, Any], known: dict[str, Any], path: str, nearest: Nearest) -> Iterator[Problem]:
    for name in value:
        if name not in known:
            meant = nearest.to(name)
            hint = f" Did you mean “{meant}”?" if meant else ""
            yield {"path": step(path, name), "message": f"Unknown key “{shorten(name)}”: it is kept but not used.{hint}"}


def _list(value: dict[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    return found if isinstance(found, list) else []
