"""The JSON API of the conversation: messages, questions and answers."""
from flask import Blueprint, Response, jsonify

from engine.errors import BadRequest
from hitl.drafting import conversation, interview
from hitl.web.context import swarm, tenant
from hitl.web.guard import json_body, optional_json_body

interview_api = Blueprint("interview_api", __name__)


@interview_api.get("/hitl/<session_id>/messages")
def messages(session_id: str) -> Response:
    return jsonify(conversation.conversation_view(swarm().db, tenant(), session_id))


@interview_api.post("/hitl/<session_id>/messages")
def say(session_id: str) -> Response:
    """{"text"}: the idea or a later thought. Without it a draft's interview starts from its description."""
    interview.say(swarm().db, swarm().config, tenant(), session_id, optional_json_body().get("text"))
    return messages(session_id)


@interview_api.get("/hitl/<session_id>/questions")
def questions(session_id: str) -> Response:
    return jsonify(conversation.questions_view(swarm().db, tenant(), session_id))


@interview_api.post("/hitl/<session_id>/questions/<int:number>/answer")
def answer(session_id: str, number: int) -> Response:
    """{"choice": n from 1}, {"text"} or {"skip": true}; {"skip": true, "rest": true} also skips all later questions."""
    body = json_body()
    for name in ("skip", "rest"):
        if not isinstance(body.get(name, False), bool):
            raise BadRequest(f"{name} must be true or false.")
    db, config, skip = swarm().db, swarm().config, body.get("skip", False)
    if body.get("rest") and not skip:
        raise BadRequest("rest is allowed only with skip.")
    with db.transaction():
        interview.answer(db, config, tenant(), session_id, number, choice=body.get("choice"), text=body.get("text"), skip=skip)
        if body.get("rest"):
            interview.skip_rest(db, config, tenant(), session_id)
    return messages(session_id)
