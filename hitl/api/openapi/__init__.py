"""The description of /api as OpenAPI 3.1: a table of operations (operations_*.py) and the schemas that they use (schemas.py, errors.py).

A test compares the table with the routes, and schemathesis checks the answers against the description."""
from functools import cache
from typing import Any

from engine import VERSION
from hitl.api.openapi import errors, schemas, schemas_repository
from hitl.api.openapi.operations import described
from hitl.api.openapi.operations_card import CARD
from hitl.api.openapi.operations_repository import REPOSITORIES
from hitl.api.openapi.operations_review import REVIEW
from hitl.api.openapi.operations_session import SESSIONS
from hitl.api.openapi.operations_ticket import TICKETS

OPERATIONS = (*SESSIONS, *CARD, *TICKETS, *REVIEW, *REPOSITORIES)


@cache
def document() -> dict[str, Any]:
    """The whole description. It is cached, so do not change it."""
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method.lower()] = described(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "HITL Swarm", "version": VERSION, "license": {"name": "MIT", "identifier": "MIT"},
                 "description": "From an approved idea to merged code. Errors are always {\"error\": a sentence, \"code\": a slug, …}. "
                                "Requests must carry one of the server's own Host names; unsafe methods must not come from a page of another site."},
        "paths": paths,
        "components": {"schemas": {**schemas.SCHEMAS, **schemas_repository.SCHEMAS, **errors.SCHEMAS}, "responses": errors.RESPONSES},
    }
