"""What a person does on a ticket's changes. Each form works without JavaScript; review.js sends some of them with X-Part and gets that part back."""
from typing import Any

from flask import Blueprint, Response, make_response, request

from engine.errors import BadRequest, SwarmError
from engine.tickets import actions
from engine.tickets import review_comments as store
from hitl.changes import change as review
from hitl.pages import review_screen
from hitl.pages.review_screen import Looking
from hitl.web.context import swarm, tenant
from hitl.web.forms import attempt, typed_text

review_pages = Blueprint("review", __name__)


@review_pages.get("/tickets/<ticket_id>/changes")
def changes(ticket_id: str) -> str:
    return review_screen.page(ticket_id, Looking.of(request.args))


@review_pages.get("/tickets/<ticket_id>/changes/<any(rows, facts):part>")
def part_of_changes(ticket_id: str, part: str) -> str:
    return {"rows": review_screen.rows, "facts": review_screen.facts}[part](ticket_id, Looking.of(request.args), request.args.get("tip", ""))


@review_pages.get("/tickets/<ticket_id>/changes/newer")
def newer(ticket_id: str) -> str:
    return review_screen.newer(ticket_id, request.args.get("tip", ""), request.args.get("status", ""))


@review_pages.get("/tickets/<ticket_id>/changes/comment")
def begin_comment(ticket_id: str) -> str:
    """A form for a comment on ?file=&side=&line=: nothing is saved yet."""
    tip, side = request.args.get("tip", ""), request.args.get("side", "")
    store.in_review(swarm().db, tenant(), ticket_id, tip)
    if side not in store.SIDES:
        raise BadRequest("side is L or R.")
    return review_screen.comment(ticket_id, Looking.of(request.args.get("look", "")), tip, {
        "seq": None, "path": request.args.get("file", ""), "side": side, "line": _whole(request.args.get("line", "")), "body": "", "state": "new",
        "anchor": request.args.get("anchor", "")})


@review_pages.post("/tickets/<ticket_id>/comments")
def save_comment(ticket_id: str) -> Response:
    looking, tip, name, side = _looking(), typed_text("tip"), request.form.get("file", ""), typed_text("side")
    line, body = _whole(typed_text("line")), typed_text("text")

    def save() -> int:
        return review.draft(swarm().db, swarm().config, tenant(), ticket_id, tip, name, side, line, body)

    if _wants_part():
        seq = save()
        return make_response(review_screen.comment(ticket_id, looking, tip, {"seq": seq, "path": name, "side": side, "line": line, "body": body,
                                                                             "state": "draft", "anchor": typed_text("anchor")}))
    return attempt(save, _back(ticket_id, looking), lambda error: review_screen.page(ticket_id, looking, error, body))


@review_pages.post("/tickets/<ticket_id>/comments/<int:seq>/discard")
def discard_comment(ticket_id: str, seq: int) -> Response:
    def discard() -> None:
        store.discard(swarm().db, tenant(), ticket_id, seq)

    if _wants_part():
        discard()
        return make_response("")
    return attempt(discard, _back(ticket_id, _looking()), lambda error: review_screen.page(ticket_id, _looking(), error))


@review_pages.post("/tickets/<ticket_id>/viewed")
def mark_viewed(ticket_id: str) -> Response:
    looking, tip, name, viewed = _looking(), typed_text("tip"), request.form.get("file", ""), typed_text("viewed") == "yes"

    def mark() -> None:
        review.set_viewed(swarm().db, swarm().config, tenant(), ticket_id, tip, name, viewed)

    if _wants_part():
        mark()
        return make_response(review_screen.viewed(ticket_id, looking, tip, name, viewed))
    return attempt(mark, _back(ticket_id, looking), lambda error: review_screen.page(ticket_id, looking, error))


@review_pages.post("/tickets/<ticket_id>/<any(approve, 'request-changes'):verdict>")
def decide(ticket_id: str, verdict: str) -> Response:
    """Bound to the commit that the form names: the one that was looked at."""
    tip, text = typed_text("tip"), typed_text("text")

    def send() -> Any:
        if verdict == "approve":
            return actions.approve(swarm().db, tenant(), ticket_id, tip=tip)
        return actions.request_changes(swarm().db, tenant(), ticket_id, text, tip=tip)

    def failed(error: SwarmError) -> str:
        return review_screen.page(ticket_id, _looking(), error, text)

    return attempt(send, f"/tickets/{ticket_id}", failed)


def _looking() -> Looking:
    return Looking.of(request.form.get("look", ""))


def _wants_part() -> bool:
    return request.headers.get("X-Part") == "1"


def _back(ticket_id: str, looking: Looking) -> str:
    """Where the form was."""
    query, place = looking.query(), typed_text("anchor")
    return f"/tickets/{ticket_id}/changes" + (f"?{query}" if query else "") + (f"#{place}" if place.replace("-", "").isalnum() else "")


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadRequest("line is a whole number.")
    return int(text)
