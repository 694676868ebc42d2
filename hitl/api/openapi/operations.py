"""One entry of the table: an operation, and its description in OpenAPI."""
import re
from dataclasses import dataclass, field
from typing import Any

ALWAYS = (403, 503)        # possible for any request: a foreign Host or page; storage that is busy or full
OF_A_BODY = (400, 413, 415)
PARAMETERS: dict[str, dict[str, Any]] = {
    "session_id": {"type": "string", "minLength": 1}, "ticket_id": {"type": "string", "minLength": 1},
    "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,99}$"},
    "repository_id": {"type": "string", "minLength": 1}, "run_id": {"type": "string", "minLength": 1}, "key": {"type": "string", "minLength": 1},
    "comment": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
    "number": {"type": "integer", "minimum": 1, "maximum": 5}, "version": {"type": "integer", "minimum": 1, "maximum": 10**9},
}


@dataclass(frozen=True)
class Operation:
    """ok: {status: schema or (media type, schema)}. errors: other possible statuses. body: the schema of the body; optional: it may be omitted."""

    method: str
    path: str
    name: str
    summary: str
    ok: dict[int, Any]
    errors: tuple[int, ...] = ()
    body: dict[str, Any] | None = None
    optional: bool = False
    query: dict[str, dict[str, Any]] = field(default_factory=dict)
    if_match: bool = False
    tagged: bool = False       # the answer has an ETag: the hash of the card


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def described(each: Operation) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", each.path)
    statuses = sorted({*ALWAYS, *each.errors, *((404,) if names else ()), *(OF_A_BODY if each.body else ()), *((400,) if each.query else ())})
    parameters: list[dict[str, Any]] = [{"name": name, "in": "path", "required": True, "schema": PARAMETERS[name]} for name in names]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in each.query.items()]
    if each.if_match:
        parameters.append({"name": "If-Match", "in": "header", "schema": {"type": "string", "pattern": '^("[0-9a-f]{64}"|\\*)$'},
                           "description": "The ETag of the card that you changed. If the card is another one now, the answer is 409."})
    found: dict[str, Any] = {"operationId": each.name, "summary": each.summary, "tags": [each.path.split("/")[2]]}
    if parameters:
        found["parameters"] = parameters
    if each.body is not None:
        found["requestBody"] = {"required": not each.optional, "content": {"application/json": {"schema": each.body}}}
    found["responses"] = {**{str(status): _answer(status, schema, each.tagged) for status, schema in each.ok.items()},
                          **{str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}}
    return found


def _answer(status: int, schema: Any, tagged: bool) -> dict[str, Any]:
    media, shape = schema if isinstance(schema, tuple) else ("application/json", schema)
    found: dict[str, Any] = {"description": {200: "Done.", 201: "Created."}[status], "content": {media: {"schema": shape}}}
    if tagged:
        found["headers"] = {"ETag": {"description": "The hash of the card in quotes, for If-Match.", "schema": {"type": "string"}}}
    if status == 201:
        found["headers"] = {"Location": {"description": "The address of the new item.", "schema": {"type": "string"}}}
    return found
