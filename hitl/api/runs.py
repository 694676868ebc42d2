"""The JSON API of runs, with or without a ticket."""
from flask import Blueprint, Response, jsonify

from engine.runs import wanted
from engine.tickets import actions
from hitl.views.ticket import log_slice, run_dict
from hitl.web.context import swarm, tenant
from hitl.web.guard import optional_json_body
from hitl.web.input import number

runs_api = Blueprint("runs_api", __name__)


@runs_api.get("/runs/<run_id>")
def get_run(run_id: str) -> Response:
    return jsonify(run_dict(wanted.get(swarm().db, tenant(), run_id)))


@runs_api.get("/runs/<run_id>/log")
def run_log(run_id: str) -> Response:
    """?after=<bytes>"""
    after = number("after", 0)
    return jsonify(run=wanted.get(swarm().db, tenant(), run_id)["id"], **log_slice(swarm().config, run_id, after))


@runs_api.post("/runs/<run_id>/cancel")
def cancel_run(run_id: str) -> Response:
    """Ends a run without a ticket. A live run of a ticket is stopped as by the ticket's own stop: the ticket then waits for a decision."""
    run = wanted.get(swarm().db, tenant(), run_id)
    optional_json_body()
    if run["ticket_id"] is not None and run["ended_at"] is None:
        actions.stop(swarm().db, tenant(), run["ticket_id"])
        return jsonify(run_dict(wanted.get(swarm().db, tenant(), run_id)))
    return jsonify(run_dict(wanted.cancel(swarm().db, tenant(), run_id)))
