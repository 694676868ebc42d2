"""The JSON API of sessions: create, approve and build them, and read their contents."""
import tempfile
from typing import Any

from flask import Blueprint, Response, jsonify, request, send_file

from engine.errors import Gone, NotFound
from engine.git.branches import repository_path
from engine.git.repository import Repository
from hitl.session import sessions
from hitl.ticket_generator import start_build
from hitl.views import baseline
from hitl.views.board import board_view
from hitl.views.news import events_view
from hitl.views.notes import notes_markdown
from hitl.views.repository import repository_view, warnings_of
from hitl.views.session import session_list, session_view
from hitl.views.ticket import tickets_view
from hitl.web.context import swarm, tenant
from hitl.web.guard import json_body, optional_json_body
from hitl.web.input import PAGE, number

LOOK_SECONDS = 0.5  # an answer waits at most this long for a look at a repository
sessions_api = Blueprint("sessions_api", __name__)


def _session(session_id: str) -> dict[str, Any]:
    return session_view(swarm().db, swarm().config, tenant(), session_id)


@sessions_api.post("/hitl")
def create_session() -> tuple[Response, int]:
    body = json_body()
    session_id = sessions.create(swarm().db, swarm().config, tenant(), project_name=body.get("project_name"),
                                 description=body.get("description", ""), repository=body.get("repository"), review=body.get("review", False),
                                 spec_card=body.get("spec_card"))
    response = jsonify(_session(session_id))
    response.headers["Location"] = f"/api/hitl/{session_id}"
    return response, 201


@sessions_api.get("/hitl")
def list_sessions() -> Response:
    after = number("after", -1)
    return jsonify(session_list(swarm().db, tenant(), request.args.get("state"), number("limit", 50, PAGE, 1),
                                      None if after < 0 else after))


@sessions_api.get("/hitl/<session_id>")
def get_session(session_id: str) -> Response:
    return jsonify(_session(session_id))


@sessions_api.post("/hitl/<session_id>/approve")
def approve(session_id: str) -> Response:
    sessions.approve(swarm().db, tenant(), session_id, json_body().get("spec_sha256"))
    return jsonify(_session(session_id))


@sessions_api.post("/hitl/<session_id>/start-build")
def start(session_id: str) -> Response:
    """The build's answer, with what is known of its repository. What must be done first, the epic asks."""
    started = start_build(swarm().db, swarm().config, tenant(), session_id, json_body())
    at_base = baseline.warnings_of(baseline.baseline_view(swarm(), tenant(), session_id))
    found = warnings_of(repository_view(swarm(), tenant(), session_id, LOOK_SECONDS))
    return jsonify({**started, "warnings": [*found, *at_base]})


@sessions_api.get("/hitl/<session_id>/repository")
def repository(session_id: str) -> Response:
    return jsonify(repository_view(swarm(), tenant(), session_id, LOOK_SECONDS))


@sessions_api.post("/hitl/<session_id>/<any(reopen, pause, resume):what>")
def move_session(session_id: str, what: str) -> Response:
    optional_json_body()
    {"reopen": sessions.reopen, "pause": sessions.pause, "resume": sessions.resume}[what](swarm().db, tenant(), session_id)
    return jsonify(_session(session_id))


@sessions_api.post("/hitl/<session_id>/cancel")
def cancel_session(session_id: str) -> Response:
    sessions.cancel(swarm().db, tenant(), session_id, optional_json_body().get("reason", "Cancelled by hand."))
    return jsonify(_session(session_id))


@sessions_api.get("/hitl/<session_id>/tickets")
def session_tickets(session_id: str) -> Response:
    return jsonify(tickets=tickets_view(swarm().db, tenant(), session_id))


@sessions_api.get("/hitl/<session_id>/board")
def session_board(session_id: str) -> Response:
    return jsonify(board_view(swarm().db, tenant(), session_id))


@sessions_api.get("/hitl/<session_id>/events")
def session_events(session_id: str) -> Response:
    return jsonify(events_view(swarm().db, tenant(), session_id, number("after", 0), number("limit", PAGE, PAGE, 1)))


@sessions_api.get("/hitl/<session_id>/notes")
def session_notes(session_id: str) -> Response:
    return Response(notes_markdown(swarm().db, tenant(), session_id), content_type="text/markdown; charset=utf-8")


@sessions_api.get("/hitl/<session_id>/archive.zip")
def archive(session_id: str) -> Response:
    """The integration branch as a zip. Raises NotFound before the build is prepared, Gone if its repository or branch was removed since."""
    made = _session(session_id)["repository"]
    if made is None or not made["branch"]:
        raise NotFound("There is nothing to download yet. The build has not been prepared.")
    if made["gone"]:
        raise Gone(made["gone"])
    repository = Repository(repository_path(swarm().config, session_id))
    if repository.head(f"refs/heads/{made['branch']}") is None:
        raise Gone(f"The branch {made['branch']} was removed from {repository.path}, or it cannot be read. Copy the repository back to get the result again.")
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the response
    repository.archive(made["branch"], file)
    file.seek(0)
    return send_file(file, "application/zip", as_attachment=True, download_name=made["branch"].rpartition("/")[2] + ".zip")
