"""The job of a setup run: it makes the snapshot of an environment's approved steps."""
from typing import Any

from engine import secrets
from engine.agents import FALLBACK
from engine.config import Config
from engine.environments.steps import Steps
from engine.errors import BadRequest, Permanent
from engine.git.branches import repository_path
from engine.git.source import validate_source
from engine.ground import Setup, Source
from engine.job.access import routes
from engine.jobs import Access, Job, Limits
from engine.repositories import settings, sources, versions
from engine.repositories.rows import RepositoryRow
from engine.runtimes.base import Runtime
from engine.store.db import Database
from engine.stores.store import store_path
from engine.tickets.rows import OwnedRunRow


def setup_job(db: Database, config: Config, run: OwnedRunRow, task: dict[str, Any], runtime: Runtime) -> Job:
    """task: {sha256: of the approved steps, commit and session: whose commit it is, or absent for the newest of the branch; base: key of an older
    snapshot; again: true to begin from nothing}. Raises Permanent if other steps are approved meanwhile, if a secret is missing, or if the
    repository may not be used."""
    repository = sources.get(db, run["tenant_id"], run["owner_id"])
    version, own = versions.approved(db, repository["id"]), settings.settings_of(repository)
    if version is None or version["sha256"] != task.get("sha256"):
        raise Permanent("The steps of the environment were changed before this run began. The run for the new steps follows.")
    steps, session = versions.steps_of(version), str(task.get("session") or "")
    secrets.all_of(config.data, run["tenant_id"], steps.secrets)  # said now if one is missing, before anything is fetched
    place = session if session and task.get("commit") else f"environment-{repository['id']}"  # before a build, a session has no repository of its own
    limits = Limits(own.setup_seconds + 600, own.setup_seconds + 600, config.check_seconds, config.log_mb, own.setup_mb, config.memory_mb, config.processes)
    return Job(run=run["id"], kind="setup", ticket="", session=session, title=f"Environment of {repository['name']}", description="",
               project=repository["name"], repository=str(repository_path(config, place)),
               integration="", branch="", runtime=runtime.name, agent=FALLBACK.name, prompt="", limits=limits, program=runtime.program,
               access=access_of(config, own, steps),
               source=None if task.get("commit") else source_of(config, repository, repository["default_branch"]),
               setup=Setup(steps.as_json(), str(task.get("commit") or ""), str(task.get("base") or ""), again=bool(task.get("again")),
                           seconds=own.setup_seconds, disk_mb=own.setup_mb, tenant=run["tenant_id"]))


def access_of(config: Config, own: settings.Settings, steps: Steps) -> Access | None:
    """What a setup may reach: the hosts of its steps."""
    return Access({}, steps.hosts, max(config.egress_mb, own.setup_mb), routes=routes(config, steps.hosts)) if steps.hosts else None


def source_of(config: Config, repository: RepositoryRow, branch: str | None) -> Source:
    """Where to fetch from. Raises Permanent if this installation does not allow the repository."""
    try:
        url, protocols = validate_source(repository["url"], config.repository_roots, config.repository_url, config.repository_protocols)
    except BadRequest as error:
        raise Permanent(error.sentence) from error
    return Source(url, branch, protocols, store=str(store_path(config.data, repository["id"])))
