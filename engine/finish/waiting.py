"""Questions about a change that waits to be merged: the head on which its work started, whether other changes wait, whether a second check could
find anything."""

from engine.criteria import criteria_of
from engine.jobs import Result
from engine.store.db import Database
from engine.tickets.rows import RunRow, TicketRow

# For a run r: the base of the first run of its ticket that left work after the ticket's last merge.
BEGAN_ON = ("(select o.base_sha from runs o where o.ticket_id = r.ticket_id and o.seq <= r.seq and o.base_sha is not null and o.tip_sha is not null"
            " and o.seq > coalesce((select max(m.seq) from runs m where m.ticket_id = r.ticket_id and m.outcome = 'merged'), 0) order by o.seq limit 1)")


def began_on(db: Database, run: RunRow, result: Result) -> str | None:
    """The head on which the work of `run` started: in this run, or in an earlier run whose work it continued."""
    return (db.value(f"select {BEGAN_ON} from runs r where r.id = ?", (run["id"],)) if run["run_no"] > 1 else None) or result.base


def is_busy(db: Database, ticket: TicketRow) -> bool:
    """True if other changes of its build wait or are being checked: a merge before them would move the branch under their check again and again."""
    return db.value("select 1 from runs where ended_at is null and session_id = ? and ticket_id <> ? and (state = 'queued' or checked_by is not null)"
                    " limit 1", (ticket["session_id"], ticket["id"])) is not None


def has_checks(db: Database, ticket: TicketRow) -> bool:
    """True if a second check could find anything: this ticket has a check, or a merged ticket has one."""
    return _is_checked(ticket) or any(map(_is_checked, landed(db, ticket["session_id"])))


def _is_checked(ticket: TicketRow) -> bool:
    return any(criterion.check and not criterion.waived for criterion in criteria_of(ticket["acceptance_criteria"]))


def landed(db: Database, session_id: str) -> list[TicketRow]:
    """Merged tickets of a build that may have a check. Each merge asks this for all tickets of the build, so quick conditions come first."""
    return db.all("select id, title, merged_sha, acceptance_criteria from tickets where session_id = ? and acceptance_criteria <> '[]'"
                  " and parent_id is not null and status = 'completed' and merged_sha is not null and acceptance_criteria like '%\"check\"%' order by seq",
                  (session_id,), TicketRow)
