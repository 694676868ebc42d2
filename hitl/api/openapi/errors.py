"""The errors of the API: one envelope, with more fields for some codes."""
from typing import Any

from hitl.api.openapi.shapes import BOOLEAN, INTEGER, TEXT, listed, maybe, open_shape

_CHANGE = {"$ref": "#/components/schemas/Change"}
_TICKETS = listed(open_shape(ticket=TEXT, status=TEXT))

SCHEMAS: dict[str, Any] = {
    "Error": open_shape(error={**TEXT, "minLength": 1, "description": "A sentence for people: what happened and what to do."},
                        code={**TEXT, "pattern": "^[a-z0-9_]+$", "description": "A slug for programs."}),
    "Problem": open_shape(path={**TEXT, "description": "The place in the card, such as features[1].title; empty: the whole card."}, message=TEXT),
    "InvalidCard": {"allOf": [{"$ref": "#/components/schemas/Error"},
                              open_shape(details=listed({"$ref": "#/components/schemas/Problem"}))]},
    "CardAt": open_shape(version=INTEGER, sha256=maybe(TEXT), spec_card={}),
    "Conflict": {
        "description": "wrong_state: the item is in another state now. card_changed: someone else changed the card; both versions are included. "
                       "question_open: a question waits. already_started: a ticket of the amendment has started.",
        "allOf": [{"$ref": "#/components/schemas/Error"}, {"type": "object", "properties": {
            "currentState": TEXT, "since": maybe(TEXT), "spec_sha256": TEXT, "given_sha256": {}, "sha256": maybe(TEXT),
            "question": INTEGER,
            "answer": maybe(TEXT), "answered_by": maybe(TEXT), "answered_at": maybe(TEXT), "tickets": _TICKETS,
            "current": {"$ref": "#/components/schemas/CardAt"}, "base": {"anyOf": [{"$ref": "#/components/schemas/CardAt"}, {"type": "null"}]},
            "yours": {}, "changes": listed(_CHANGE), "ticket": maybe(TEXT), "ended_at": maybe(TEXT)}}]},
    "BadRequest": {"allOf": [{"$ref": "#/components/schemas/Error"}, {"type": "object", "properties": {
        "line": INTEGER, "column": INTEGER, "edit": INTEGER, "currentState": TEXT, "since": TEXT,
        "details": listed({"$ref": "#/components/schemas/Problem"})}}]},
    "Unavailable": {"allOf": [{"$ref": "#/components/schemas/Error"}, {"type": "object", "properties": {
        "retry_after": INTEGER, "last_tick_age": {"type": ["number", "null"]}, "paused": BOOLEAN}}]},
}


def _response(description: str, schema: str = "Error") -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


RESPONSES: dict[str, Any] = {
    "400": _response("The request is wrong: bad JSON (with line and column), an impossible value, not confirmed, not approved.", "BadRequest"),
    "403": _response("The request used an unknown Host, or came from a page of another site or from another user of the machine."),
    "404": _response("Unknown, or it belongs to another tenant."),
    "409": _response("The item has changed since you looked at it. Nothing was changed.", "Conflict"),
    "410": _response("The build was prepared, but its repository or its branch was removed since."),
    "413": _response("The body is larger than 4 MB."),
    "415": _response("The body is not sent as application/json."),
    "422": _response("The spec card is not valid. details lists every problem with its path.", "InvalidCard"),
    "503": {**_response("Storage is busy or full, or the engine has stopped. Nothing was saved.", "Unavailable"),
            "headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}},
}
