"""The forms of the conversation: say something, answer or skip a question, draft the card. card_editor shows the page with these forms."""
import base64
from typing import Any

from flask import Blueprint, Response, request

from engine.errors import SwarmError
from hitl.card.rejected_form import RejectedForm, card_problems
from hitl.drafting import draft as drafting
from hitl.drafting import interview
from hitl.pages import session
from hitl.pages.frame import in_words
from hitl.pages.session_frame import base_of_form
from hitl.session import questions
from hitl.web.context import swarm, tenant
from hitl.web.forms import attempt, typed_text
from hitl.web.numbers import whole_number

routes = Blueprint("interview", __name__)
TOLD = 600  # seconds for which the page says how the version was drafted


@routes.post("/sessions/<session_id>/messages")
def say(session_id: str) -> Response:
    """text: the idea or a later thought. begin: the description is the idea."""
    text = None if "begin" in request.form else typed_text("text")
    return attempt(lambda: interview.say(swarm().db, swarm().config, tenant(), session_id, text), lambda: _next(session_id),
                   lambda error: _with(session_id, error, "say"))


@routes.post("/sessions/<session_id>/questions/<int:number>/answer")
def answer(session_id: str, number: int) -> Response:
    """choice: the number of an option; skip: 'one' or 'all'; else text."""
    db, config = swarm().db, swarm().config
    choice, skip = request.form.get("choice", ""), request.form.get("skip", "")

    def do() -> None:
        with db.transaction():
            if skip:
                interview.answer(db, config, tenant(), session_id, number, skip=True)
            elif (picked := whole_number(choice)) is not None:
                interview.answer(db, config, tenant(), session_id, number, choice=picked)
            else:
                interview.answer(db, config, tenant(), session_id, number, text=typed_text("text"))
            if skip == "all":
                interview.skip_rest(db, config, tenant(), session_id)

    return attempt(do, lambda: _next(session_id), lambda error: _with(session_id, error, "answer", str(number)))


def _next(session_id: str) -> str:
    """The next question, which then has the focus; without one, the card."""
    return f"/sessions/{session_id}#{'card' if questions.open_number(swarm().db, session_id) is None else 'ask'}"


def _with(session_id: str, error: SwarmError, what: str, place: str = "") -> str:
    """The page with the typed text and, next to it, the reason why it was not accepted."""
    problems = [problem["message"] for problem in card_problems(error)] or [in_words(error.sentence)]
    kept = RejectedForm(what, place, {"text": typed_text("text")}, rest=problems)
    late = error.status == 409  # the page then shows the current state, which no longer has this form
    return session.page(session_id, error=error, kept=None if late and what == "answer" else kept)


@routes.post("/sessions/<session_id>/draft")
def draft(session_id: str) -> Response:
    """Drafts the card. A cookie tells the next page who drafted it, and why that is not the chosen drafter."""
    outcomes: list[dict[str, Any]] = []

    def do() -> None:
        outcomes.append(drafting.draft(swarm().db, swarm().config, tenant(), session_id, request.form.get("drafter", "auto"), base_of_form()))

    response = attempt(do, f"/sessions/{session_id}#card", lambda error: session.page(session_id, error=error))
    for outcome in outcomes:
        told = f"{outcome['version']} {outcome['drafter']} {outcome['fallback'] or ''}"[:400]
        response.set_cookie("drafted", base64.urlsafe_b64encode(told.encode()).decode(), max_age=TOLD, path=f"/sessions/{session_id}", samesite="Lax",
                            httponly=True)
    return response
