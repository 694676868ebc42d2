"""What became of a build outside: its deliveries as JSON, and the webhook by which a forge says that something happened."""
import hmac
from hashlib import sha256
from typing import Any

from flask import Blueprint, Response, jsonify, request

from engine.errors import Forbidden, NotFound
from engine.times import utc
from hitl.views.deliveries import deliveries_view
from hitl.web.context import swarm, tenant
from hitl.web.guard import parse_object, read_body

deliveries_api = Blueprint("deliveries_api", __name__)

@deliveries_api.get("/hitl/<session_id>/deliveries")
def list_deliveries(session_id: str) -> Response:
    return jsonify(deliveries=deliveries_view(swarm().db, tenant(), session_id))


@deliveries_api.post("/forge/webhook")
def webhook() -> Response:
    """Believes nothing but that it is worth a look now: what happened is then asked of the forge itself."""
    secret = swarm().config.webhook_secret
    if not secret:
        raise NotFound("There is no webhook: set SWARM_WEBHOOK_SECRET to have one.")
    data = read_body()
    signed = "sha256=" + hmac.new(secret.encode(), data, sha256).hexdigest()
    given = (request.headers.get("X-Hub-Signature-256", ""), signed) if "X-Hub-Signature-256" in request.headers else (
        request.headers.get("X-Gitlab-Token", ""), secret)
    if not hmac.compare_digest(given[0].encode(), given[1].encode()):
        raise Forbidden("The signature of this call is not made with our SWARM_WEBHOOK_SECRET.")
    db, project = swarm().db, _project(parse_object(data))
    with db.transaction():
        woken = db.execute("update deliveries set not_before = ? where state = 'watched' and lower(project) = lower(?)", (utc(), project)).rowcount
    return jsonify(looked_at=woken)


def _project(body: dict[str, Any]) -> str:
    """owner/repo, as GitHub's or as GitLab's webhooks have it."""
    for key, name in (("repository", "full_name"), ("project", "path_with_namespace")):
        found = body.get(key)
        if isinstance(found, dict) and isinstance(found.get(name), str):
            return str(found[name])
    return ""
