"""A finished run: harvest, policy, merge, record. Every step is repeatable: after a crash the next process starts again at the top.

The git ref decides, and the database follows. `merging` is recorded before the merge, so that a cancel after it is refused.

Next: engine/git/branches.py
"""

from dataclasses import replace

from engine.agents import why_unbuilt
from engine.config import Config
from engine.crash import point
from engine.errors import (
    AgentFailed,
    GroundFailed,
    Permanent,
    ProviderRefused,
    RateLimited,
    RunFailure,
    Transient,
    UnchangedSinceBase,
    Unreachable,
)
from engine.finish import landing, own_grounds, waiting
from engine.finish.outcomes import failed, record
from engine.git.branch_names import own_branch
from engine.git.branches import Branches, HandOver
from engine.git.repository import ZEROS
from engine.jobs import Result
from engine.log import event
from engine.store.db import Database
from engine.tickets import claims, deliveries, requests, same_question
from engine.tickets.approved_card import repository_of
from engine.tickets.rows import RunRow, TicketRow

FAILURES = {"transient": Transient, "rate_limited": RateLimited, "unreachable": Unreachable, "ground": GroundFailed,
            "provider": ProviderRefused, "agent": AgentFailed, "unchanged": UnchangedSinceBase, "permanent": Permanent}


def finish(db: Database, config: Config, branches: Branches, run: RunRow, result: Result) -> None:
    """Records a run's result and merges its change. run: its row. Raises for bugs and storage failures; Transient when the merge was
    started and it is unknown whether it completed: then it is tried again."""
    ticket = db.the("select * from tickets where id = ?", (run["ticket_id"],), TicketRow)
    own_grounds.note(db, run, ticket, result)
    try:
        if result.outcome == "failed":
            reason = " ".join(filter(None, (result.reason, _keep_failed(db, branches, run, ticket, result))))
            raise FAILURES.get(result.failure or "", Transient)(reason, wait=result.wait)
        _succeed(db, config, branches, run, ticket, result)
    except RunFailure as failure:
        if isinstance(failure, Transient) and db.value("select state from runs where id = ?", (run["id"],)) == "merging":
            raise  # a new run now could do and merge the same work twice
        record_failure(db, config, run, ticket, failure, result)


def _succeed(db: Database, config: Config, branches: Branches, run: RunRow, ticket: TicketRow, result: Result) -> None:
    if run["kind"] == "prepare":
        _prepared(db, run, ticket, result)
    elif run["kind"] == "integrate":
        _integrated(db, branches, run, ticket, result)
    elif run["kind"] == "recheck":
        landing.land(db, config, branches, run, ticket, result)
    elif result.outcome == "needs_input":
        _ask(db, branches, run, ticket, result)
    elif result.outcome == "over_budget":
        _over_budget(db, branches, run, ticket, result)
    elif result.outcome == "no_change":
        if not ticket["merged_sha"] and not result.checks:
            changed_nothing = "The agent changed nothing, and no check shows that no change was needed."
            raise AgentFailed(" ".join(filter(None, (changed_nothing, *result.notes, result.ignored))))
        record(db, run, "no_change", "completed", "No change was needed.", result)
    else:
        _deliver(db, branches, run, ticket, result)


def _prepared(db: Database, run: RunRow, ticket: TicketRow, result: Result) -> None:
    """The repository is there, with the integration branch. Or it is empty, and someone decides whether it gets a first commit."""
    with db.transaction():
        if result.outcome == "needs_input":
            body = str((result.request or {}).get("question", ""))
            row = record(db, run, "needs_input", "needs_input", body, result, transients=0, not_before=None)
            if row:
                requests.open_repository(db, row, run["id"], body, [requests.FIRST_COMMIT, requests.TRY_AGAIN, requests.STOP])
        elif record(db, run, "prepared", "running", " ".join(result.notes) or None, result, base_sha=result.base,
                    branch_name=own_branch(ticket), failures=0, transients=0,
                    waits_for="environment" if repository_of(db, ticket["session_id"]) else None):
            requests.withdraw(db, ticket["id"])


def _integrated(db: Database, branches: Branches, run: RunRow, ticket: TicketRow, result: Result) -> None:
    """The checks on the whole build passed, if it has any. A build for a given repository is delivered there before its epic completes."""
    if result.base is None:  # no process ran
        result.base = result.tip = branches.whole(ticket["session_id"], own_branch(ticket))
    if repository_of(db, ticket["session_id"]) is None:
        record(db, run, "integrated", "completed", None, result, merged_sha=result.base)
        return
    with db.transaction():
        if db.value("select 1 from tickets where id = ? and claim_token = ?", (ticket["id"], run["claim_token"])):
            deliveries.intend(db, ticket, str(result.base))
        record(db, run, "integrated", "running", "It is being delivered.", result, merged_sha=result.base)


