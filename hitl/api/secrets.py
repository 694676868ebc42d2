"""Secrets of this installation, for the setup of environments. A value that was stored is never shown."""
from flask import Blueprint, Response, jsonify

from engine import secrets
from hitl.web.context import swarm, tenant
from hitl.web.guard import json_body

secrets_api = Blueprint("secrets_api", __name__)


@secrets_api.get("/secrets")
def names() -> Response:
    return _names()


@secrets_api.put("/secrets/<name>")
def put(name: str) -> Response:
    secrets.put(swarm().config.data, tenant(), name, json_body().get("value"))
    return _names()


@secrets_api.delete("/secrets/<name>")
def remove(name: str) -> Response:
    secrets.remove(swarm().config.data, tenant(), name)
    return _names()


def _names() -> Response:
    return jsonify(secrets=secrets.names(swarm().config.data, tenant()))
