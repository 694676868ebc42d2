"""What people did about single tickets, as rows, and which run was told of it."""
from typing import Any

from engine.store.db import Database


def note(db: Database, ticket: Any, kind: str, body: str) -> None:
    """Records what a person did: for prompts, history and notes."""
    db.execute("insert into ticket_steers (tenant_id, session_id, ticket_id, kind, body) values (?, ?, ?, ?, ?)",
               (ticket["tenant_id"], ticket["session_id"], ticket["id"], kind, body))


# A run whose agent was given the ticket's prompt: it began, and had more to do than to merge what a person had approved.
_PROMPTED = ("r.kind = 'feature' and r.started_at is not null and coalesce(r.outcome, '') <> 'void' and not (coalesce(r.phases, '{}') = '{}' and exists"
             " (select 1 from runs p where p.ticket_id = r.ticket_id and p.seq < r.seq and p.outcome = 'in_review' and p.tip_sha = r.tip_sha))")


def of_ticket(db: Database, ticket_id: str) -> list[dict[str, Any]]:
    """[{seq, kind, body, created_at, told, late, note}], oldest first; told: of a message, the number of the first run that was given it, None:
    none yet; late: none was, and the ticket is merged or dropped (should it run again, that run has it in its prompt); note: so in words."""
    rows = db.all(
        f"select m.seq, m.kind, m.body, m.created_at, iif(m.kind = 'message', (select min(r.run_no) from runs r where r.ticket_id = m.ticket_id"
        f" and r.created_at > m.created_at and {_PROMPTED}), null) as told, t.status"
        " from ticket_steers m join tickets t on t.id = m.ticket_id where m.ticket_id = ? order by m.seq", (ticket_id,))
    return [{**{name: row[name] for name in ("seq", "kind", "body", "created_at", "told")}, **_reading(row)} for row in rows]


def _reading(row: Any) -> dict[str, Any]:
    """What became of a message. row: of steers()."""
    late = row["kind"] == "message" and row["told"] is None and row["status"] in ("completed", "cancelled")
    if row["kind"] != "message":
        note = ""
    elif row["told"]:
        note = f"told to run {row['told']}"
    elif late:
        note = f"read by no run: it came too late, the ticket was {'merged' if row['status'] == 'completed' else 'dropped'}"
    else:
        note = "not told yet: the next attempt has it" + (", if you ask for changes" if row["status"] == "in_review" else "")
    return {"late": late, "note": note}
