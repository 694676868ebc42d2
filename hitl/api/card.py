"""The JSON API of the card: read, replace, edit, import, export and compare it, and amend it during the build."""
import json
from typing import Any

from flask import Blueprint, Response, jsonify

from engine.errors import NotFound
from hitl.amend import proposals
from hitl.card.unknown_keys import warnings_of
from hitl.drafting import draft as drafting
from hitl.drafting import edit as card_actions
from hitl.session import sessions
from hitl.session import versions as card_versions
from hitl.session.seen_card import base, present_sha256
from hitl.web.context import swarm, tenant
from hitl.web.guard import json_body, optional_json_body
from hitl.web.input import number

card_api = Blueprint("card_api", __name__)


def _tagged(answer: dict[str, Any]) -> Response:
    response = jsonify(answer)
    response.set_etag(answer["sha256"])
    return response


@card_api.get("/hitl/<session_id>/spec-card")
def get_card(session_id: str) -> Response:
    row = sessions.get(swarm().db, tenant(), session_id)
    if row["spec_card"] is None:
        raise NotFound("This session has no spec card yet.")
    card = sessions.current_card(row)
    return _tagged({"version": row["spec_version"], "sha256": present_sha256(row), "spec_card": card,
                    "warnings": warnings_of(card) if isinstance(card, dict) else []})


@card_api.put("/hitl/<session_id>/spec-card")
def put_card(session_id: str) -> Response:
    """Replaces the card. The body is the card, or {"spec_card": the card, "base_version"?}."""
    body = json_body()
    enveloped = "spec_card" in body and set(body) <= {"spec_card", "base_version"}
    card, seen = (body["spec_card"], base(body)) if enveloped else (body, base({}))
    return _tagged(sessions.put_card(swarm().db, swarm().config, tenant(), session_id, card, base=seen))


@card_api.patch("/hitl/<session_id>/spec-card")
def edit_card(session_id: str) -> Response:
    body = json_body()
    return _tagged(card_actions.edit_card(swarm().db, swarm().config, tenant(), session_id, body.get("edits"), base(body)))


@card_api.post("/hitl/<session_id>/spec-card/import")
def import_card(session_id: str) -> Response:
    body = json_body()
    return _tagged(card_actions.import_card(swarm().db, swarm().config, tenant(), session_id, markdown=body.get("markdown"),
                                            card=body.get("spec_card"), base=base(body)))


@card_api.get("/hitl/<session_id>/spec-card/export")
def export_card(session_id: str) -> Response:
    """The card as a file."""
    row = sessions.get(swarm().db, tenant(), session_id)
    if row["spec_card"] is None:
        raise NotFound("This session has no spec card yet.")
    text = json.dumps(sessions.current_card(row), indent=2, ensure_ascii=False) + "\n"
    return Response(text, content_type="application/json",
                    headers={"Content-Disposition": f'attachment; filename="spec-card-{session_id[:8]}-v{row["spec_version"]}.json"'})


@card_api.post("/hitl/<session_id>/draft")
def draft(session_id: str) -> Response:
    body = optional_json_body()
    return _tagged(drafting.draft(swarm().db, swarm().config, tenant(), session_id, body.get("drafter", "auto"), base(body)))


@card_api.get("/hitl/<session_id>/spec-card/versions")
def versions(session_id: str) -> Response:
    return jsonify(versions=card_versions.versions_view(swarm().db, tenant(), session_id))


@card_api.get("/hitl/<session_id>/spec-card/versions/<int:version>")
def version(session_id: str, version: int) -> Response:
    return jsonify(card_versions.version_view(swarm().db, tenant(), session_id, version))


@card_api.get("/hitl/<session_id>/spec-card/diff")
def diff(session_id: str) -> Response:
    """?from=<version>&to=<version>. By default the newest version is compared with the version before it."""
    newest = sessions.get(swarm().db, tenant(), session_id)["spec_version"]
    later = number("to", newest, 10**9)
    return jsonify(card_versions.diff_view(swarm().db, tenant(), session_id, number("from", max(later - 1, 0), 10**9), later))


@card_api.post("/hitl/<session_id>/amend")
def propose(session_id: str) -> Response:
    proposals.propose(swarm().db, swarm().config, tenant(), session_id, json_body())
    return amendment(session_id)


@card_api.get("/hitl/<session_id>/amendment")
def amendment(session_id: str) -> Response:
    return jsonify(proposals.amendment_view(swarm().db, tenant(), session_id))


@card_api.post("/hitl/<session_id>/amendment/approve")
def approve_amendment(session_id: str) -> Response:
    proposals.approve(swarm().db, swarm().config, tenant(), session_id, json_body().get("sha256"))
    return amendment(session_id)


@card_api.post("/hitl/<session_id>/amendment/discard")
def discard_amendment(session_id: str) -> Response:
    optional_json_body()
    proposals.discard(swarm().db, tenant(), session_id)
    return amendment(session_id)
