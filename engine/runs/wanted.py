"""Asks for a run without a ticket, and stops it. The engine starts it when a slot is free.

Next: engine/runs/claims.py
"""
import json
import secrets
from collections.abc import Mapping
from typing import Any

from engine.errors import NotFound, WrongState
from engine.store.db import Database
from engine.tickets.rows import OwnedRunRow, OwnerKind, RunKind


def want(db: Database, kind: RunKind, owner_kind: OwnerKind, owner: str, tenant: str, task: Mapping[str, Any], session: str | None = None) -> OwnedRunRow:
    """The live run of this kind of this owner; without one, a new run that waits for a slot. owner: of an installation, its tenant.
    session: the session that the run belongs to, if any. task: JSON, what the run has to do; a live run keeps its own."""
    with db.transaction():
        live = current(db, kind, owner_kind, owner)
        if live is not None:
            return live
        number = 1 + (db.value("select max(run_no) from runs where owner_kind = ? and owner = ? and ticket_id is null", (owner_kind, owner)) or 0)
        return db.the("insert into runs (id, session_id, tenant_id, kind, state, claim_token, claimed_by, run_no, owner_kind, owner, task)"
                      " values (?, ?, ?, ?, 'wanted', '', '', ?, ?, ?, ?) returning *",
                      (f"{kind}-{owner[:8]}-{number}-{secrets.token_hex(3)}", session, tenant, kind, number, owner_kind, owner,
                       json.dumps(task, ensure_ascii=False, sort_keys=True)), OwnedRunRow)


def current(db: Database, kind: RunKind, owner_kind: OwnerKind, owner: str) -> OwnedRunRow | None:
    """The run of this kind of this owner that has not ended."""
    return db.one("select * from runs where owner_kind = ? and owner = ? and kind = ? and ticket_id is null and ended_at is null",
                  (owner_kind, owner, kind), OwnedRunRow)


def latest(db: Database, kind: RunKind, owner_kind: OwnerKind, owner: str) -> OwnedRunRow | None:
    """The newest run of this kind of this owner."""
    return db.one("select * from runs where owner_kind = ? and owner = ? and ticket_id is null and kind = ? order by seq desc limit 1",
                  (owner_kind, owner, kind), OwnedRunRow)


def get(db: Database, tenant: str, run_id: str) -> OwnedRunRow:
    """The row of any run, also of a ticket's. Raises NotFound for an unknown run and for a run of another tenant."""
    row = db.one("select * from runs where id = ? and tenant_id = ?", (run_id, tenant), OwnedRunRow)
    if row is None:
        raise NotFound("Run not found")
    return row


def cancel(db: Database, tenant: str, run_id: str) -> OwnedRunRow:
    """Asks the engine to end a run without a ticket, which then tells its owner. -> its row.
    Raises NotFound; WrongState for a run that has ended, and for a run of a ticket, which is cancelled with its ticket."""
    with db.transaction():
        run = get(db, tenant, run_id)
        if run["ticket_id"] is not None:
            raise WrongState(f"{run_id} is a run of {run['ticket_id']}. Stop or cancel the ticket instead.", ticket=run["ticket_id"])
        if run["state"] == "ended":
            raise WrongState(f"The run has ended already: {run['outcome']}.", currentState="ended", ended_at=run["ended_at"])
        return db.the("update runs set cancelled = 1 where id = ? returning *", (run_id,), OwnedRunRow)
