"""Starts recheck runs for changes that wait because the integration branch moved after their run started. Each build has one recheck run at a time. It checks
the changes on the merged head, several together if several wait. engine/finish/landing.py handles the result."""

from engine.agents import FALLBACK
from engine.config import Config
from engine.crash import point
from engine.criteria import criteria_of
from engine.errors import RunFailure
from engine.finish.finish import record_failure
from engine.finish.waiting import BEGAN_ON, landed
from engine.job.build_job import job_for, needs_isolation
from engine.jobs import Job, TicketChange
from engine.log import event
from engine.loop.dispatch import begin, why_not_started
from engine.loop.launch import Launcher
from engine.repositories import baselines
from engine.runtimes import Choice
from engine.store.db import Database
from engine.tickets import claims, requests
from engine.tickets.rows import RunRow, TicketRow
from engine.tickets.session_rows import SessionRow
from engine.tickets.states import HOLDS

TOGETHER = 8  # changes in one recheck run, at most


class _Waiting(TicketRow):
    """A ticket whose change waits. run: the run that made it; tip: its commit; base: the commit under it; its_group: the half of a batch."""

    run: str
    tip: str
    base: str
    its_group: int | None


def start(db: Database, config: Config, launcher: Launcher, choice: Choice, owner: str, free: int, now: str,
          session_id: str | None = None) -> None:
    """Starts recheck runs, of one session or of all, in at most `free` slots. Without isolation for their commands it opens a request instead."""
    for epic in _due(db, now, session_id)[:max(free, 0)]:
        session = db.the("select * from hitl_sessions where id = ?", (epic["session_id"],), SessionRow)
        changes = _changes(db, epic["id"])
        if choice.fallback and session["isolation"] != "waived" and any(needs_isolation("recheck", each, FALLBACK) for each in changes):
            with db.transaction():
                requests.open_isolation(db, epic, choice.no_isolation)
            continue
        run = claims.recheck(db, owner, epic["id"], now)
        if run is None:
            continue
        point("after-claim")
        event("claimed", ticket=epic["id"], run=run["id"], attempt=run["run_no"], kind=run["kind"], waiting=len(changes))
        try:
            launcher.launch(_job(db, config, run, epic, session, choice, changes))
        except (RunFailure, OSError) as error:
            record_failure(db, config, run, epic, why_not_started(error))
            launcher.discard(run["id"])
            continue
        begin(db, launcher, run, choice.on(epic["environment"]).name, FALLBACK.name)


def _due(db: Database, now: str, session_id: str | None) -> list[TicketRow]:
    """Epics with a waiting change and no recheck run, longest wait first. Cross joins, because live runs are few and tickets are many."""
    return db.all("select e.*, min(r.seq) as first from runs r cross join tickets t on t.id = r.ticket_id cross join tickets e on e.id = t.parent_id"
                  " join hitl_sessions s on s.id = e.session_id"
                  f" where r.ended_at is null and r.state = 'queued' and {HOLDS}"
                  " and e.status = 'running' and e.claim_token is null and (e.not_before is null or e.not_before <= ?)"
                  " and s.state = 'building' and not s.paused and e.session_id = coalesce(?, e.session_id) group by e.id order by first",
                  (now, session_id), TicketRow)


def _changes(db: Database, epic_id: str) -> list[_Waiting]:
    """Tickets to check together now, with run, tip and base: half of a batch that did not pass, if there is one, otherwise all."""
    rows = db.all(f"select t.*, r.id as run, r.tip_sha as tip, {BEGAN_ON} as base, r.merge_group as its_group"
                  " from runs r cross join tickets t on t.id = r.ticket_id"
                  f" where r.ended_at is null and r.state = 'queued' and {HOLDS}"
                  " and t.parent_id = ?"
                  " order by r.merge_group is null, r.merge_group, r.seq", (epic_id,), _Waiting)
    return [row for row in rows if row["its_group"] == rows[0]["its_group"]][:TOGETHER]


def _job(db: Database, config: Config, run: RunRow, epic: TicketRow, session: SessionRow, choice: Choice, changes: list[_Waiting]) -> Job:
    job = job_for(db, config, run, epic, session, choice.on(epic["environment"]), FALLBACK)
    waiting = tuple(_change(row, row["run"], row["tip"], row["base"]) for row in changes)
    merged = tuple(_change(row, "", str(row["merged_sha"]), "") for row in landed(db, epic["session_id"]))
    commands = [criterion.check for change in (*waiting, *merged) for criterion in change.criteria if criterion.check]
    return job._replace(criteria=(), waiting=waiting, landed=merged, baseline=baselines.for_run(db, epic, commands))


def _change(row: TicketRow, run: str, tip: str, base: str) -> TicketChange:
    return TicketChange(row["id"], row["title"], run, tip, base, criteria_of(row["acceptance_criteria"]))
