"""The building blocks of the schemas."""
from typing import Any

from hitl.card.review_rule import BY_WORD

TEXT: dict[str, Any] = {"type": "string"}
INTEGER: dict[str, Any] = {"type": "integer"}
BOOLEAN: dict[str, Any] = {"type": "boolean"}
REVIEW: dict[str, Any] = {"type": ["boolean", "string"], "enum": list(BY_WORD.values())}
SHA256: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
TIME: dict[str, Any] = {"type": "string", "description": "UTC, as 2026-01-31T12:00:00.000Z"}


def open_shape(**properties: Any) -> dict[str, Any]:
    """An object with these properties and possibly more."""
    return {"type": "object", "required": list(properties), "properties": properties}


def shape(**properties: Any) -> dict[str, Any]:
    """An object with exactly these properties."""
    return {**open_shape(**properties), "additionalProperties": False}


def options(**properties: Any) -> dict[str, Any]:
    """An object that may have these properties, for request bodies."""
    return {"type": "object", "properties": properties}


def listed(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def maybe(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, or null."""
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"], **({"enum": [*schema["enum"], None]} if "enum" in schema else {})}
    return {"anyOf": [schema, {"type": "null"}]}


def one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}
