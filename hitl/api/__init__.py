"""The JSON API under /api.

Each module parses the request, calls a function and renders the answer. hitl/web/guard.py refuses bad requests; hitl/views has the views."""
from flask import Blueprint

from hitl.api.card import card_api
from hitl.api.engine import engine_api
from hitl.api.evidence import evidence_api
from hitl.api.forge import deliveries_api
from hitl.api.interview import interview_api
from hitl.api.repositories import repositories_api
from hitl.api.review import review_api
from hitl.api.runs import runs_api
from hitl.api.secrets import secrets_api
from hitl.api.sessions import sessions_api
from hitl.api.tickets import tickets_api

api = Blueprint("api", __name__, url_prefix="/api")
for part in (sessions_api, interview_api, card_api, tickets_api, review_api, evidence_api, deliveries_api, repositories_api, runs_api, secrets_api,
             engine_api):
    api.register_blueprint(part)
