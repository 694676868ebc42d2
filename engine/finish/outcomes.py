"""What happens to a ticket after the end of its run.

Next: engine/tickets/settle.py
"""
from typing import Any

from engine.config import Config
from engine.crash import point
from engine.errors import MergeConflict, Permanent, RateLimited, RunFailure, Transient
from engine.jobs import Result
from engine.log import event
from engine.store import disk
from engine.store.db import Database
from engine.tickets import claims, requests
from engine.tickets.rows import Outcome, RunRow, Status, TicketRow
from engine.times import delay, utc

MAX_CONFLICTS = 2
MAX_TRANSIENTS = 10  # in a row; after that they count as a failed attempt


def record(db: Database, run: RunRow, outcome: Outcome, status: Status, reason: str | None, result: Result | None, **columns: Any) -> TicketRow | None:
    """Ends a run and moves its ticket, as claims.finish() does. -> the ticket's row, or None if the claim was stale"""
    point("before-finish")
    row = claims.finish(db, run, outcome, status, reason, result, **columns)
    point("after-finish")
    event("finished", ticket=run["ticket_id"], run=run["id"], outcome=outcome if row else "stale", status=row and row["status"], reason=reason)
    return row


def failed(db: Database, config: Config, run: RunRow, ticket: TicketRow, failure: RunFailure, result: Result | None = None) -> None:
    """Records a failure of a run: its ticket retries after a pause, or waits for a decision. run, ticket: their rows."""
    reason, retry = failure.sentence, True
    columns: dict[str, int | str | None]
    if isinstance(failure, MergeConflict):
        columns = {"conflicts": ticket["conflicts"] + 1, "approved_tip": None}
        retry = ticket["conflicts"] < MAX_CONFLICTS
    elif isinstance(failure, Transient) and disk.is_at_fault(failure.sentence):
        columns = {"not_before": utc(after=delay(1, config.backoff_seconds))}  # it is not the ticket's fault, however often it happens
    elif isinstance(failure, RateLimited):
        pause = max(float(str(failure.extra.get("wait", 0.0))), delay(ticket["transients"] + 1, config.backoff_seconds))
        columns = {"transients": min(ticket["transients"] + 1, MAX_TRANSIENTS - 1), "not_before": utc(after=pause)}  # never a failed attempt
    elif isinstance(failure, Transient) and ticket["transients"] < MAX_TRANSIENTS:
        columns = {"transients": ticket["transients"] + 1, "not_before": utc(after=delay(ticket["transients"] + 1, config.backoff_seconds))}
    else:
        failures = ticket["failures"] + 1
        columns = {"failures": failures, "transients": 0, "approved_tip": None, "not_before": utc(after=delay(failures, config.backoff_seconds))}
        retry = failures < config.max_attempts and not isinstance(failure, Permanent)
    with db.transaction():
        row = record(db, run, failure.outcome, "ready" if retry else "failed", reason, result,
                      detail=str(failure.extra["detail"]) if "detail" in failure.extra else None, **columns)
        if row and not retry:
            requests.open_failed(db, row, run["id"], reason)
