"""New tickets: the only insert into tickets. Their ids come from one counter, in the same transaction.

Next: engine/loop/loop.py
"""
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import TypedDict, Unpack

from engine.store.db import Database
from engine.times import NOW

ROWS = 500  # per insert


class NewTicket(TypedDict, total=False):
    """Columns of a new ticket; other columns get the defaults of schema.sql. acceptance_criteria: JSON."""

    type: str
    title: str
    status: str
    description: str
    acceptance_criteria: str
    parent_id: str | None
    position: int
    priority: int
    agent: str | None
    supplied: bool
    review: bool
    reason: str | None


def create(db: Database, tenant: str, session_id: str, tickets: Sequence[NewTicket], **of_all: Unpack[NewTicket]) -> list[str]:
    """Writes tickets of one session, inside a transaction -> their ids, in this order. The ids are used up only if it commits.

    All tickets must name the same columns. of_all: columns with the same value in all tickets."""
    if not tickets:
        return []
    last = db.execute("update counters set value = value + ? where name = 'ticket' returning value", (len(tickets),)).fetchall()[0][0]
    ids = [f"TKT-{number:03d}" for number in range(last - len(tickets) + 1, last + 1)]
    now = db.value(f"select {NOW}")
    same = {**of_all, "tenant_id": tenant, "session_id": session_id, "created_at": now, "updated_at": now}
    names = tuple(tickets[0])
    rows = [(ticket_id, *map(ticket.__getitem__, names)) for ticket_id, ticket in zip(ids, tickets, strict=True)]
    _insert(db, "insert into tickets", same, ("id", *names), rows)
    return ids


def depend(db: Database, edges: Sequence[tuple[str, str]]) -> None:
    """Adds dependencies, as pairs of ids: the first ticket waits for the second."""
    _insert(db, "insert into ticket_dependencies", {}, ("ticket_id", "depends_on"), edges)


def _insert(db: Database, into: str, same: dict[str, object], names: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    """Inserts many rows per statement, because SQLite prepares the table's checks once per statement, which costs more than a row."""
    for start in range(0, len(rows), ROWS):
        part = rows[start:start + ROWS]
        db.execute(f"{into} ({', '.join((*same, *names))}) values {_places(len(same), len(names), len(part))}",
                   [*same.values(), *chain.from_iterable(part)])


@lru_cache(maxsize=8)
def _places(same: int, own: int, rows: int) -> str:
    """'(?1, ?2, ?3), (?1, ?4, ?5)': a value that is the same in all rows is bound once."""
    first = [f"?{n}" for n in range(1, same + 1)]
    return ", ".join(f"({', '.join([*first, *(f'?{n}' for n in range(start, start + own))])})" for start in range(same + 1, same + 1 + own * rows, own))
