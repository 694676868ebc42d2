"""Every error of the API: one envelope, and for some codes more beside the sentence."""
from typing import Any

from hitl.api.openapi.shapes import BOOLEAN, INTEGER, TEXT, listed, maybe, open_shape

_CHANGE = {"$ref": "#/components/schemas/Change"}
_TICKETS = listed(open_shape(ticket=TEXT, status=TEXT))

SCHEMAS: dict[str, Any] = {
    "Error": open_shape(error={**TEXT, "minLength": 1, "description": "One sentence for a person: what happened and what to do."},
                        code={**TEXT, "pattern": "^[a-z0-9_]+$", "description": "For a program."}),
    "Problem": open_shape(path={**TEXT, "description": "Where in the card, such as features[1].title; empty: the card as a whole."}, message=TEXT),
    "InvalidCard": {"allOf": [{"$ref": "#/components/schemas/Error"},
                              open_shape(details=listed({"$ref": "#/components/schemas/Problem"}))]},
    "CardAt": open_shape(version=INTEGER, sha256=maybe(TEXT), spec_card={}),
    "Conflict": {
        "description": "wrong_state: the thing has moved on. card_changed: somebody else changed the card, with both versions. question_open: a "
                       "question waits. already_started: what an amendment would touch has started.",
        "allOf": [{"$ref": "#/components/schemas/Error"}, {"type": "object", "properties": {
            "currentState": TEXT, "since": maybe(TEXT), "spec_sha256": TEXT, "given_sha256": {}, "sha256": TEXT, "question": INTEGER,
            "answer": maybe(TEXT), "answered_by": maybe(TEXT), "answered_at": maybe(TEXT), "tickets": _TICKETS,
            "current": {"$ref": "#/components/schemas/CardAt"}, "base": {"anyOf": [{"$ref": "#/components/schemas/CardAt"}, {"type": "null"}]},
            "yours": {}, "changes": listed(_CHANGE)}}]},
    "BadRequest": {"allOf": [{"$ref": "#/components/schemas/Error"}, {"type": "object", "properties": {
        "line": INTEGER, "column": INTEGER, "edit": INTEGER, "currentState": TEXT, "since": TEXT}}]},
    "Unavailable": {"allOf": [{"$ref": "#/components/schemas/Error"}, {"type": "object", "properties": {
        "retry_after": INTEGER, "last_tick_age": {"type": ["number", "null"]}, "paused": BOOLEAN}}]},
}


def _response(description: str, schema: str = "Error") -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


RESPONSES: dict[str, Any] = {
    "400": _response("The request itself is wrong: bad JSON (with line and column), a value that is not possible, not confirmed, not approved.", "BadRequest"),
    "403": _response("The request named a Host that is not ours, or came from a page of another site."),
    "404": _response("Unknown here, or another tenant's."),
    "409": _response("The thing has moved on since you looked at it. Nothing was changed.", "Conflict"),
    "413": _response("The body is larger than 4 MB."),
    "415": _response("The body is not sent as application/json."),
    "422": _response("The spec card is not valid: details has every problem with its path.", "InvalidCard"),
    "503": {**_response("Storage is busy or full, or the engine has stopped. Nothing was saved.", "Unavailable"),
            "headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}},
}
