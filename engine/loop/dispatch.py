"""Starts a claimed run: chooses the agent, checks that there is isolation, writes the job, launches the process.

Next: engine/job/build_job.py
"""
import time

from engine.agents import choose_agent
from engine.config import Config
from engine.crash import point
from engine.environments import layers
from engine.errors import NotStarted, Permanent, RunFailure, Transient
from engine.finish.finish import record_failure
from engine.job import access
from engine.job.build_job import job_for, needs_isolation, workflow_for
from engine.jobs import Job, Result
from engine.log import event
from engine.loop.launch import Launcher
from engine.run.checks import to_check
from engine.runtimes import Choice
from engine.store.db import Database
from engine.tickets import claims, requests
from engine.tickets.rows import RunRow, TicketRow
from engine.tickets.session_rows import SessionRow


def dispatch(db: Database, config: Config, launcher: Launcher, choice: Choice, run: RunRow) -> None:
    """Starts the run, or lets its ticket wait. run: a row that claim() has just made."""
    ticket = db.one("select * from tickets where id = ?", (run["ticket_id"],), TicketRow)
    session = db.one("select id, project_name, repository, isolation, budget_raises, repository_id from hitl_sessions where id = ?",
                     (run["session_id"],), SessionRow)
    if ticket is None or session is None:
        raise LookupError(run["ticket_id"])
    epic_id = ticket["parent_id"] or ticket["id"]
    environment = db.value("select environment from tickets where id = ?", (epic_id,)) if session["repository_id"] else None
    if environment and layers.read(layers.root(config.data) / environment) is None:
        _wait_for_environment(db, run, ticket)
        return
    runtime = choice.on(environment)
    try:
        workflow = workflow_for(db, config, run, ticket)
        agent = choose_agent(config, ticket["agent"] or (workflow.agent if workflow else None), own_files=runtime.own_files(config))
        if choice.fallback and session["isolation"] != "waived" and needs_isolation(run["kind"], ticket, agent):
            _wait_for_isolation(db, run, choice)
            return
        job = job_for(db, config, run, ticket, session, runtime, agent, workflow)
        spent = access.used_up(job.access.budget) if job.access and job.access.models and not ticket["approved_tip"] else None
        if spent:
            _wait_for_budget(db, run, spent)
            return
        if job.access and job.access.models and not ticket["approved_tip"] and _wait_for_provider(db, run, agent.name):
            return
        known = _known(db, run, ticket, job)
        if known:
            launcher.prepare_result(job, known)
        else:
            launcher.launch(job)
            for note in job.means.notes:
                event("workflow", ticket=run["ticket_id"], run=run["id"], note=note)
    except (RunFailure, OSError) as error:
        record_failure(db, config, run, ticket, why_not_started(error))
        launcher.discard(run["id"])  # what was written before it failed
        return
    begin(db, launcher, run, runtime.name, agent.name, job.branch)


def why_not_started(error: RunFailure | OSError) -> RunFailure:
    """The failure of a run of which no process began. No agent did anything, so none of its attempts is used up."""
    if isinstance(error, Permanent):
        return NotStarted(error.sentence, **error.extra)
    return error if isinstance(error, RunFailure) else Transient(f"The run could not start: {error.strerror or error}.")


def begin(db: Database, launcher: Launcher, run: RunRow, runtime: str, agent: str, branch: str = "") -> None:
    """Records that a run was launched. Stops it if its claim was withdrawn meanwhile."""
    point("before-begin")
    if claims.begin(db, run, runtime, agent, branch):
        point("after-begin")
        event("launched", ticket=run["ticket_id"], run=run["id"], runtime=runtime, agent=agent)
    else:
        launcher.stop(run["id"])


def _wait_for_isolation(db: Database, run: RunRow, choice: Choice) -> None:
    with db.transaction():
        row = claims.finish(db, run, "void", "needs_input", "The ticket waits for isolation, or for your decision that none is needed.")
        if row:
            requests.open_isolation(db, row, choice.no_isolation)
    event("waits", ticket=run["ticket_id"], run=run["id"], why="isolation")


def _wait_for_environment(db: Database, run: RunRow, ticket: TicketRow) -> None:
    """The environment of the build was removed or damaged. It is made again before its tickets go on (engine/loop/grounds.py)."""
    with db.transaction():
        db.execute("update tickets set waits_for = 'environment', environment = null where id = ?", (ticket["parent_id"] or ticket["id"],))
        claims.finish(db, run, "void", "ready" if ticket["parent_id"] else "running", "The environment is gone or damaged, so it is made again first.")
    event("waits", ticket=run["ticket_id"], run=run["id"], why="environment")


def _wait_for_budget(db: Database, run: RunRow, reason: str) -> None:
    with db.transaction():
        row = claims.finish(db, run, "void", "needs_input", f"{reason} The ticket waits for your decision.")
        if row:
            requests.open_budget(db, row, run["id"], reason)
    event("waits", ticket=run["ticket_id"], run=run["id"], why="budget")


def _wait_for_provider(db: Database, run: RunRow, agent: str) -> bool:
    """Lets the ticket wait if the provider of this agent's model refuses until someone acts. -> True if it does"""
    with db.transaction():  # an answer in between would not release it
        if not requests.waits_for_provider(db, run["session_id"], agent):
            return False
        claims.finish(db, run, "void", "needs_input", "The model's provider refuses. The ticket waits for your decision.")
    event("waits", ticket=run["ticket_id"], run=run["id"], why="provider")
    return True


def _known(db: Database, run: RunRow, ticket: TicketRow, job: Job) -> Result | None:
    """The result of a run that needs no process: the whole build has no check to run, or its commit was approved and only has to be merged."""
    if run["kind"] == "integrate" and not to_check(job):
        return Result(run=run["id"], outcome="ok", at=int(time.time()))  # a tick does no git work: finish() finds the commit
    if not ticket["approved_tip"]:
        return None
    seen = db.one("select base_sha, tip_sha from runs where ticket_id = ? and tip_sha = ? and outcome in ('in_review', 'needs_input')"
                  " order by seq desc limit 1",
                  (ticket["id"], ticket["approved_tip"]), RunRow)
    return Result(run=run["id"], outcome="ok", at=int(time.time()), base=seen["base_sha"] if seen else None, tip=ticket["approved_tip"])
