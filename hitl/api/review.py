"""The JSON API of a review: the change of a ticket, comments on its lines, viewed files, and the verdict."""
from typing import Any

from flask import Blueprint, Response, jsonify, request

from engine.errors import BadRequest
from engine.tickets import actions
from engine.tickets import review_comments as store
from engine.tickets import states as tickets
from hitl.changes import change as review
from hitl.views.ticket import ticket_view
from hitl.web.context import swarm, tenant
from hitl.web.guard import json_body, optional_json_body
from hitl.web.input import text_of
from hitl.web.numbers import is_whole

review_api = Blueprint("review_api", __name__)


def _change(ticket_id: str) -> dict[str, Any]:
    return review.view(review.change(swarm().db, swarm().config, tenant(), ticket_id, request.args.get("since", ""),
                                     space=request.args.get("space") != "hide"))


@review_api.get("/tickets/<ticket_id>/review")
def get_review(ticket_id: str) -> Response:
    """?since=<sha>: only the differences from that commit, which was reviewed before; ?space=hide: without lines that differ only in white space."""
    return jsonify(_change(ticket_id))


@review_api.get("/tickets/<ticket_id>/comments")
def list_comments(ticket_id: str) -> Response:
    found = _change(ticket_id)
    return jsonify(tip=found["tip"], comments=found["comments"])


@review_api.post("/tickets/<ticket_id>/comments")
def save_comment(ticket_id: str) -> tuple[Response, int]:
    """Saves a draft and replaces an earlier draft on the same line."""
    body = json_body()
    line = body.get("line")
    if not is_whole(line, 1, 2**31 - 1):
        raise BadRequest("line must be a whole number from 1.")
    seq = review.draft(swarm().db, swarm().config, tenant(), ticket_id, text_of(body, "tip", 64), text_of(body, "path", 5000),
                       text_of(body, "side", 1, "R"), line, text_of(body, "body", store.BODY_LIMIT))
    response = jsonify(next(each for each in _change(ticket_id)["comments"] if each["seq"] == seq))
    response.headers["Location"] = f"/api/tickets/{ticket_id}/comments"
    return response, 201


@review_api.delete("/tickets/<ticket_id>/comments/<int:comment>")
def discard_comment(ticket_id: str, comment: int) -> Response:
    store.discard(swarm().db, tenant(), ticket_id, min(comment, 2**62))
    return list_comments(ticket_id)


@review_api.post("/tickets/<ticket_id>/viewed")
def mark_viewed(ticket_id: str) -> Response:
    body = json_body()
    if not isinstance(body.get("viewed", True), bool):
        raise BadRequest("viewed must be true or false.")
    review.set_viewed(swarm().db, swarm().config, tenant(), ticket_id, text_of(body, "tip", 64), text_of(body, "path", 5000),
                      body.get("viewed", True))
    return jsonify(_change(ticket_id))


@review_api.post("/tickets/<ticket_id>/approve")
def approve(ticket_id: str) -> Response:
    """tip: the commit that you looked at. If another commit is in review now, the answer is 409."""
    body = optional_json_body()
    tickets.get(swarm().db, tenant(), ticket_id)
    actions.approve(swarm().db, tenant(), ticket_id, tip=text_of(body, "tip", 64))
    return jsonify(ticket_view(swarm().db, tenant(), ticket_id))


@review_api.post("/tickets/<ticket_id>/request-changes")
def request_changes(ticket_id: str) -> Response:
    """Sends the change back: with a general comment, drafts on lines, or both."""
    body = json_body()
    comments = text_of(body, "comments", 20_000) if body.get("comments") != "" and "comments" in body else ""
    actions.request_changes(swarm().db, tenant(), ticket_id, comments, tip=text_of(body, "tip", 64) if "tip" in body else None)
    return jsonify(ticket_view(swarm().db, tenant(), ticket_id))
