"""Repairs states after changes from outside, for example with the sqlite3 shell, so that the engine can continue."""
from engine.store.db import Database
from engine.tickets import actions, requests, session_states, settle
from engine.tickets.rows import TicketRow
from engine.tickets.session_rows import SessionRow
from engine.tickets.states import IS_HELD, NO_LIVE_RUN, NOT_MERGING, UNDONE, change

UNDONE_HELD = f"{UNDONE} and {IS_HELD}"  # uses the index tickets_undone


def reconcile(db: Database) -> None:
    """May be called again, and is cheap when nothing changed: it reads only open tickets and building sessions."""
    with db.transaction():
        change(db, "ready", f"{UNDONE_HELD} and (type <> 'epic' or status = 'claimed' or base_sha is null) and {NO_LIVE_RUN}", {},
               reason="Someone set this status by hand, and there is no run for it.")
        change(db, "running", f"{UNDONE_HELD} and type = 'epic' and status = 'running' and claim_token is not null and {NO_LIVE_RUN}", {},
               claim_token=None, claimed_by=None)
        for row in db.all(f"select distinct t.session_id from tickets t join hitl_sessions s on s.id = t.session_id where t.{UNDONE}"
                          " and t.status <> 'failed' and (s.state = 'completed' or s.state = 'failed' and t.status <> 'blocked')", (), TicketRow):
            settle.reopen(db, row["session_id"])
        _cancel_builds_of_cancelled_epics(db)
        _close_tickets_of_cancelled(db)
        for building in db.all("select id from hitl_sessions where state = 'building' order by seq", (), SessionRow):
            settle.session(db, building["id"])
        requests.withdraw_idle(db)


def _cancel_builds_of_cancelled_epics(db: Database) -> None:
    for row in db.all("select s.id from hitl_sessions s cross join tickets e on e.session_id = s.id and e.type = 'epic' and e.status = 'cancelled'"
                      " where s.state = 'building'", (), SessionRow):
        reason = "The epic was cancelled in the database."
        session_states.move(db, row["id"], "building", "cancelled", reason=reason)
        actions.cancel_session(db, row["id"], reason)


def _close_tickets_of_cancelled(db: Database) -> None:
    """Cancels them, except a ticket whose merge has started: that merge completes."""
    change(db, "cancelled", f"{UNDONE} and status <> 'failed' and {NOT_MERGING} and exists"
           " (select 1 from hitl_sessions s where s.id = tickets.session_id and s.state = 'cancelled')", {}, reason="The session is cancelled.")
