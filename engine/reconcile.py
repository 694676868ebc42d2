"""What was changed by other hands, the sqlite3 shell among them, brought to a state that the engine knows."""
from engine import settle
from engine.db import Database
from engine.tickets import change

NO_LIVE_RUN = "not exists (select 1 from runs r where r.ticket_id = tickets.id and r.ended_at is null)"


def reconcile(db: Database) -> None:
    """Idempotent, and cheap when there is nothing to do: it reads open tickets and building sessions only."""
    with db.transaction():
        change(db, "ready", f"status in ('claimed', 'running') and (type <> 'epic' or status = 'claimed') and {NO_LIVE_RUN}", {},
               reason="It was set by hand, and no run of it exists.")
        _close_ready_of_cancelled(db)
        for row in db.all("select distinct t.session_id from tickets t join hitl_sessions s on s.id = t.session_id"
                          " where (t.status = 'ready' or (t.status = 'running' and t.type = 'epic')) and s.state in ('completed', 'failed')"):
            settle.reopen(db, row["session_id"])
        for row in db.all("select id from hitl_sessions where state = 'building' order by seq"):
            settle.session(db, row["id"])


def _close_ready_of_cancelled(db: Database) -> None:
    change(db, "cancelled", "status = 'ready' and exists (select 1 from hitl_sessions s where s.id = tickets.session_id and s.state = 'cancelled')",
           {}, reason="Its session is cancelled.")
