"""The JSON API of tickets: the ticket, its runs, and the actions on it."""
from flask import Blueprint, Response, jsonify, request

from engine.tickets import actions, answers
from hitl.amend import ticket_edit
from hitl.changes.span import diff_view
from hitl.views.inbox import requests_view
from hitl.views.ticket import log_slice, run_of, runs_view, ticket_view
from hitl.web.context import swarm, tenant
from hitl.web.guard import json_body, optional_json_body
from hitl.web.input import number, text_of, whole

tickets_api = Blueprint("tickets_api", __name__)


@tickets_api.get("/tickets/<ticket_id>")
def get_ticket(ticket_id: str) -> Response:
    return jsonify(ticket_view(swarm().db, tenant(), ticket_id))


@tickets_api.get("/tickets/<ticket_id>/runs")
def ticket_runs(ticket_id: str) -> Response:
    return jsonify(runs=runs_view(swarm().db, tenant(), ticket_id))


@tickets_api.get("/tickets/<ticket_id>/log")
def ticket_log(ticket_id: str) -> Response:
    """?after=<bytes>&run=<id>. Without a run it uses the latest one."""
    after = number("after", 0)
    run = run_of(swarm().db, tenant(), ticket_id, request.args.get("run"))
    if run is None:
        return jsonify(run=None, text="", size=0, next=0)
    return jsonify(run=run["id"], **log_slice(swarm().config, run["id"], after))


@tickets_api.get("/tickets/<ticket_id>/diff")
def ticket_diff(ticket_id: str) -> Response:
    return jsonify(diff_view(swarm().db, swarm().config, tenant(), ticket_id, request.args.get("run")))


@tickets_api.post("/tickets/<ticket_id>/<any(retry, cancel, answer, message, stop, waive, edit):what>")
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
        actions.cancel(db, tenant(), ticket_id, text_of(body, "reason", 1000, "Cancelled by hand."), go_on_without=body.get("go_on_without") is True)
    else:
        answers.answer(db, tenant(), ticket_id, body.get("answer", ""))
    return jsonify(ticket_view(db, tenant(), ticket_id))


@tickets_api.get("/requests")
def open_requests() -> Response:
    return jsonify(requests=requests_view(swarm().db, tenant()))
