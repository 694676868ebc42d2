"""The deliveries of a build as JSON, and the webhook with which a forge reports an event."""
import hmac
from hashlib import sha256
from typing import Any

from flask import Blueprint, Response, jsonify, request

from engine.errors import Forbidden, NotFound
from engine.tickets.deliveries import LOOKED_AT
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
    """Schedules a look at the forge. It does not trust the content of the call; the engine then asks the forge what happened."""
    secret = swarm().config.webhook_secret
    if not secret:
        raise NotFound("There is no webhook. Set SWARM_WEBHOOK_SECRET to enable it.")
    data = read_body()
    signed = "sha256=" + hmac.new(secret.encode(), data, sha256).hexdigest()
    given = (request.headers.get("X-Hub-Signature-256", ""), signed) if "X-Hub-Signature-256" in request.headers else (
        request.headers.get("X-Gitlab-Token", ""), secret)
    if not hmac.compare_digest(given[0].encode(), given[1].encode()):
        raise Forbidden("The signature of this call does not match SWARM_WEBHOOK_SECRET. Use the same secret on the forge.")
    db, project = swarm().db, _project(parse_object(data))
    with db.transaction():
        woken = db.execute(f"update deliveries set not_before = ? where (state = 'watched' or {LOOKED_AT}) and lower(project) = lower(?)",
                           (utc(), project)).rowcount
    return jsonify(looked_at=woken)


def _project(body: dict[str, Any]) -> str:
    """owner/repo from the body of a GitHub or GitLab webhook; '' if there is none."""
    for key, name in (("repository", "full_name"), ("project", "path_with_namespace")):
        found = body.get(key)
        if isinstance(found, dict) and isinstance(found.get(name), str):
            return str(found[name])
    return ""
