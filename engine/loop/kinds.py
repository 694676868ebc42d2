"""The kinds of runs without a ticket: how the job of each is made, and what happens at its end."""
from collections.abc import Callable
from typing import Any, NamedTuple

from engine.config import Config
from engine.errors import NotFound
from engine.job.baseline_job import baseline_job
from engine.job.setup_job import setup_job
from engine.jobs import Job, Result
from engine.loop import grounds
from engine.repositories import base_questions, baselines, requests, snapshots, sources, versions
from engine.runs import wanted
from engine.runtimes.base import Runtime
from engine.store.db import Database
from engine.text import stored
from engine.tickets import settle
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
    try:
        repository, task = sources.get(db, run["tenant_id"], run["owner_id"]), stored(run["task"], {})
    except NotFound:  # someone removed its row: a build that waits makes a new one
        return
    if outcome == "done" and result and result.ground.get("key"):
        snapshots.record(db, run["tenant_id"], repository["id"], str(task.get("sha256")), str(result.base), run["id"], result.ground)
        requests.withdraw(db, repository["id"], of_setup=True)
        _go_on_at_base(db, repository["id"])
    else:
        grounds.failed(db, run["id"], repository, reason or "It was stopped.")


def _go_on_at_base(db: Database, repository_id: str) -> None:
    """Baselines that had to wait for an environment are wanted again."""
    rows = db.all("select r.* from runs r join hitl_sessions s on s.id = r.owner where r.kind = 'baseline' and r.owner_kind = 'session' and r.detail = ?"
                  " and s.state in ('draft', 'clarifying', 'review', 'approved') and r.seq = (select max(seq) from runs where owner_kind = 'session'"
                  " and owner = r.owner and kind = 'baseline')", (base_questions.WAITS_FOR_ENVIRONMENT,), OwnedRunRow)
    for row in rows:
        task = stored(row["task"], {})
        if task.get("repository") == repository_id:
            wanted.want(db, "baseline", "session", row["owner_id"], row["tenant_id"], task, row["session_id"])


def _baseline_ended(db: Database, config: Config, run: OwnedRunRow, outcome: Outcome, reason: str | None, result: Result | None) -> None:
    """What was found is stored, also by a run that failed later. A run that needs an environment first asks for it."""
    task = stored(run["task"], {})
    repository = sources.get(db, run["tenant_id"], str(task.get("repository")))
    if result and result.base and result.ground.get("missing"):
        used = versions.approved(db, repository["id"])
        if used:
            wanted.want(db, "setup", "repository", repository["id"], run["tenant_id"], {"commit": result.base, "sha256": used["sha256"]}, run["session_id"])
            db.execute("update runs set detail = ? where id = ?", (base_questions.WAITS_FOR_ENVIRONMENT, run["id"]))
    elif result and result.base:
        key = str(result.ground.get("key") or "")
        baselines.record(db, run["tenant_id"], repository["id"], result.base, key, run["id"], result.checks)
        db.execute("update runs set environment = ? where id = ?", (key or None, run["id"]))
    place = (repository["id"], str(task.get("commit")), str(task.get("environment") or ""))
    if outcome != "done" or (task.get("commit") and not set(task.get("commands", ())) <= set(baselines.known(db, *place))):
        base_questions.go_on(db, run["owner_id"])
        settle.session(db, run["owner_id"])


KINDS: dict[RunKind, Kind] = {"setup": Kind(setup_job, _setup_ended), "baseline": Kind(baseline_job, _baseline_ended)}
