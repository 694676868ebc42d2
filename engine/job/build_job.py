"""Makes a job from rows: everything that a run needs to know, fixed before it starts.

Next: engine/loop/launch.py
"""
from math import inf
from pathlib import Path

from engine.agents import Agent, installation
from engine.config import Config
from engine.criteria import criteria_of
from engine.errors import BadRequest, Permanent
from engine.git.branch_names import kept_folder, own_branch
from engine.git.branches import repository_path
from engine.git.repository import Repository
from engine.git.source import validate_source
from engine.ground import Commits, Ground, Source
from engine.job.access import access_for
from engine.job.front_matter import LIMITS
from engine.job.network import network
from engine.job.own_ground import own_ground
from engine.job.prompt import data_block, prompt
from engine.job.workflow import Workflow, workflow_at
from engine.jobs import AgentSetup, Job, Limits, Result
from engine.repositories import baselines, sources
from engine.repositories.rows import RepositoryRow
from engine.repositories.settings import Settings, settings_of
from engine.runtimes.base import Runtime
from engine.runtimes.overlay import overlaying
from engine.store.db import Database
from engine.stores.store import store_path
from engine.text import stored
from engine.tickets import requests
from engine.tickets.approved_card import approved_card, repository_of
from engine.tickets.rows import RunRow, TicketRow
from engine.tickets.session_rows import SessionRow

PASSING = ("transient", "rate_limited", "provider", "ground")  # failures of runs that may have left nothing
BEGUN = "\n## Your clone begins with the work of a run that was stopped before it was done. Go on from there\n"


def job_for(db: Database, config: Config, run: RunRow, ticket: TicketRow, session: SessionRow, runtime: Runtime, agent: Agent,
            workflow: Workflow | None = None) -> Job:
    """The job of a run. run, ticket, session: their rows. Raises Permanent when this installation does not allow the card's repository."""
    epic = db.one("select session_id, id, title, branch_name, environment, base_sha from tickets where id = ?", (ticket["parent_id"],), TicketRow) or ticket
    access, resume = access_for(db, config, session, run["kind"], agent), run["kind"] == "feature" and ticket["run_no"] > 1 and was_stopped(db, config, ticket)
    hooks, own = hooks_of(config, session, runtime, workflow), _settings(db, session)
    ground, setup, setup_access = own_ground(db, config, run, ticket, own, ground_of(own, session, epic, run["kind"], runtime, config.data),
                                             agent.resumes or resume)
    return Job(
        run=run["id"], kind=run["kind"], ticket=ticket["id"], session=ticket["session_id"], title=ticket["title"],
        description=ticket["description"], project=session["project_name"], repository=str(repository_path(config, ticket["session_id"])),
        integration=own_branch(epic), branch=own_branch(ticket), runtime=runtime.name, agent=agent.name,
        prompt=prompt(db, ticket, network(runtime, access), workflow) + _kept(config, ticket) + (BEGUN if resume else "") if run["kind"] == "feature" else "",
        criteria=criteria_of(ticket["acceptance_criteria"]),
        limits=limits(config, workflow), source=_source(db, config, session, ticket["id"]) if run["kind"] == "prepare" else None,
        baseline=None if run["kind"] == "prepare" else baselines.for_run(db, ticket),
        vm=runtime.vm(config), program=runtime.program, access=access, ground=ground, setup=setup, setup_access=setup_access,
        commits=Commits(own.author, own.sign_off) if own else Commits(),
        means=means(db, config, run, ticket, runtime, agent, hooks)._replace(
            notes=workflow.notes(hooks_run=hooks is workflow) if workflow else (), own_tools=bool(own and own.hooks)), resume=resume)


def was_stopped(db: Database, config: Config, ticket: TicketRow) -> bool:
    """True if the last run that left something did not end by itself: the ticket's own branch is a part, with which the next run begins."""
    for row in db.all("select id from runs where ticket_id = ? and ended_at is not null and outcome <> 'void' order by seq desc limit 20",
                      (ticket["id"],), RunRow):
        result = Result.read(config.data / "runs" / row["id"])
        if result is not None and (result.tip or not (result.stopped or result.failure in PASSING)):
            return result.stopped
    return False


def ground_of(own: Settings | None, session: SessionRow, epic: TicketRow, kind: str, runtime: Runtime, data: Path) -> Ground | None:
    """What the sandboxes of a run stand on: the environment of its build, and the disk as its repository's settings say."""
    tree = f"{session['repository_id']}/{epic['base_sha']}" if epic["base_sha"] else ""
    if not runtime.stands or (own is None and kind != "prepare"):
        return None
    overlays = overlaying(data) or ""  # a run's own process would not find one that was installed with this program
    return Ground(epic["environment"] or "", own.disk_mb, tree, overlays) if own and kind != "prepare" else Ground(overlays=overlays)


