"""Checks the shape of a spec card with spec_card.schema.json: the properties, their types, lengths and counts."""
import json
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from hitl.card.text import Problem, step

SCHEMA = json.loads(Path(__file__).with_name("spec_card.schema.json").read_text(encoding="utf-8"))
FEATURE, CRITERION, BUDGET = SCHEMA["$defs"]["feature"], SCHEMA["$defs"]["criterion"], SCHEMA["properties"]["budget"]


def _without_items(schema: dict[str, Any]) -> dict[str, Any]:
    features = {name: value for name, value in schema["properties"]["features"].items() if name != "items"}
    return {**schema, "properties": {**schema["properties"], "features": features}}


def _limits(schema: Any, *names: str) -> set[int]:
    """The values at which one of these keywords changes its result."""
    if isinstance(schema, list):
        return set().union(*(_limits(item, *names) for item in schema))
    if not isinstance(schema, dict):
        return set()
    own = {value + name.startswith("max") for name, value in schema.items() if name in names and isinstance(value, int)}
    return own.union(*(_limits(value, *names) for value in schema.values()))


# jsonschema takes 2.6 s for 10,000 rich features. So each shape of a feature is validated only once: features that differ only within the
# limits of the schema are equally valid. The card itself is validated without its features.
_CARD_VALIDATOR = Draft202012Validator(_without_items(SCHEMA))
_FEATURE_VALIDATOR = Draft202012Validator({**FEATURE, "$defs": SCHEMA["$defs"]})
_LENGTHS = sorted(_limits(FEATURE, "minLength", "maxLength") | _limits(CRITERION, "minLength", "maxLength"))
_SIZES = sorted(_limits(FEATURE, "minItems", "maxItems"))
_WORDS = {word for of in FEATURE["properties"].values() for word in of.get("enum", ()) if isinstance(word, str)}
_NUMBERS = sorted(_limits(FEATURE, "minimum", "maximum"))


def list_of(value: dict[str, Any], name: str) -> list[Any]:
    """A property that should be a list; [] if it is not a list."""
    found = value.get(name)
    return found if isinstance(found, list) else []


def shape_problems(card: dict[str, Any]) -> Iterator[Problem]:
    """The problems that the schema finds, in the order of the card."""
    for error in _CARD_VALIDATOR.iter_errors(card):
        yield _friendly(error, "")
    good: set[Hashable] = set()
    for number, feature in enumerate(list_of(card, "features")):
        shape = _shape(feature)
        if shape not in good:
            errors = list(_FEATURE_VALIDATOR.iter_errors(feature))
            yield from (_friendly(error, f"features[{number}]") for error in errors)
            if not errors:
                good.add(shape)


def _shape(value: Any) -> Hashable:
    """The shape of a value: everything that the schema's keywords can distinguish."""
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
    said: dict[str, Callable[[], str]] = {
        "type": lambda: f"Must be {_wanted(limit)}, not {kind_of(value)}.",
        "minLength": lambda: "Must not be empty.",
        "maxLength": lambda: f"Has {len(value):,} characters; at most {limit:,} are allowed.",
        "minItems": lambda: "Needs at least one entry.",
        "maxItems": lambda: f"Has {len(value):,} entries; at most {limit:,} are allowed.",
        "minimum": lambda: f"Must be {limit} or more.",
        "maximum": lambda: f"Must be {limit} or less.",
        "enum": lambda: f"Must be one of: {', '.join(str(each).lower() if isinstance(each, bool) else str(each) for each in limit)}.",
    }
    return {"path": path, "message": said[str(kind)]()}


def _wanted(types: Any) -> str:
    names = {"string": "text", "object": "an object", "array": "a list", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
    return " or ".join(names[name] for name in ([types] if isinstance(types, str) else types))


def kind_of(value: Any) -> str:
    """The type of a value in words: 'a list'."""
    kinds: list[tuple[Any, str]] = [(type(None), "null"), (bool, "true or false"), (str, "text"), (int | float, "a number"), (list, "a list"),
                                    (dict, "an object")]
    return next((name for kind, name in kinds if isinstance(value, kind)), type(value).__name__)
