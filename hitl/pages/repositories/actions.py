"""The forms of a repository's page."""
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, make_response, request

from engine.errors import SwarmError, WrongState
from engine.repositories import decisions, sources, versions
from engine.repositories.rows import RepositoryRow
from engine.repositories.settings import LIMITS
from engine.runs import wanted
from hitl.pages.repositories import steps_form
from hitl.pages.repositories.page import address, page
from hitl.views.repositories.look import look_at
from hitl.web.context import swarm, tenant
from hitl.web.forms import attempt, go, typed_text
from hitl.web.numbers import whole_number

routes = Blueprint("repository_actions", __name__)
LOOK_SECONDS = 10.0


def _row(repository_id: str) -> RepositoryRow:
    return sources.get(swarm().db, tenant(), repository_id)


def _do(repository_id: str, do: Callable[[RepositoryRow], Any], anchor: str = "") -> Response:
    row = _row(repository_id)
    return attempt(lambda: do(row), address(row["id"]) + anchor, lambda error: page(_row(repository_id), error))


@routes.post("/repositories/<repository_id>/look")
def look(repository_id: str) -> Response:
    return _do(repository_id, lambda row: look_at(swarm(), row, LOOK_SECONDS))


@routes.post("/repositories/<repository_id>/steps")
def steps(repository_id: str) -> Response:
    """Saves the steps of the form and approves them: who writes them has approved them. do=without: builds go on without.
    do=discard: drops the proposal, and what is in use stays."""
    row, typed = _row(repository_id), steps_form.of_form()
    what = typed_text("do")
    if what == "without":
        return _do(repository_id, lambda row: decisions.go_on(swarm().db, row, True, "you"))
    if what == "discard":
        return _do(repository_id, lambda row: versions.discard(swarm().db, row["id"]))
    if what == "add" or "up" in request.form:
        return make_response(page(row, typed=typed))
    try:
        _approve(row, typed)
    except SwarmError as error:
        if error.status >= 500:
            raise
        return make_response(page(_row(repository_id), error, typed), error.status)
    return go(address(row["id"]))


def _approve(row: RepositoryRow, typed: steps_form.Typed) -> None:
    """Raises WrongState if other steps were written since the form was shown."""
    db, made = swarm().db, steps_form.steps_of(typed)
    with db.transaction():
        shown = versions.proposed(db, row["id"]) or versions.approved(db, row["id"])
        if (shown["sha256"] if shown else "") != typed.seen:
            raise WrongState("The environment has changed since you opened this form. What you typed is kept below: compare it, then approve it again.",
                             sha256=shown["sha256"] if shown else None)
        decisions.write(db, row, made, "you")


@routes.post("/repositories/<repository_id>/environment/<any(build, again, update, without, with):what>")
def environment(repository_id: str, what: str) -> Response:
    db = swarm().db
    does: dict[str, Callable[[RepositoryRow], Any]] = {
        "build": lambda row: decisions.build(db, row), "again": lambda row: decisions.build(db, row, again=True),
        "update": lambda row: decisions.build(db, row, update=True), "without": lambda row: decisions.go_on(db, row, True, "you"),
        "with": lambda row: decisions.go_on(db, row, False, "you")}
    return _do(repository_id, does[what])


@routes.post("/repositories/<repository_id>/environments/<key>/delete")
def remove(repository_id: str, key: str) -> Response:
    return _do(repository_id, lambda row: decisions.remove_environment(swarm().db, swarm().config, row, key))


@routes.post("/repositories/<repository_id>/runs/<run_id>/cancel")
def cancel(repository_id: str, run_id: str) -> Response:
    return _do(repository_id, lambda row: wanted.cancel(swarm().db, tenant(), run_id))


@routes.post("/repositories/<repository_id>/settings")
def settings(repository_id: str) -> Response:
    """One form's part of the settings: those whose fields it has."""
    values: dict[str, Any] = {name: typed_text(name) for name in ("author", "sign_off") if name in request.form}
    if "max_parallel" in request.form:
        values["max_parallel"] = _number("max_parallel")
    limits = {name: _number(name) for name in LIMITS if name in request.form}
    if limits:
        values["limits"] = limits
    if "hooks" in request.form:
        values["hooks"] = request.form["hooks"] == "on"
    return _do(repository_id, lambda row: decisions.edit(swarm().db, row, values), typed_text("at")[:20])


def _number(name: str) -> int | str | None:
    """A number; text that is none stays, so that the settings refuse it by name; None for an empty field."""
    text = typed_text(name)
    number = whole_number(text)
    return number if number is not None else text or None


@routes.post("/repositories/<repository_id>/delete")
def delete(repository_id: str) -> Response:
    row = _row(repository_id)
    return attempt(lambda: decisions.delete(swarm().db, swarm().config, row), "/repositories", lambda error: page(_row(repository_id), error))
