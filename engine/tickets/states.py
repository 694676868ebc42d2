"""Ticket states and allowed moves. Only change() writes a ticket's status.

    pending   not released                        needs_input   waits for an answer; no run, no slot
    blocked   waits for its epic or tickets       in_review     waits for a review of the change
    ready     may be claimed after not_before     completed     merged (a feature); checked as a whole (an epic)
    claimed   a run is intended                   failed        waits for a decision
    running   a run is live; an epic: the build   cancelled     dropped
"""
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from engine.errors import NotFound
from engine.store.db import Database
from engine.tickets.rows import Status, TicketRow
from engine.times import NOW

OPEN: tuple[Status, ...] = ("pending", "blocked", "ready", "claimed", "running", "needs_input", "in_review")

HELD: tuple[Status, ...] = ("claimed", "running")  # by a run
IS_HELD = "status in ('claimed', 'running')"
HOLDS = f"t.{IS_HELD} and t.claim_token = r.claim_token"  # for a run r and its ticket t
HELD_BY = f"id = :id and claim_token = :token and {IS_HELD}"  # the same for a ticket, with parameters from its run
NO_LIVE_RUN = "not exists (select 1 from runs r where r.ticket_id = tickets.id and r.ended_at is null)"
# A run that has a process now. One that waits for its merge, or for an engine that claims it, has none.
BUSY = "ended_at is null and state <> 'queued' and state <> 'merging' and state <> 'wanted'"
NOT_MERGING = "not exists (select 1 from runs r where r.ticket_id = tickets.id and r.state = 'merging')"
UNDONE = "status not in ('completed', 'cancelled')"  # word for word as in the index tickets_undone; otherwise SQLite does not use it

# to -> from. Any other move changes no row.
MOVES: dict[Status, tuple[Status, ...]] = {
    "blocked": ("pending", "ready", "failed", "completed", "needs_input", "in_review"),
    "ready": ("pending", "blocked", "claimed", "running", "needs_input", "in_review", "failed", "completed"),
    "claimed": ("ready",),
    "running": ("claimed", "running", "ready", "failed", "completed"),  # from any but claimed: an epic that continues as coordinator
    "needs_input": HELD,
    "in_review": HELD,
    "completed": HELD,
    "failed": ("blocked", "ready", "claimed", "running", "needs_input"),
    "cancelled": (*OPEN, "failed"),
}


class Sql(str):
    """A column's new value as an SQL expression over the old row."""


def change(db: Database, to: Status, where: str, parameters: Mapping[str, Any], **columns: Any) -> int:
    """Moves the tickets that match `where` (named parameters) and sets `columns`. -> the number of moved tickets.

    A ticket that no run holds has no claim: token and owner are cleared when the status leaves HELD. assigned_vm keeps the last sandbox."""
    return db.execute(_update(to, where, *_sets(columns)), {**parameters, **columns}).rowcount


def change_rows(db: Database, to: Status, where: str, parameters: Mapping[str, Any], **columns: Any) -> list[TicketRow]:
    """The same as change(). -> the moved tickets: [(seq, id, session_id, tenant_id, parent_id, priority, status)]."""
    return db.all(f"{_update(to, where, *_sets(columns))} returning seq, id, session_id, tenant_id, parent_id, priority, status",
                  {**parameters, **columns}, TicketRow)


def _sets(columns: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value) if isinstance(value, Sql) else f":{name}") for name, value in columns.items())


@lru_cache(maxsize=500)
def _update(to: Status, where: str, *sets: tuple[str, str]) -> str:
    columns = {"reason": "null"} if to in HELD else {"reason": "null", "claim_token": "null", "claimed_by": "null"}
    assignments = "".join(f", {name} = {value}" for name, value in {**columns, **dict(sets)}.items())
    origins = " or ".join(f"status = '{status}'" for status in MOVES[to])
    return f"update tickets set status = '{to}', updated_at = {NOW}{assignments} where ({origins}) and ({where})"


def get(db: Database, tenant: str, ticket_id: str) -> TicketRow:
    """The row of a ticket. Raises NotFound for an unknown ticket and for a ticket of another tenant."""
    row = db.one("select * from tickets where id = ? and tenant_id = ?", (ticket_id, tenant), TicketRow)
    if row is None:
        raise NotFound("Ticket not found")
    return row


def is_merging(db: Database, ticket_id: str) -> bool:
    return db.value("select 1 from runs where ticket_id = ? and state = 'merging'", (ticket_id,)) is not None
