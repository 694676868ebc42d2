"""The providers as data: which paths there are, where the key goes, how an error looks, and where a reply says what it used.

A request for `/openai/v1/chat/completions` inside goes to `<SWARM_OPENAI_URL>/chat/completions`, and so on; all else is refused."""
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from engine.gateway.http1 import Head

LARGEST = 10**10  # tokens that a reply may claim: more is a broken provider


class Tokens(NamedTuple):
    """input: what was neither read from nor written to a cache."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


Usage = Mapping[str, Any]


@dataclass(frozen=True)
class Shape:
    """prefix: of the path inside. routes: (method, path after the prefix, does it cost tokens). limits: where a request says how many
    tokens its reply may have. drop: what of the path the base URL holds already."""

    name: str
    prefix: str
    default_url: str
    routes: tuple[tuple[str, re.Pattern[str], bool], ...]
    limits: tuple[tuple[str, ...], ...]
    drop: str
    key: Callable[[str], tuple[str, str]]              # the header that carries the key
    error: Callable[[int, str, str], dict[str, Any]]   # (status, code, sentence) -> body
    usages: Callable[[Any], list[Usage]]               # the usage objects in a reply or in an event of one
    tokens: Callable[[Usage], Tokens]                  # of all usage objects of a reply, merged


def _route(method: str, pattern: str, costs: bool) -> tuple[str, re.Pattern[str], bool]:
    return method, re.compile(pattern), costs


_ID = r"[A-Za-z0-9._:@-]{1,200}"


def _under(value: Any, *names: str) -> list[Usage]:
    """The object found by following names, as a list of none or one."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return [value] if isinstance(value, dict) else []


def _count(usage: Usage, *names: str) -> int:
    value: Any = usage
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return min(value, LARGEST) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _openai_tokens(usage: Usage) -> Tokens:
    cached = _count(usage, "prompt_tokens_details", "cached_tokens") or _count(usage, "input_tokens_details", "cached_tokens")
    whole = _count(usage, "prompt_tokens") or _count(usage, "input_tokens")
    output = _count(usage, "completion_tokens") or _count(usage, "output_tokens")
    return Tokens(max(0, whole - cached), output + _beside(usage, whole, output), cached)


def _beside(usage: Usage, whole: int, output: int) -> int:
    """Reasoning tokens that a provider counts in the total, but not in the output: OpenAI counts them in both, others do not."""
    reasoning = _count(usage, "completion_tokens_details", "reasoning_tokens") or _count(usage, "output_tokens_details", "reasoning_tokens")
    total = _count(usage, "total_tokens")
    return min(reasoning, max(0, total - whole - output)) if total else reasoning if reasoning > output else 0


def _anthropic_tokens(usage: Usage) -> Tokens:
    return Tokens(_count(usage, "input_tokens"), _count(usage, "output_tokens"), _count(usage, "cache_read_input_tokens"),
                  _count(usage, "cache_creation_input_tokens"))


def _gemini_tokens(usage: Usage) -> Tokens:
    cached = _count(usage, "cachedContentTokenCount")
    return Tokens(max(0, _count(usage, "promptTokenCount") + _count(usage, "toolUsePromptTokenCount") - cached),
                  _count(usage, "candidatesTokenCount") + _count(usage, "thoughtsTokenCount"), cached)


def _openai_error(status: int, code: str, sentence: str) -> dict[str, Any]:
    return {"error": {"message": sentence, "type": code, "code": code, "param": None}}


_ANTHROPIC_TYPES = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
                    404: "not_found_error", 413: "request_too_large"}
_GEMINI_STATES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "RESOURCE_EXHAUSTED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
                  503: "UNAVAILABLE"}


def _anthropic_error(status: int, code: str, sentence: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": _ANTHROPIC_TYPES.get(status, "api_error"), "message": sentence}}


def _gemini_error(status: int, code: str, sentence: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": sentence, "status": _GEMINI_STATES.get(status, "INTERNAL")}}


OPENAI = Shape(
    "openai", "/openai", "https://api.openai.com/v1",
    (_route("POST", "/v1/chat/completions", True), _route("POST", "/v1/responses", True), _route("GET", f"/v1/models(?:/{_ID})?", False)),
    (("max_completion_tokens",), ("max_tokens",), ("max_output_tokens",)), "/v1",
    lambda key: ("authorization", f"Bearer {key}"), _openai_error,
    lambda value: _under(value, "usage") + _under(value, "response", "usage"), _openai_tokens)
ANTHROPIC = Shape(
    "anthropic", "/anthropic", "https://api.anthropic.com",
    (_route("POST", "/v1/messages", True), _route("POST", "/v1/messages/count_tokens", False), _route("GET", f"/v1/models(?:/{_ID})?", False)),
    (("max_tokens",),), "", lambda key: ("x-api-key", key), _anthropic_error,
    lambda value: _under(value, "usage") + _under(value, "message", "usage"), _anthropic_tokens)
GEMINI = Shape(
    "gemini", "/gemini", "https://generativelanguage.googleapis.com",
    (_route("POST", f"/v1(?:beta)?/models/{_ID}:(?:generateContent|streamGenerateContent)", True),
     _route("POST", f"/v1(?:beta)?/models/{_ID}:countTokens", False), _route("GET", f"/v1(?:beta)?/models(?:/{_ID})?", False)),
    (("generationConfig", "maxOutputTokens"), ("generation_config", "max_output_tokens")), "",
    lambda key: ("x-goog-api-key", key), _gemini_error, lambda value: _under(value, "usageMetadata"), _gemini_tokens)
SHAPES = {shape.name: shape for shape in (OPENAI, ANTHROPIC, GEMINI)}
CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie")  # of the agent: never passed on


def shape_of(path: str) -> Shape | None:
    return next((shape for shape in SHAPES.values() if path == shape.prefix or path.startswith(shape.prefix + "/")), None)


def credential(head: Head, query: str) -> str:
    """What the agent showed as its key, in whichever place its client puts it; '' for nothing."""
    for name in CREDENTIALS[:4]:
        for value in head.all(name):
            return value[7:].strip() if value[:7].lower() == "bearer " else value
    return next((value for name, value in parse_qsl(query) if name == "key"), "")


def without_key(query: str) -> str:
    return urlencode([(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "key"])


def model_of(shape: Shape, path: str, value: Any) -> str:
    """The model that a request names, bounded and printable; '' where it names none."""
    name = path.rpartition("/models/")[2].partition(":")[0] if shape is GEMINI else value.get("model") if isinstance(value, dict) else ""
    return "".join(c for c in name if c.isprintable())[:200] if isinstance(name, str) else ""


def most_output(shape: Shape, value: Any) -> int | None:
    """The largest reply that a request allows, in tokens; None where it does not say."""
    for names in shape.limits:
        found = _under(value, *names[:-1])
        if found and _count(found[0], names[-1]):
            return _count(found[0], names[-1])
    return None
