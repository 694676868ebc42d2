"""JSON under /api.

Each module parses, calls and renders. What is refused, and how, is in hitl/web/guard.py; what things look like, in hitl/views."""
from flask import Blueprint

from hitl.api.card import card_api
from hitl.api.engine import engine_api
from hitl.api.evidence import evidence_api
from hitl.api.forge import deliveries_api
from hitl.api.interview import interview_api
from hitl.api.review import review_api
from hitl.api.sessions import sessions_api
from hitl.api.tickets import tickets_api

api = Blueprint("api", __name__, url_prefix="/api")
for part in (sessions_api, interview_api, card_api, tickets_api, review_api, evidence_api, deliveries_api, engine_api):
    api.register_blueprint(part)
