"""The job of a baseline run: each check of a card at the base, before any work."""
from typing import Any

from engine.agents import FALLBACK
from engine.config import Config
from engine.git.branches import repository_path
from engine.ground import Baseline, Ground, Setup
from engine.job.access import access_for
from engine.job.build_job import limits
from engine.job.setup_job import source_of
from engine.jobs import Criterion, Job
from engine.repositories import baselines, settings, sources, versions
from engine.runtimes.base import Runtime
from engine.runtimes.overlay import overlaying
from engine.store.db import Database
from engine.tickets.rows import OwnedRunRow
from engine.tickets.session_rows import SessionRow

SPARE_SECONDS = 600.0  # for the fetch, beside the checks


def baseline_job(db: Database, config: Config, run: OwnedRunRow, task: dict[str, Any], runtime: Runtime) -> Job:
    """task: {repository: its id, commands; of a build: commit, environment: the key; before a build: branch or null; times: how often each check runs;
    again: true to run also what is known}. Raises Permanent if the repository may not be used."""
    repository = sources.get(db, run["tenant_id"], str(task.get("repository")))
    session = db.the("select * from hitl_sessions where id = ?", (run["owner_id"],), SessionRow)
    own, commit, used = settings.settings_of(repository), str(task.get("commit") or ""), versions.approved(db, repository["id"])
    commands, times = [str(each) for each in task.get("commands", ())], int(task.get("times") or 1)
    places = {} if task.get("again") or times > 1 else baselines.places(db, repository["id"])
    most, setup = limits(config), None
    if runtime.stands and not commit and used is not None and not own.without:
        setup = Setup(versions.steps_of(used).as_json())
    seconds = SPARE_SECONDS + len(commands) * times * most.check_seconds
    return Job(run=run["id"], kind="baseline", ticket="", session=session["id"], title=f"Baseline of {session['project_name']}", description="",
               project=session["project_name"], repository=str(repository_path(config, session["id"] if commit else f"environment-{repository['id']}")),
               integration="", branch="", runtime=runtime.name, agent=FALLBACK.name, prompt="", program=runtime.program, vm=runtime.vm(config),
               limits=most._replace(run_seconds=seconds, stall_seconds=seconds), criteria=tuple(Criterion(command, command) for command in commands),
               access=access_for(db, config, session, "baseline", FALLBACK),
               source=None if commit else source_of(config, repository, task.get("branch") or repository["default_branch"]),
               ground=Ground(str(task.get("environment") or "") if commit else "", own.disk_mb, f"{repository['id']}/{commit}" if commit else "",
                             overlaying(config.data) or "") if runtime.stands else None,
               setup=setup, baseline=Baseline(commit, times=times, known=places))