def _settings(db: Database, session: SessionRow) -> Settings | None:
    """Of the repository that a session builds in; None for a repository of its own."""
    row = db.one("select * from repositories where id = ?", (session["repository_id"],), RepositoryRow) if session["repository_id"] else None
    return settings_of(row) if row else None


def _kept(config: Config, ticket: TicketRow) -> str:
    """The part of the prompt about commits of earlier runs that were not delivered; '' if there are none."""
    path, folder = repository_path(config, ticket["session_id"]), kept_folder(own_branch(ticket))
    commits = Repository(path).subjects(folder) if ticket["run_no"] > 1 and path.is_dir() else []
    return ("\n## Commits of earlier attempts that were not delivered. Take over what belongs to the ticket, for example with git cherry-pick\n\n"
            + data_block("\n".join(f"- swarm-kept/{name}: {subject}" for name, subject in commits)) + "\n") if commits else ""


GOES_ON = ("needs_input", "over_budget", "transient")  # outcomes of runs that were interrupted in the middle of their work


def means(db: Database, config: Config, run: RunRow, ticket: TicketRow, runtime: Runtime, agent: Agent, hooks: Workflow) -> AgentSetup:
    """The agent's set-up. It continues the agent's session of an interrupted run, with the same agent in the same kind of sandbox."""
    if run["kind"] != "feature":
        return AgentSetup()
    own_files = runtime.own_files(config)
    here = installation(config, own_files)
    before = db.one("select id, outcome, agent, runtime, said from runs where ticket_id = ? and ended_at is not null and outcome <> 'void'"
                    " order by seq desc limit 1", (ticket["id"],), RunRow) if agent.keeps and runtime.isolates else None
    session = str(stored(before["said"], {}).get("session") or "") if before and before["outcome"] in GOES_ON and \
        (before["agent"], before["runtime"]) == (agent.name, runtime.name) else ""
    return AgentSetup(tools=str(here.folder) if here.folder and here.folder.is_dir() and own_files is None else "",
                      model=next((here.models[kind] for kind in agent.models if kind in here.models), ""),
                      command=here.command if agent.takes_command else "", session=session, home=before["id"] if session and before else "",
                      hooks=hooks.hooks, hook_seconds=hooks.timeout)


def workflow_for(db: Database, config: Config, run: RunRow, ticket: TicketRow) -> Workflow | None:
    """The WORKFLOW.md in the base commit of a feature's build. Raises Permanent if it cannot be used."""
    if run["kind"] != "feature":
        return None
    base, path = db.value("select base_sha from tickets where id = ?", (ticket["parent_id"],)), repository_path(config, ticket["session_id"])
    return workflow_at(path, base) if base and path.is_dir() else None


def hooks_of(config: Config, session: SessionRow, runtime: Runtime, workflow: Workflow | None) -> Workflow:
    """The workflow's hooks. They are commands of a repository, so without isolation they are left out, unless isolation was waived."""
    trusted = runtime.isolates or config.runtime == runtime.name or session["isolation"] == "waived"
    return workflow if workflow and trusted else Workflow()


def limits(config: Config, workflow: Workflow | None = None) -> Limits:
    own = workflow.limits if workflow else {}
    run, stall, check = (min(getattr(config, name), own.get(name, inf)) for name in LIMITS)
    return Limits(run, stall, check, config.log_mb, config.work_mb, config.memory_mb, config.processes)


def _source(db: Database, config: Config, session: SessionRow, epic_id: str) -> Source:
    """The repository of the card or of the session; without one, a new repository."""
    repository = repository_of(db, session["id"])
    if not repository:
        return Source(None, None, ())
    try:
        url, protocols = validate_source(repository, config.repository_roots, config.repository_url, config.repository_protocols)
    except BadRequest as error:
        raise Permanent(error.sentence) from error
    row = sources.of_session(db, config, session["id"])
    return Source(url, approved_card(db, session["id"]).get("base_branch"), protocols, requests.may_make_first_commit(db, epic_id),
                  str(store_path(config.data, row["id"])) if row else "")


def needs_isolation(kind: str, ticket: TicketRow, agent: Agent) -> bool:
    """True if the run executes anything that the product itself did not supply. kind: of the run."""
    if ticket["supplied"] or kind == "prepare":
        return False
    checks = any(criterion.check and not criterion.waived for criterion in criteria_of(ticket["acceptance_criteria"]))
    return checks or (kind == "feature" and agent.has_work(ticket["description"]))
