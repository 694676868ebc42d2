"""What happens to a ticket after the end of its run.

Next: engine/tickets/settle.py
"""
from typing import Any

from engine.config import Config
from engine.crash import point
from engine.errors import (
    GroundFailed,
    MergeConflict,
    NotStarted,
    Permanent,
    ProviderRefused,
    RateLimited,
    RunFailure,
    Transient,
    UnchangedSinceBase,
    Unreachable,
)
from engine.jobs import Result
from engine.log import event
from engine.repositories import baselines
from engine.store import disk
from engine.store.db import Database
from engine.tickets import claims, requests
from engine.tickets.rows import Outcome, RunRow, Status, TicketRow
from engine.times import delay, utc

MAX_CONFLICTS = 2
MOST_GROUNDS = 3  # tries in a row on an environment that cannot be used
ON_GROUND = "No attempt was used up. Change the environment on the page of the repository, then retry."
ON_DISK = "Free space where runs work, then retry."
MAX_TRANSIENTS = 10  # in a row; after that they count as a failed attempt
# Seconds that a ticket waits for a busy provider before someone is asked. Longer than the windows of an hour and of five hours by which providers
# limit requests, and than nearly all of their outages; short enough that a build of the morning asks on the same day.
PATIENCE = 6 * 3600.0
MOST_REACHED, LONGEST_PAUSE = 4, 60.0  # tries to reach a repository before its ticket only waits for an answer, and seconds between them: some minutes


def record(db: Database, run: RunRow, outcome: Outcome, status: Status, reason: str | None, result: Result | None, **columns: Any) -> TicketRow | None:
    """Ends a run and moves its ticket, as claims.finish() does. -> the ticket's row, or None if the claim was stale"""
    point("before-finish")
    row = claims.finish(db, run, outcome, status, reason, result, **columns)
    point("after-finish")
    event("finished", ticket=run["ticket_id"], run=run["id"], outcome=outcome if row else "stale", status=row and row["status"], reason=reason)
    return row


def failed(db: Database, config: Config, run: RunRow, ticket: TicketRow, failure: RunFailure, result: Result | None = None) -> None:
    """Records a failure of a run: its ticket retries after a pause, or waits for a decision. run, ticket: their rows."""
    if _waits(db, config, run, ticket, failure, result):
        return
    reason, retry = failure.sentence, True
    columns: dict[str, int | str | None]
    if isinstance(failure, MergeConflict):
        columns = {"conflicts": ticket["conflicts"] + 1, "approved_tip": None}
        retry = ticket["conflicts"] < MAX_CONFLICTS
    elif isinstance(failure, GroundFailed) or (isinstance(failure, Transient) and disk.is_at_fault(failure.sentence)):
        most, advice = (MOST_GROUNDS, ON_GROUND) if isinstance(failure, GroundFailed) else (MAX_TRANSIENTS + 1, ON_DISK)
        columns = {"transients": ticket["transients"] + 1, "not_before": utc(after=delay(ticket["transients"] + 1, config.backoff_seconds))}
        retry = ticket["transients"] + 1 < most  # it is not the ticket's fault, so it uses up no attempt; but someone must look
        reason += "" if retry else f" This happened {ticket['transients'] + 1} times in a row. {advice}"
    elif isinstance(failure, RateLimited):
        pause = max(float(str(failure.extra.get("wait", 0.0))), delay(ticket["transients"] + 1, config.backoff_seconds))
        since = _waits_since(db, ticket)
        if pause > PATIENCE or (since and since < utc(after=pause - PATIENCE)):
            waited = f"The ticket has had to wait since {since}." if since else ""
            _wait_for_provider(db, run, f"{reason} {waited} That is too long to wait without asking you.".replace("  ", " "), result)
            return
        columns = {"transients": min(ticket["transients"] + 1, MAX_TRANSIENTS - 1), "not_before": utc(after=pause)}  # never a failed attempt
    elif isinstance(failure, Transient) and ticket["transients"] < MAX_TRANSIENTS:
        columns = {"transients": ticket["transients"] + 1, "not_before": utc(after=delay(ticket["transients"] + 1, config.backoff_seconds))}
    else:
        failures = ticket["failures"] + (not isinstance(failure, NotStarted))
        columns = {"failures": failures, "transients": 0, "approved_tip": None, "not_before": utc(after=delay(failures, config.backoff_seconds))}
        retry = failures < config.max_attempts and not isinstance(failure, Permanent)
    with db.transaction():
        row = record(db, run, failure.outcome, "ready" if retry else "failed", reason, result,
                      detail=str(failure.extra["detail"]) if "detail" in failure.extra else None, **columns)
        if row and run["kind"] == "prepare" and not isinstance(failure, Transient):
            requests.withdraw(db, ticket["id"])  # what was asked before is not the trouble now
        if row and not retry:
            requests.open_failed(db, row, run["id"], reason)


