"""One repository: where it is, its environment with the run that makes it, what its checks said at the base, its sessions and settings."""
from typing import Any

from flask import Blueprint, render_template, request, url_for

from engine.environments import layers
from engine.errors import SwarmError
from engine.repositories import snapshots, sources, versions
from engine.repositories.rows import RepositoryRow
from hitl.pages import ticket_log
from hitl.pages.frame import as_problem, journal_end, render
from hitl.pages.repositories import steps_form
from hitl.pages.repositories.steps_form import Typed
from hitl.views import fetching
from hitl.views.repositories import page as parts
from hitl.views.repositories import repository_dict
from hitl.views.repositories.grounds import standing_notice
from hitl.views.repositories.look import look_at
from hitl.web.context import swarm, tenant
from hitl.web.filters import duration, size
from hitl.web.numbers import whole_number

routes = Blueprint("repository", __name__)
# state of the environment: (state for glyph and colour, words)
WORDS = {"none": ("pending", "No environment"), "proposed": ("open", "Environment proposed"), "building": ("running", "Environment is being made"),
         "ready": ("completed", "Environment ready"), "failed": ("failed", "Environment failed"), "without": ("cancelled", "Without an environment")}


@routes.get("/repositories/<repository_id>")
def show(repository_id: str) -> str:
    row = sources.get(swarm().db, tenant(), repository_id)
    return page(look_at(swarm(), row, 0.0) if row["state"] == "unknown" else row)


@routes.get("/repositories/<repository_id>/fetching")
def fetching_part(repository_id: str) -> str:
    """The part of the page about fetches, which asks for itself again when a log grows."""
    row = sources.get(swarm().db, tenant(), repository_id)
    return render_template("repository/fetching.html", base=f"/repositories/{row['id']}", fetches=_fetches(row))


def _fetches(row: RepositoryRow) -> list[dict[str, Any]]:
    return fetching.of_repository(swarm().db, swarm().config, tenant(), row["id"])


def page(row: RepositoryRow, error: SwarmError | None = None, typed: Typed | None = None) -> str:
    """typed: steps that were typed and are not saved yet, or were not accepted."""
    seq, db = journal_end(), swarm().db
    repository = repository_dict(swarm(), row)
    environment, run = repository["environment"], parts.setup_run(db, row)
    state = "without" if environment["without"] else environment["state"]
    editing = typed is not None or "edit" in request.args or state == "proposed"
    copies = parts.copies_of(db, row["id"])
    current = next((each for each in copies if each["key"] == environment["key"]), None)
    found = parts.sessions_of(db, row["id"])
    return render(
        "repository/repository.html", "repositories", repository=repository, repository_id=row["id"], environment=environment, state=state,
        words=WORDS[state], error=as_problem(error), seq_end=seq, editing=editing, refresh=typed is None and "edit" not in request.args,
        typed=(typed or _typed(row, environment)) if editing else None, run=run, log=_log(run, state), log_base=f"/runs/{run['id']}" if run else "",
        figures=_figures(environment, current), copies=[each for each in copies if each is not current], current=current,
        versions=parts.versions_of(db, row["id"]), vanished=_vanished(row) if state == "building" else False, baseline=parts.baseline_of(db, row["id"]),
        notice=standing_notice(swarm()) if state != "without" else "", agents_reach=list(swarm().config.egress_hosts),
        fetches=_fetches(row), **found)


def _typed(row: RepositoryRow, environment: dict[str, Any]) -> Typed:
    """The steps that the form begins with: those of the version that the query names, or else those that are shown."""
    seq = whole_number(request.args.get("version", ""))
    version = next((each for each in versions.history(swarm().db, row["id"]) if each["seq"] == seq), None) if seq else None
    steps = versions.readable(version).as_json() if version else environment["steps"]
    return steps_form.of_steps(steps, environment["sha256"] or "")


def _log(run: dict[str, Any] | None, state: str) -> dict[str, Any] | None:
    return ticket_log.piece(run) if run and run["state"] != "wanted" else None


def _figures(environment: dict[str, Any], current: dict[str, Any] | None) -> list[tuple[str, Any, str, str]]:
    """[(name, value, small words, kind)] of the snapshot that is used."""
    if current is None:
        return []
    return [("Size", size(current["bytes"] or 0), "", ""), ("Prepared in", duration(current["seconds"]), "once", ""),
            ("Last used", current["used_at"], "", "time"), ("Runs on it", str(current["live"]), f"of {current['runs']} so far", "")]


def _vanished(row: RepositoryRow) -> bool:
    """Whether a snapshot was made before and is gone or damaged."""
    newest = snapshots.newest(swarm().db, row["id"])
    return newest is not None and layers.read(layers.root(swarm().config.data) / newest["key"]) is None


def address(repository_id: str) -> str:
    return url_for("pages.repository.show", repository_id=repository_id)
