"""JSON under /api: parse, call, render. What is refused, and how, is in guard; what things look like, in views."""
import tempfile
from typing import Any

from flask import Blueprint, Response, jsonify, request, send_file

from engine.errors import NotFound
from engine.git.branches import repository_path
from engine.git.repository import Repository
from engine.tickets import actions, answers, claims
from hitl.amend import ticket_edit
from hitl.api import openapi
from hitl.api.card import card_api
from hitl.api.evidence import evidence_api
from hitl.api.interview import interview_api
from hitl.api.review import review_api
from hitl.changes.span import diff_view
from hitl.session import sessions
from hitl.ticket_generator import start_build
from hitl.views.board import board_view
from hitl.views.engine import engine_view, health_view
from hitl.views.inbox import requests_view
from hitl.views.news import events_view
from hitl.views.notes import notes_markdown
from hitl.views.session import session_list, session_view
from hitl.views.ticket import log_slice, run_of, runs_view, ticket_view, tickets_view
from hitl.web.context import swarm, tenant
from hitl.web.guard import json_body, optional_json_body
from hitl.web.input import PAGE, number, text_of, whole

api = Blueprint("api", __name__, url_prefix="/api")
api.register_blueprint(card_api)
api.register_blueprint(evidence_api)
api.register_blueprint(interview_api)
api.register_blueprint(review_api)


def _session(session_id: str) -> dict[str, Any]:
    return session_view(swarm().db, swarm().config, tenant(), session_id)


@api.post("/hitl")
def create_session() -> tuple[Response, int]:
    body = json_body()
    session_id = sessions.create(swarm().db, swarm().config, tenant(), project_name=body.get("project_name"),
                                 description=body.get("description", ""), repository=body.get("repository"), review=body.get("review", False),
                                 spec_card=body.get("spec_card"))
    response = jsonify(_session(session_id))
    response.headers["Location"] = f"/api/hitl/{session_id}"
    return response, 201


@api.get("/hitl")
def list_sessions() -> Response:
    after = number("after", -1)
    return jsonify(session_list(swarm().db, tenant(), request.args.get("state"), number("limit", 50, PAGE, 1),
                                      None if after < 0 else after))


@api.get("/hitl/<session_id>")
def get_session(session_id: str) -> Response:
    return jsonify(_session(session_id))


@api.post("/hitl/<session_id>/approve")
def approve(session_id: str) -> Response:
    sessions.approve(swarm().db, tenant(), session_id, json_body().get("spec_sha256"))
    return jsonify(_session(session_id))


@api.post("/hitl/<session_id>/start-build")
def start(session_id: str) -> Response:
    return jsonify(start_build(swarm().db, swarm().config, tenant(), session_id, json_body()))


@api.post("/hitl/<session_id>/<any(reopen, pause, resume):what>")
def move_session(session_id: str, what: str) -> Response:
    optional_json_body()
    {"reopen": sessions.reopen, "pause": sessions.pause, "resume": sessions.resume}[what](swarm().db, tenant(), session_id)
    return jsonify(_session(session_id))


@api.post("/hitl/<session_id>/cancel")
def cancel_session(session_id: str) -> Response:
    sessions.cancel(swarm().db, tenant(), session_id, optional_json_body().get("reason", "Cancelled by a person."))
    return jsonify(_session(session_id))


@api.get("/hitl/<session_id>/tickets")
def session_tickets(session_id: str) -> Response:
    return jsonify(tickets=tickets_view(swarm().db, tenant(), session_id))


@api.get("/hitl/<session_id>/board")
def session_board(session_id: str) -> Response:
    return jsonify(board_view(swarm().db, tenant(), session_id))


@api.get("/hitl/<session_id>/events")
def session_events(session_id: str) -> Response:
    return jsonify(events_view(swarm().db, tenant(), session_id, number("after", 0), number("limit", PAGE, PAGE, 1)))


@api.get("/hitl/<session_id>/notes")
def session_notes(session_id: str) -> Response:
    return Response(notes_markdown(swarm().db, tenant(), session_id), content_type="text/markdown; charset=utf-8")


@api.get("/hitl/<session_id>/archive.zip")
def archive(session_id: str) -> Response:
    """The integration branch as a zip."""
    made = _session(session_id)["repository"]
    if made is None or not made["branch"]:
        raise NotFound("There is nothing to download yet: the build has not been prepared.")
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the response
    Repository(repository_path(swarm().config, session_id)).archive(made["branch"], file)
    file.seek(0)
    return send_file(file, "application/zip", as_attachment=True, download_name=made["branch"].rpartition("/")[2] + ".zip")


@api.get("/tickets/<ticket_id>")
def get_ticket(ticket_id: str) -> Response:
    return jsonify(ticket_view(swarm().db, tenant(), ticket_id))


@api.get("/tickets/<ticket_id>/runs")
def ticket_runs(ticket_id: str) -> Response:
    return jsonify(runs=runs_view(swarm().db, tenant(), ticket_id))


@api.get("/tickets/<ticket_id>/log")
def ticket_log(ticket_id: str) -> Response:
    """?after=<bytes>&run=<id>; without a run, the latest."""
    after = number("after", 0)
    run = run_of(swarm().db, tenant(), ticket_id, request.args.get("run"))
    if run is None:
        return jsonify(run=None, text="", size=0, next=0)
    return jsonify(run=run["id"], **log_slice(swarm().config, run["id"], after))


@api.get("/tickets/<ticket_id>/diff")
def ticket_diff(ticket_id: str) -> Response:
    return jsonify(diff_view(swarm().db, swarm().config, tenant(), ticket_id, request.args.get("run")))


@api.post("/tickets/<ticket_id>/<any(retry, cancel, answer, message, stop, waive, edit):what>")
def steer_ticket(ticket_id: str, what: str) -> Response:
    body = json_body() if what in ("answer", "message", "waive", "edit") else optional_json_body()
    db = swarm().db
    decide = {"message": lambda: actions.tell(db, tenant(), ticket_id, body.get("text", "")),
              "stop": lambda: actions.stop(db, tenant(), ticket_id),
              "waive": lambda: actions.waive(db, tenant(), ticket_id, whole(body, "criterion"), body.get("reason", "")),
              "edit": lambda: ticket_edit.edit(db, swarm().config, tenant(), ticket_id, body)}
    if what in decide:
        decide[what]()
        return jsonify(ticket_view(db, tenant(), ticket_id))
    if what == "retry":
        actions.retry(db, tenant(), ticket_id)
    elif what == "cancel":
        actions.cancel(db, tenant(), ticket_id, text_of(body, "reason", 1000, "Cancelled by a person."), go_on_without=body.get("go_on_without") is True)
    else:
        answers.answer(db, tenant(), ticket_id, body.get("answer", ""))
    return jsonify(ticket_view(db, tenant(), ticket_id))


@api.get("/requests")
def open_requests() -> Response:
    return jsonify(requests=requests_view(swarm().db, tenant()))


@api.get("/engine")
def engine() -> Response:
    return jsonify(engine_view(swarm()))


@api.post("/engine/<any(pause, resume):what>")
def pause_engine(what: str) -> Response:
    reason = text_of(optional_json_body(), "reason", 1000, "Paused by a person.")
    claims.set_paused(swarm().db, what == "pause", reason)
    return jsonify(engine_view(swarm()))


@api.get("/health")
def health() -> Response:
    return jsonify(health_view(swarm()))


@api.get("/openapi.json")
def description() -> Response:
    return jsonify(openapi.document())
