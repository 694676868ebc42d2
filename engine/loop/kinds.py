"""The kinds of runs without a ticket: how the job of each is made, and what happens at its end."""
from collections.abc import Callable
from typing import Any, NamedTuple

from engine.config import Config
from engine.job.setup_job import setup_job
from engine.jobs import Job, Result
from engine.loop import grounds
from engine.repositories import requests, snapshots, sources
from engine.runtimes.base import Runtime
from engine.store.db import Database
from engine.text import stored
from engine.tickets.rows import Outcome, OwnedRunRow, RunKind


class Kind(NamedTuple):
    """job: makes the job from the run's row and its task; raises RunFailure, which ends the run. ended: called in the transaction that ends the run,
    with its outcome, a sentence, and its result if there is one; not called for a run that is tried again. isolated: False for a run
    that executes nothing from outside."""

    job: Callable[[Database, Config, OwnedRunRow, dict[str, Any], Runtime], Job]
    ended: Callable[[Database, Config, OwnedRunRow, Outcome, str | None, Result | None], None]
    isolated: bool = True


def _setup_ended(db: Database, config: Config, run: OwnedRunRow, outcome: Outcome, reason: str | None, result: Result | None) -> None:
    """The snapshot is known, and the builds that wait for it are looked at again; or they ask."""
    repository, task = sources.get(db, run["tenant_id"], run["owner_id"]), stored(run["task"], {})
    if outcome == "done" and result and result.ground.get("key"):
        snapshots.record(db, run["tenant_id"], repository["id"], str(task.get("sha256")), str(result.base), run["id"], result.ground)
        requests.withdraw(db, repository["id"])
    else:
        grounds.failed(db, run["id"], repository, reason or "It was stopped.")


KINDS: dict[RunKind, Kind] = {"setup": Kind(setup_job, _setup_ended)}
