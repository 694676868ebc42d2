"""What someone decides about a repository on its page: its settings, its environment, and that it is removed."""
import json
from collections.abc import Mapping
from typing import Any

from engine.config import Config
from engine.environments import layers
from engine.environments.steps import Steps, parse
from engine.errors import BadRequest, WrongState
from engine.repositories import requests, settings, snapshots, versions
from engine.repositories.rows import EnvironmentRow, RepositoryRow
from engine.runs import wanted
from engine.store.db import Database
from engine.text import stored
from engine.tickets import answers
from engine.tickets.rows import OwnedRequestRow, OwnedRunRow
from engine.times import NOW

SETTINGS = ("author", "sign_off", "max_parallel", "limits", "hooks", "without")
# Epics of builds in this repository that wait for its environment, or ask about it.
_WAITING = ("select 1 from tickets e join hitl_sessions s on s.id = e.session_id where s.repository_id = ? and s.state = 'building'"
            " and e.waits_for = 'environment' and e.status in ('running', 'needs_input') limit 1")


def edit(db: Database, repository: RepositoryRow, values: Mapping[str, Any]) -> None:
    """Stores settings; the steps of `environment` become a proposal, and null or {} removes them. A setting that is null gets its default.
    Raises BadRequest with details; then nothing is changed."""
    if not isinstance(values.get("limits") or {}, Mapping):
        raise BadRequest("limits must be an object. Fix it and send again.", details=[{"path": "limits", "message": "must be an object"}])
    given = values.get("environment")
    steps = parse(given) if given else Steps()
    with db.transaction():
        held = stored(db.value("select settings from repositories where id = ?", (repository["id"],)), {})
        held = held if isinstance(held, dict) else {}
        changed = {name: value for name, value in values.items() if name != "environment"}
        if changed:
            if "limits" in changed:
                changed["limits"] = {name: value for name, value in {**(held.get("limits") or {}), **(changed["limits"] or {})}.items() if value is not None}
            kept = {name: value for name, value in {**held, **changed}.items() if value is not None}
            _store(db, repository["id"], settings.checked(kept))
        if "environment" in values and steps == Steps():
            versions.retire(db, repository["id"])
        elif "environment" in values:
            versions.propose(db, repository, steps, "page")


def _store(db: Database, repository_id: str, values: Mapping[str, Any]) -> None:
    db.execute(f"update repositories set settings = ?, updated_at = {NOW} where id = ?", (json.dumps(values, ensure_ascii=False), repository_id))


def approve(db: Database, repository: RepositoryRow, sha256: str, by: str) -> None:
    """Approves these steps and has the environment made: by the builds that wait for it, or else by a run of the repository.
    Raises WrongState if the steps are others meanwhile."""
    with db.transaction():
        versions.approve(db, repository["id"], sha256, by)
        requests.withdraw(db, repository["id"])
        requests.withdraw(db, repository["id"])
        settings.set_without(db, repository["id"], False)
        if not _answer(db, repository["id"], (requests.APPROVE, requests.AGAIN), by) and db.value(_WAITING, (repository["id"],)) is None:
            build(db, repository)


def write(db: Database, repository: RepositoryRow, steps: Steps, by: str) -> None:
    """The steps that someone wrote on the page: they are approved with that. No steps: the repository has none any more."""
    with db.transaction():
        if steps == Steps():
            versions.retire(db, repository["id"])
            return
        used = versions.approved(db, repository["id"])
        waiting = versions.propose(db, repository, steps, "page")
        if waiting is None:  # they are approved already
            versions.discard(db, repository["id"])
        approve(db, repository, waiting["sha256"] if waiting else str(used and used["sha256"]), by)


def build(db: Database, repository: RepositoryRow, again: bool = False, update: bool = False, by: str = "you") -> OwnedRunRow | None:
    """Has the environment made for the newest commit of the branch. again: from nothing, even if there is one; update: on top of the newest one.
    -> the run; None if builds that wait for it have it made. Raises WrongState if no steps are approved."""
    with db.transaction():
        used = versions.approved(db, repository["id"])
        if used is None:
            raise WrongState("No steps of an environment are approved, so nothing can be made. Write steps or approve the proposal first.")
        requests.withdraw(db, repository["id"], of_setup=True)
        if not again and not update and _answer(db, repository["id"], (requests.AGAIN,), by):
            return None
        older = snapshots.newest(db, repository["id"]) if update else None
        return wanted.want(db, "setup", "repository", repository["id"], repository["tenant_id"],
                           {"sha256": used["sha256"], "again": again or update, "base": older["key"] if older else ""})


def go_on(db: Database, repository: RepositoryRow, without: bool, by: str) -> None:
    """Builds go on without an environment from now on, also those that wait; or they have one again."""
    with db.transaction():
        settings.set_without(db, repository["id"], without)
        if without:
            requests.withdraw(db, repository["id"])
            _answer(db, repository["id"], (requests.WITHOUT,), by)


def _answer(db: Database, repository_id: str, words: tuple[str, ...], by: str) -> int:
    """Answers the open requests of builds about this environment with the first of these words that each offers. -> how many"""
    count = 0
    for row in db.all("select q.* from requests q join hitl_sessions s on s.id = q.session_id where s.repository_id = ? and q.kind = 'environment'"
                      " and q.state = 'open' and q.ticket_id is not null order by q.seq", (repository_id,), OwnedRequestRow):
        word = next((each for each in words if each in stored(row["options"], [])), None)
        if word:
            answers.answer_request(db, row["tenant_id"], row["seq"], word, by)
            count += 1
    return count


def remove_environment(db: Database, config: Config, repository: RepositoryRow, key: str) -> bool:
    """No build takes this snapshot from now on. -> True if its files are out of use already; False: a run stands on them, so they go later."""
    with db.transaction():
        row = db.one("select * from environments where repository_id = ? and key = ? and state = 'ready'", (repository["id"], key), EnvironmentRow)
        if row is None:
            raise WrongState("This environment was removed already.")
        return _remove(db, config, row)


def _remove(db: Database, config: Config, row: EnvironmentRow) -> bool:
    db.execute("update environments set state = 'removed' where seq = ?", (row["seq"],))
    others = db.value("select 1 from environments where key = ? and state = 'ready'", (row["key"],))
    return others is not None or layers.set_aside(config.data, row["key"])


def delete(db: Database, config: Config, repository: RepositoryRow) -> None:
    """Removes the repository from this installation, with its environments. Its sessions stay. Raises WrongState while something runs in it."""
    with db.transaction():
        building = [str(row[0]) for row in db.execute("select project_name from hitl_sessions where repository_id = ? and state = 'building' order by seq",
                                                      (repository["id"],))]
        if building:
            raise WrongState(f"{repository['name']} is in use: {', '.join(building[:3])}{' and more' if len(building) > 3 else ''} "
                             f"{'is' if len(building) == 1 else 'are'} building in it. Wait for the end, or cancel the build.", currentState="building")
        if db.value("select 1 from runs where owner_kind = 'repository' and owner = ? and ended_at is null", (repository["id"],)):
            raise WrongState(f"The environment of {repository['name']} is being made. Stop that run first.", currentState="building")
        requests.withdraw(db, repository["id"])
        for row in snapshots.all_of(db, repository["id"]):
            _remove(db, config, row)
        db.execute("update hitl_sessions set repository_id = null where repository_id = ?", (repository["id"],))
        for table in ("baselines", "environments", "environment_versions"):
            db.execute(f"delete from {table} where repository_id = ?", (repository["id"],))
        db.execute("delete from repositories where id = ?", (repository["id"],))