def _deliver(db: Database, branches: Branches, run: RunRow, ticket: TicketRow, result: Result) -> None:
    """Takes a change that passed its checks to its review, if one is wanted or it deletes most files, or into the integration branch."""
    work, approved = _work(db, run, ticket, result), ticket["approved_tip"] == result.tip and not (ticket["review"] and requests.was_kept(db, ticket["id"]))
    tip = branches.keep(work)
    deletion = "" if approved else branches.deletion(work, tip)
    if not approved and (ticket["review"] or deletion):
        branches.keep(replace(work, reviewed=run["run_no"]))
        _to_review(db, run, work, deletion)
        return
    if not claims.merging(db, run, tip):
        claims.end(db, run["id"], "stale", "The claim was withdrawn before the merge.", result)
        return
    event("merging", ticket=ticket["id"], run=run["id"], tip=tip)
    point("after-merging")
    behind = waiting.is_busy(db, ticket)
    merged = branches.merge(work, tip, onto=ZEROS if behind else waiting.began_on(db, run, result))
    if merged is None and (behind or waiting.has_checks(db, ticket)):
        claims.wait(db, run, work.branch, result)
        event("waits", ticket=ticket["id"], run=run["id"], why="the merged head is checked")
        return
    merged = merged or branches.merge(work, tip)
    reason = why_unbuilt(run["agent"], ticket["description"]) or " ".join(result.notes)
    with db.transaction():
        if record(db, run, "merged", "completed", reason or None, result, merged_sha=merged, branch_name=work.branch, approved_tip=None):
            own_grounds.move(db, ticket["parent_id"], result)


def _to_review(db: Database, run: RunRow, work: HandOver, deletion: str) -> None:
    reason = " ".join(filter(None, (deletion, *work.result.notes))) or None
    with db.transaction():
        row = record(db, run, "in_review", "in_review", reason, work.result, branch_name=work.branch, failures=0, transients=0)
        if row:
            requests.open_review(db, row, run["id"], deletion)


def _ask(db: Database, branches: Branches, run: RunRow, ticket: TicketRow, result: Result) -> None:
    request, branch = result.request or {}, _kept(db, branches, run, ticket, result)
    question, options = str(request.get("question", "")), [str(option) for option in request.get("options", [])]
    with db.transaction():
        earlier = same_question.earlier_answer(db, ticket["session_id"], ticket["id"], question, options)
        if earlier:
            why = f"It asked the same question as {earlier['ticket_id']} before, so it continues with that answer."
            row = record(db, run, "needs_input", "ready", why, result, branch_name=branch)
            if row:
                same_question.record_answered(db, row, run["id"], question, options, earlier)
            return
        row = record(db, run, "needs_input", "needs_input", result.reason or "The agent asked a question.", result, branch_name=branch)
        if row:
            requests.open_question(db, row, run["id"], question, options)


def _over_budget(db: Database, branches: Branches, run: RunRow, ticket: TicketRow, result: Result) -> None:
    """Uses up no attempt; the user decides about the budget."""
    reason, branch = result.reason or "The budget is used up.", _kept(db, branches, run, ticket, result)
    with db.transaction():
        row = record(db, run, "over_budget", "needs_input", f"{reason} The ticket waits for your decision.", result, branch_name=branch)
        if row:
            requests.open_budget(db, row, run["id"], reason)


def _kept(db: Database, branches: Branches, run: RunRow, ticket: TicketRow, result: Result) -> str | None:
    """Keeps the work that a run has done so far, if any. -> the ticket's branch, if it has one"""
    work = _work(db, run, ticket, result)
    branches.keep_aside(work)
    if not result.tip:
        return ticket["branch_name"]
    branches.keep(work)
    return work.branch


def _keep_failed(db: Database, branches: Branches, run: RunRow, ticket: TicketRow, result: Result) -> str:
    """Keeps the work of a run that failed or had to stop before its work was done, so that the next run starts from it. -> a sentence about it, or ''"""
    if run["kind"] != "feature" or result.failure == "permanent":
        return ""
    work, sentences = _work(db, run, ticket, result), []
    for keep in (branches.keep_aside, *([branches.keep] if result.tip else [])):
        try:
            keep(work)
        except AgentFailed as refused:
            sentences.append(refused.sentence)
    return " ".join(sentences) or ("Its work so far is kept." if result.stopped and result.tip else "")


def end_stopped(db: Database, branches: Branches, run: RunRow, result: Result) -> None:
    """Ends a run that was stopped by hand, and keeps its work. run: its row. Repeatable."""
    ticket = db.the("select * from tickets where id = ?", (run["ticket_id"],), TicketRow)
    kept = _keep_failed(db, branches, run, ticket, Result(**{**vars(result), "stopped": True, "failure": None}))
    claims.end(db, run["id"], "cancelled", f"It was stopped by hand. {kept}".strip(), result)
    event("finished", ticket=run["ticket_id"], run=run["id"], outcome="cancelled", status=ticket["status"])


def record_failure(db: Database, config: Config, run: RunRow, ticket: TicketRow, failure: RunFailure, result: Result | None = None) -> None:
    """Records a failure for the ticket, or for the tickets of a recheck: they retry after a pause, or wait for a decision."""
    (landing.refuse if run["kind"] == "recheck" else failed)(db, config, run, ticket, failure, result)


def _work(db: Database, run: RunRow, ticket: TicketRow, result: Result) -> HandOver:
    epic = db.one("select branch_name from tickets where id = ?", (ticket["parent_id"],), TicketRow)
    return HandOver(run["id"], ticket["id"], ticket["title"], ticket["session_id"], own_branch(ticket), str(epic["branch_name"]) if epic else "", result)
