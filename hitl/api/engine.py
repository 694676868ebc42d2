"""The JSON API of the engine and of this installation, and the description of the API."""
from flask import Blueprint, Response, jsonify

from engine.tickets import claims
from hitl.api import openapi
from hitl.views.engine import engine_view, health_view
from hitl.web.context import swarm, tenant
from hitl.web.guard import optional_json_body
from hitl.web.input import text_of

engine_api = Blueprint("engine_api", __name__)


@engine_api.get("/engine")
def engine() -> Response:
    return jsonify(engine_view(swarm(), tenant()))


@engine_api.post("/engine/<any(pause, resume):what>")
def pause_engine(what: str) -> Response:
    reason = text_of(optional_json_body(), "reason", 1000, "Paused by hand.")
    claims.set_paused(swarm().db, what == "pause", reason)
    return jsonify(engine_view(swarm(), tenant()))


@engine_api.get("/health")
def health() -> Response:
    return jsonify(health_view(swarm()))


@engine_api.get("/openapi.json")
def description() -> Response:
    return jsonify(openapi.document())
