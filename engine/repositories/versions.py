"""What the environment of a repository is made of: proposed by detection, by WORKFLOW.md or on its page, and used only once it is approved."""
import json
from collections.abc import Sequence
from typing import Any

from engine.environments import steps as texts
from engine.environments.steps import Steps
from engine.errors import BadRequest, WrongState
from engine.repositories.rows import EnvironmentVersionRow, RepositoryRow, StepsSource
from engine.store.db import Database
from engine.text import stored
from engine.times import NOW

STRONGER: dict[StepsSource, int] = {"page": 3, "workflow": 2, "detected": 1}  # the stronger source is used


def approved(db: Database, repository_id: str) -> EnvironmentVersionRow | None:
    """The version that is used."""
    return db.one("select * from environment_versions where repository_id = ? and state = 'approved' order by seq desc limit 1",
                  (repository_id,), EnvironmentVersionRow)


def proposed(db: Database, repository_id: str) -> EnvironmentVersionRow | None:
    """The version that waits for someone's approval."""
    return db.one("select * from environment_versions where repository_id = ? and state = 'proposed' order by seq desc limit 1",
                  (repository_id,), EnvironmentVersionRow)


def steps_of(version: EnvironmentVersionRow) -> Steps:
    """Raises BadRequest if someone changed the text in the database: then it is not what was shown and approved, and must not run."""
    steps = texts.parse(stored(version["steps"], {}))
    if texts.digest(steps) != version["sha256"]:
        raise BadRequest("The steps of the environment were changed in the database, so they are not what was approved. Save and approve them again.")
    return steps


def readable(version: EnvironmentVersionRow) -> Steps:
    """The steps to be shown, whoever wrote them; none if they are no steps."""
    try:
        return texts.parse(stored(version["steps"], {}))
    except BadRequest:
        return Steps()


def drop_altered(db: Database, repository: RepositoryRow) -> None:
    """Text that someone changed in the database does not run, and waits for approval as a proposal if it can be read."""
    for version in filter(None, (approved(db, repository["id"]), proposed(db, repository["id"]))):
        try:
            steps_of(version)
        except BadRequest:
            with db.transaction():
                db.execute("update environment_versions set state = 'replaced' where seq = ?", (version["seq"],))
                if readable(version) != Steps():
                    propose(db, repository, readable(version), version["source"])


def propose(db: Database, repository: RepositoryRow, steps: Steps, source: StepsSource, found: Sequence[dict[str, Any]] = ()) -> EnvironmentVersionRow | None:
    """Stores a proposal. -> it; None if there is nothing to decide: the text is approved already, or a stronger source says what to use."""
    sha256 = texts.digest(steps)
    with db.transaction():
        used, waiting = approved(db, repository["id"]), proposed(db, repository["id"])
        if used and (used["sha256"] == sha256 or STRONGER[used["source"]] > STRONGER[source]):
            return None
        if waiting and waiting["sha256"] == sha256:
            return waiting
        if waiting and STRONGER[waiting["source"]] > STRONGER[source]:
            return waiting
        db.execute("update environment_versions set state = 'replaced' where repository_id = ? and state = 'proposed'", (repository["id"],))
        return db.the("insert into environment_versions (tenant_id, repository_id, steps, sha256, source, found) values (?, ?, ?, ?, ?, ?) returning *",
                      (repository["tenant_id"], repository["id"], texts.canonical(steps), sha256, source, json.dumps(list(found), ensure_ascii=False)),
                      EnvironmentVersionRow)


def approve(db: Database, repository_id: str, sha256: str, by: str) -> EnvironmentVersionRow:
    """Lets the proposal with this hash be used, in place of the version before. Approving what is used already changes nothing.
    Raises WrongState if it is another text meanwhile."""
    with db.transaction():
        used, waiting = approved(db, repository_id), proposed(db, repository_id)
        if used and used["sha256"] == sha256:
            return used
        if waiting is None or waiting["sha256"] != sha256:
            raise WrongState("The environment has changed since you looked at it. Look at it again, then approve it.",
                             sha256=waiting["sha256"] if waiting else used["sha256"] if used else None)
        db.execute("update environment_versions set state = 'replaced' where repository_id = ? and state = 'approved'", (repository_id,))
        return db.the(f"update environment_versions set state = 'approved', approved_by = ?, approved_at = {NOW} where seq = ? returning *",
                      (by, waiting["seq"]), EnvironmentVersionRow)


def discard(db: Database, repository_id: str) -> None:
    """Drops the proposal, if there is one."""
    db.execute("update environment_versions set state = 'replaced' where repository_id = ? and state = 'proposed'", (repository_id,))


def retire(db: Database, repository_id: str) -> None:
    """Drops the proposal and what is used: the repository has no steps any more."""
    db.execute("update environment_versions set state = 'replaced' where repository_id = ? and state in ('proposed', 'approved')", (repository_id,))


def history(db: Database, repository_id: str) -> list[EnvironmentVersionRow]:
    """All versions, the newest first."""
    return db.all("select * from environment_versions where repository_id = ? order by seq desc", (repository_id,), EnvironmentVersionRow)
