"""The result of a recheck run: its changes are merged, all or none. Or they are checked in halves, until the change that breaks the
others is alone and goes back. Every step is repeatable, as in engine/finish/finish.py: the branch moves in one step, and the database follows."""

from engine.config import Config
from engine.crash import point
from engine.errors import AgentFailed, MergeConflict, Permanent, RunFailure, Transient
from engine.finish import own_grounds
from engine.finish.outcomes import MAX_TRANSIENTS, failed, record
from engine.git.branch_names import own_branch
from engine.git.branches import Branches
from engine.jobs import Result
from engine.store.db import Database
from engine.tickets import claims
from engine.tickets.rows import RunRow, TicketRow
from engine.tickets.states import HOLDS
from engine.times import delay, utc

# The plus makes SQLite use the index of live runs instead of reading all runs.
WAITING = ("select r.* from runs r cross join tickets t on t.id = r.ticket_id where r.ended_at is null and r.state in ('queued', 'merging')"
           f" and {HOLDS} and t.parent_id = ? order by +r.seq")


def land(db: Database, config: Config, branches: Branches, run: RunRow, epic: TicketRow, result: Result) -> None:
    """Merges changes that passed on the merged head. run, epic: their rows. Raises Transient when the repository cannot be locked now."""
    merges = {each["run"]: each["merge"] for each in result.merged}
    with db.transaction():
        members = [row for row in db.all(WAITING, (epic["id"],), RunRow) if row["id"] in merges]
        held = len(members) == len(merges) and claims.merging(db, run, str(result.tip))
        for member in members if held else []:
            claims.merging(db, member, str(member["tip_sha"]), checked_by=run["id"])
    if not held:
        _release(db, config, run, epic, "The set of changes has changed meanwhile. The other changes are checked again.")
        return
    point("after-merging")
    if not branches.advance(run["session_id"], own_branch(epic), result):
        _release(db, config, run, epic, "The branch moved during the check. The changes are checked again.")
        return
    with db.transaction():
        for member in members:
            own = Result.read(config.data / "runs" / member["id"])
            reason = " ".join((_alone(result), *(own.notes if own else ())))
            record(db, member, "merged", "completed", reason, None, merged_sha=merges[member["id"]], approved_tip=None)
        _return_conflicts(db, config, epic, result)
        own_grounds.move(db, epic["id"], result)
        record(db, run, "merged", "running", _landed(members), result, transients=0, not_before=None)


def refuse(db: Database, config: Config, run: RunRow, epic: TicketRow, failure: RunFailure, result: Result | None = None) -> None:
    """Handles changes that did not pass, or could not be checked. A single change goes back with the failure; several are checked in halves.
    If the recheck has lost its claim, it says nothing about what waits now: another one decides."""
    tried = [each["run"] for each in result.merged] if result else []
    with db.transaction():
        passes = not isinstance(failure, (AgentFailed, Permanent)) and epic["transients"] < MAX_TRANSIENTS
        if passes or not _holds(db, run):
            times = epic["transients"] + 1
            _unmark(db, run)
            record(db, run, failure.outcome, "running", failure.sentence, result, detail=failure.extra.get("detail"),
                   transients=times, not_before=utc(after=delay(times, config.backoff_seconds)))
            return
        members = [row for row in db.all(WAITING, (epic["id"],), RunRow) if row["id"] in tried or not tried]
        halves = isinstance(failure, AgentFailed) and len(members) > 1
        for number, member in enumerate(members):
            if halves:  # numbers that no other run's halves have
                db.execute("update runs set merge_group = ? where id = ?", (2 * run["seq"] + (number >= len(members) // 2), member["id"]))
            else:
                _send_back(db, config, member, failure, result)
        if result:
            _return_conflicts(db, config, epic, result)
        _unmark(db, run)
        reason = f"{failure.sentence} {len(members)} changes were checked together; now they are checked in halves." if halves else failure.sentence
        record(db, run, "failed", "running", reason, result, transients=0, not_before=None)


def _send_back(db: Database, config: Config, member: RunRow, failure: RunFailure, result: Result | None) -> None:
    """Sends a change back: its next run starts with its work and the merged head, and its prompt has the failure."""
    ticket = db.the("select * from tickets where id = ?", (member["ticket_id"],), TicketRow)
    own = f"{ticket['id']}: "
    checks = [{**check, "text": str(check.get("text", "")).removeprefix(own)} for check in result.checks] if result else []
    said = Result(member["id"], "failed", 0, checks=checks)
    meanwhile = "Its own checks passed. Then it was merged with newer changes. " if isinstance(failure, AgentFailed) else ""
    failed(db, config, member, ticket, type(failure)(meanwhile + failure.sentence, **failure.extra), said)


def _return_conflicts(db: Database, config: Config, epic: TicketRow, result: Result) -> None:
    found = {each["run"]: each for each in result.conflicts}
    for member in db.all(WAITING, (epic["id"],), RunRow):
        if member["id"] in found:
            conflict = found[member["id"]]
            ticket = db.the("select * from tickets where id = ?", (member["ticket_id"],), TicketRow)
            failed(db, config, member, ticket, MergeConflict(conflict["sentence"], detail=conflict.get("detail", "")))


def _release(db: Database, config: Config, run: RunRow, epic: TicketRow, reason: str) -> None:
    """Lets the changes be checked again, which counts as a transient failure: what moves each time needs someone to look at it."""
    if epic["transients"] >= MAX_TRANSIENTS:
        refuse(db, config, run, epic, Transient(reason))
        return
    with db.transaction():
        _unmark(db, run)
        record(db, run, "stale", "running", reason, None, transients=epic["transients"] + 1, not_before=None)


def _holds(db: Database, run: RunRow) -> bool:
    return bool(db.value(f"select 1 from runs r join tickets t on t.id = r.ticket_id where r.id = ? and r.ended_at is null and {HOLDS}", (run["id"],)))


def _unmark(db: Database, run: RunRow) -> None:
    db.execute("update runs set state = 'queued', checked_by = null where checked_by = ? and ended_at is null", (run["id"],))


def _alone(result: Result) -> str:
    others = len(result.merged) - 1
    return "It was checked again on the merged head" + (f", together with {others} other {'change' if others == 1 else 'changes'}." if others else ".")


def _landed(members: list[RunRow]) -> str:
    names = ", ".join(member["ticket_id"] for member in members)
    return f"Checked on the merged head, and merged: {names}." if names else "Nothing could be merged: the waiting changes conflict with the branch."
