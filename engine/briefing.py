"""From rows to a job: everything that a run is told, fixed before it starts."""
from typing import Any

from engine.access import access_for
from engine.agents import Agent, has_commands
from engine.branches import repository_path
from engine.config import Config
from engine.db import Database
from engine.errors import BadRequest, Permanent
from engine.finish import own_branch
from engine.jobs import Job, Limits, Source, criteria_of
from engine.prompt import prompt
from engine.runtimes.qemu import Qemu
from engine.source import validate_source
from engine.spec import approved_card


def job_for(db: Database, config: Config, run: Any, ticket: Any, session: Any, runtime: str, agent: Agent) -> Job:
    """run, ticket, session: their rows. Raises Permanent when the card's repository is not one that this installation allows."""
    epic = db.one("select session_id, id, title, branch_name from tickets where id = ?", (ticket["parent_id"],)) or ticket
    return Job(
        run=run["id"], kind=run["kind"], ticket=ticket["id"], session=ticket["session_id"], title=ticket["title"],
        description=ticket["description"], project=session["project_name"], repository=str(repository_path(config, ticket["session_id"])),
        integration=own_branch(epic), branch=own_branch(ticket), runtime=runtime, agent=agent.name,
        prompt=prompt(db, ticket) if run["kind"] == "feature" else "", criteria=criteria_of(ticket["acceptance_criteria"]),
        limits=limits(config), source=_source(db, config, session) if run["kind"] == "prepare" else None,
        machine=config.machine if runtime == Qemu.name else None, access=access_for(db, config, session, run["kind"], agent))


def limits(config: Config) -> Limits:
    return Limits(config.run_seconds, config.stall_seconds, config.check_seconds, config.log_mb, config.work_mb, config.memory_mb, config.processes)


def _source(db: Database, config: Config, session: Any) -> Source:
    """The card's repository, or the session's, or none: a fresh one."""
    card = approved_card(db, session["id"])
    repository = card.get("repository") or session["repository"]
    if not repository:
        return Source(None, None, ())
    try:
        url, protocols = validate_source(repository, config.repository_roots, config.repository_url, config.repository_protocols)
    except BadRequest as error:
        raise Permanent(error.sentence) from error
    return Source(url, card.get("base_branch"), protocols)


def needs_isolation(run: Any, ticket: Any, agent: Agent) -> bool:
    """Does this run execute anything that the product itself did not supply?"""
    if ticket["supplied"] or run["kind"] == "prepare":
        return False
    checks = any(criterion.check for criterion in criteria_of(ticket["acceptance_criteria"]))
    return checks or (run["kind"] == "feature" and (agent.name != "runbook" or has_commands(ticket["description"])))
