"""The JSON API of the evidence: the proof of each criterion of a session, and the requests of a run to its gateway."""
from flask import Blueprint, Response, jsonify, request

from hitl.views import baseline
from hitl.views.evidence import PAGE, evidence_view
from hitl.views.gateway_requests import MOST, asked_view
from hitl.web.context import swarm, tenant
from hitl.web.guard import optional_json_body
from hitl.web.input import number

evidence_api = Blueprint("evidence", __name__)


@evidence_api.get("/hitl/<session_id>/evidence")
def session_evidence(session_id: str) -> Response:
    return jsonify(evidence_view(swarm().db, tenant(), session_id, number("after", 0), number("limit", PAGE, PAGE, 1)))


@evidence_api.get("/hitl/<session_id>/baseline")
def session_baseline(session_id: str) -> Response:
    return jsonify(baseline.baseline_view(swarm(), tenant(), session_id))


@evidence_api.post("/hitl/<session_id>/baseline")
def start_baseline(session_id: str) -> Response:
    baseline.start(swarm(), tenant(), session_id, optional_json_body())
    return session_baseline(session_id)


@evidence_api.get("/tickets/<ticket_id>/gateway")
def ticket_gateway(ticket_id: str) -> Response:
    """?run=<id>&after=<bytes>&refused=1. Without a run it uses the latest one."""
    return jsonify(asked_view(swarm().db, swarm().config, tenant(), ticket_id, request.args.get("run"), number("after", 0),
                              number("limit", MOST, MOST, 1), request.args.get("refused") == "1"))