def _waits(db: Database, config: Config, run: RunRow, ticket: TicketRow, failure: RunFailure, result: Result | None) -> bool:
    """Records a failure that only someone can end, and asks. False for any other failure."""
    if isinstance(failure, UnchangedSinceBase):
        _ask_about_base(db, run, ticket, failure.sentence, result)
    elif isinstance(failure, ProviderRefused):
        _wait_for_provider(db, run, failure.sentence, result)
    elif isinstance(failure, Unreachable) and run["kind"] == "prepare":
        _wait_for_repository(db, config, run, ticket, failure.sentence, result)
    else:
        return False
    return True


def _ask_about_base(db: Database, run: RunRow, ticket: TicketRow, reason: str, result: Result | None) -> None:
    """A person decides about checks that are as red as at the base. Uses up no attempt."""
    checks = result.checks if result else []
    with db.transaction():
        baselines.note_moved(db, ticket, run["id"], checks)
        row = record(db, run, "needs_input", "needs_input", reason, result, transients=0, not_before=None)
        if row:
            requests.open_unchanged(db, ticket, run["id"], reason, sum(bool(check.get("unchanged")) for check in checks) or 1)


def _wait_for_repository(db: Database, config: Config, run: RunRow, ticket: TicketRow, reason: str, result: Result | None) -> None:
    """Asks at once, because most often only someone can help, and meanwhile tries a few more times, because some outages pass. Uses up no attempt."""
    tries = ticket["transients"] + 1
    last, pause = tries >= MOST_REACHED, min(delay(tries, config.backoff_seconds), LONGEST_PAUSE)
    more = f"It was tried {tries} times and is not tried again without you." if last else f"Try {tries} of {MOST_REACHED}: it is tried again by itself."
    with db.transaction():
        row = record(db, run, "transient", "needs_input" if last else "ready", f"{reason} {more}", result, transients=0 if last else tries,
                     not_before=None if last else utc(after=pause))
        if row:
            requests.open_repository(db, row, run["id"], f"{reason} {more}", [requests.TRY_AGAIN, requests.STOP])


def _waits_since(db: Database, ticket: TicketRow) -> str | None:
    """UTC time of the first of the last runs in a row that had to stop and wait, or None. An answer or a retry starts the count again."""
    since: str | None = db.value(
        "select min(ended_at) from runs where ticket_id = :id and outcome = 'transient' and seq > coalesce((select max(seq) from runs"
        " where ticket_id = :id and outcome not in ('transient', 'void')), 0) and ended_at >= coalesce((select max(answered_at) from requests"
        " where session_id = :session and (ticket_id = :id or kind = 'budget')), '')", {"id": ticket["id"], "session": ticket["session_id"]})
    return since


def _wait_for_provider(db: Database, run: RunRow, reason: str, result: Result | None) -> None:
    """Only someone can change what the model's provider says. This uses up no attempt."""
    with db.transaction():
        row = record(db, run, "transient", "needs_input", reason, result, transients=0, not_before=None)
        if row:
            requests.open_provider(db, row, run["id"], reason)
