"""The JSON API of repositories: where they are, their settings, and their environments."""
from typing import Any

from flask import Blueprint, Response, jsonify

from engine.errors import BadRequest
from engine.repositories import decisions, sources
from engine.repositories.rows import RepositoryRow
from hitl.views.repositories import repositories_view, repository_dict, repository_view
from hitl.views.repositories.environment import environment_view
from hitl.views.repositories.look import look_at
from hitl.web.context import swarm, tenant
from hitl.web.guard import json_body, optional_json_body
from hitl.web.input import text_of

LOOK_SECONDS = 10.0  # an answer waits at most this long for the first look at a repository
KEYS = ("environment", *decisions.SETTINGS)
repositories_api = Blueprint("repositories_api", __name__)


def _row(repository_id: str) -> RepositoryRow:
    return sources.get(swarm().db, tenant(), repository_id)


@repositories_api.get("/repositories")
def list_repositories() -> Response:
    return jsonify(repositories=repositories_view(swarm(), tenant()))


@repositories_api.post("/repositories")
def add_repository() -> tuple[Response, int]:
    """Looks at the repository at once. One that is known already is answered with 200."""
    url = text_of(json_body(), "url", 1000).strip()
    known = {row["id"] for row in sources.all_of(swarm().db, tenant())}
    row = look_at(swarm(), sources.row_for(swarm().db, swarm().config, tenant(), url), LOOK_SECONDS)
    response = jsonify(repository_dict(swarm(), row))
    response.headers["Location"] = f"/api/repositories/{row['id']}"
    return response, 200 if row["id"] in known else 201


@repositories_api.get("/repositories/<repository_id>")
def get_repository(repository_id: str) -> Response:
    row = _row(repository_id)
    return jsonify(repository_dict(swarm(), look_at(swarm(), row, 0.0) if row["state"] == "unknown" else row))


@repositories_api.patch("/repositories/<repository_id>")
def edit_repository(repository_id: str) -> Response:
    row, body = _row(repository_id), json_body()
    unknown = [name for name in body if name not in KEYS]
    if unknown:
        raise BadRequest(f"{unknown[0][:100]} is not known. Known: {', '.join(KEYS)}.", details=[{"path": name, "message": "is not known"} for name in unknown])
    decisions.edit(swarm().db, row, body)
    return jsonify(repository_view(swarm(), tenant(), repository_id))


@repositories_api.delete("/repositories/<repository_id>")
def delete_repository(repository_id: str) -> Response:
    decisions.delete(swarm().db, swarm().config, _row(repository_id))
    return jsonify(deleted=repository_id)


@repositories_api.get("/repositories/<repository_id>/environment")
def environment(repository_id: str) -> Response:
    return _environment(_row(repository_id))


@repositories_api.post("/repositories/<repository_id>/environment/build")
def build_environment(repository_id: str) -> Response:
    """{again: true} makes it from nothing; without it, one that fits is kept."""
    row, body = _row(repository_id), optional_json_body()
    if not isinstance(body.get("again", False), bool):
        raise BadRequest("again must be true or false.")
    decisions.build(swarm().db, row, body.get("again", False))
    return _environment(row)


@repositories_api.post("/repositories/<repository_id>/environment/approve")
def approve_environment(repository_id: str) -> Response:
    row, body = _row(repository_id), json_body()
    decisions.approve(swarm().db, row, text_of(body, "sha256", 64), "you")
    return _environment(row)


@repositories_api.delete("/repositories/<repository_id>/environments/<key>")
def delete_environment(repository_id: str, key: str) -> Response:
    row = _row(repository_id)
    decisions.remove_environment(swarm().db, swarm().config, row, key)
    return _environment(row)


def _environment(row: RepositoryRow) -> Response:
    """The environment as it is now."""
    found: dict[str, Any] = environment_view(swarm(), _row(row["id"]))
    return jsonify(found)
