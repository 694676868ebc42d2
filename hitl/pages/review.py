"""The page of a ticket's changes with the review: comments, marks and the verdict. Its parts are in review_parts.

Each form works without JavaScript; changes.js sends some of them with X-Part and gets that part back."""
from typing import Any

from flask import Blueprint, Response, make_response, request

from engine.errors import SwarmError
from engine.tickets import actions, review_comments
from hitl.changes import change as changes
from hitl.changes.change import ShownChange
from hitl.pages import ticket
from hitl.pages.frame import as_problem, journal_end, render
from hitl.pages.review_parts import MOST_FILES, DiffQuery, comment_row, files_of_page, line_number, list_of_files, read_change, shown_file, viewed_form
from hitl.web.context import swarm, tenant
from hitl.web.forms import attempt, typed_text

routes = Blueprint("review", __name__)


@routes.get("/tickets/<ticket_id>/changes")
def review(ticket_id: str) -> str:
    return page(ticket_id, DiffQuery.of(request.args))


@routes.post("/tickets/<ticket_id>/comments")
def save_comment(ticket_id: str) -> Response:
    query, tip, name, side = _query(), typed_text("tip"), request.form.get("file", ""), typed_text("side")
    line, body = line_number(typed_text("line")), typed_text("text")

    def save() -> int:
        return changes.draft(swarm().db, swarm().config, tenant(), ticket_id, tip, name, side, line, body)

    if _wants_part():
        seq = save()
        return make_response(comment_row(ticket_id, query, tip, {"seq": seq, "path": name, "side": side, "line": line, "body": body,
                                                                 "state": "draft", "anchor": typed_text("anchor")}))
    return attempt(save, _back(ticket_id, query), lambda error: page(ticket_id, query, error, body))


@routes.post("/tickets/<ticket_id>/comments/<int:seq>/discard")
def discard_comment(ticket_id: str, seq: int) -> Response:
    def discard() -> None:
        review_comments.discard(swarm().db, tenant(), ticket_id, seq)

    if _wants_part():
        discard()
        return make_response("")
    return attempt(discard, _back(ticket_id, _query()), lambda error: page(ticket_id, _query(), error))


@routes.post("/tickets/<ticket_id>/viewed")
def mark_viewed(ticket_id: str) -> Response:
    query, tip, name, viewed = _query(), typed_text("tip"), request.form.get("file", ""), typed_text("viewed") == "yes"

    def mark() -> None:
        changes.set_viewed(swarm().db, swarm().config, tenant(), ticket_id, tip, name, viewed)

    if _wants_part():
        mark()
        return make_response(viewed_form(ticket_id, query, tip, name, viewed))
    return attempt(mark, _back(ticket_id, query), lambda error: page(ticket_id, query, error))


@routes.post("/tickets/<ticket_id>/<any(approve, 'request-changes'):verdict>")
def decide(ticket_id: str, verdict: str) -> Response:
    """Approves the change or sends it back. The form names the commit that you looked at; another commit is refused."""
    tip, text = typed_text("tip"), typed_text("text")

    def send() -> Any:
        if verdict == "approve":
            return actions.approve(swarm().db, tenant(), ticket_id, tip=tip)
        return actions.request_changes(swarm().db, tenant(), ticket_id, text, tip=tip)

    return attempt(send, f"/tickets/{ticket_id}", lambda error: page(ticket_id, _query(), error, text))


def _query() -> DiffQuery:
    return DiffQuery.of(request.form.get("look", ""))


def _wants_part() -> bool:
    return request.headers.get("X-Part") == "1"


def _back(ticket_id: str, query: DiffQuery) -> str:
    """The address of the form."""
    text, place = query.text(), typed_text("anchor")
    return f"/tickets/{ticket_id}/changes" + (f"?{text}" if text else "") + (f"#{place}" if place.replace("-", "").isalnum() else "")


def page(ticket_id: str, query: DiffQuery, error: SwarmError | None = None, kept: str = "") -> str:
    """kept: a text that was typed and not sent. Raises NotFound."""
    journal_end()
    of_ticket, runs = ticket.ticket_of(ticket_id), ticket.runs_of(ticket_id)
    change = read_change(ticket_id, query)
    asked, begun = ticket.request_of(of_ticket), _begun(change, query)
    names = {file.name for file in change.files}
    return render("changes/changes.html", "session", **ticket.head(of_ticket, ticket.opened(of_ticket, runs)), view="changes", error=as_problem(error),
                  files=[shown_file(change, file, place, query, begun) for place, file in files_of_page(change, query)],
                  **list_of_files(change, query), kept=kept, begun=begun, runs_checks=next((run for run in runs if run["checks"]), None),
                  review=asked if asked and asked["kind"] == "review" else None,
                  elsewhere=[comment for comment in change.comments if comment["path"] not in names], most_files=MOST_FILES,
                  nothing="No run of this ticket has handed over a commit yet." if change.tip is None else "The commit changes no file.")


def _begun(change: ShownChange, query: DiffQuery) -> tuple[str, str, int] | None:
    """(file, side, line) of a new comment that is not saved yet."""
    place, _, line = query.at.partition("-")
    if not change.reviewable or not line or not 1 <= int(place) <= len(change.files):
        return None
    return change.files[int(place) - 1].name, line[0], int(line[1:])
