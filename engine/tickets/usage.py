"""Sums of what runs have used, from their stored usage: tokens and money of models, requests and bytes of the network.

A sum is {"runs", "requests", "input", "output", "cache_read", "cache_write", "total", "money", "estimated", "unpriced", "currency", "refused",
"sent", "received"}: runs with a gateway, requests to models, tokens by kind and in total, money by the price table, replies whose tokens were
estimated, runs that used a model without a price, the name of the table's money ('' if it has no name, or different names),
requests to the network that were refused, bytes through the proxy."""
import json
from pathlib import Path
from typing import Any, TypedDict

from engine.jobs import ledgers_of
from engine.store.db import Database, as_dict
from engine.store.kept import Kept
from engine.text import json_from_outside
from engine.tickets.rows import RunRow

_MODELS = ("requests", "input", "output", "cache_read", "cache_write", "total", "money", "estimated")
_EGRESS = ("refused", "sent", "received")
_SUMS = ", ".join(["count(*) as runs", *(f"coalesce(sum(json_extract(usage, '$.{name}')), 0) as {name}" for name in _MODELS),
                   "coalesce(sum(json_array_length(usage, '$.unpriced') > 0), 0) as unpriced",
                   "coalesce(iif(count(distinct json_extract(usage, '$.currency')) = 1, max(json_extract(usage, '$.currency')), ''), '') as currency",
                   *(f"coalesce(sum(json_extract(usage, '$.egress.{name}')), 0) as {name}" for name in _EGRESS)])

# Kept in memory, because pages ask more often than runs end; the usage of a run is written once.
_KEPT = Kept[dict[str, Any]](64)
_USED = "usage is not null and json_valid(usage)"
_OF_SESSION = f"session_id = ? and {_USED}"


def of_session(db: Database, session_id: str) -> dict[str, Any]:
    """The sum of a session's ended runs. Do not change the result."""
    count = db.value(f"select count(*) from runs where {_OF_SESSION}", (session_id,))
    return _KEPT.get(db, (session_id, count), lambda: dict(db.one(f"select {_SUMS} from runs where {_OF_SESSION}", (session_id,)) or {}))


def of_ticket(db: Database, ticket_id: str) -> dict[str, Any]:
    return as_dict(db.one(f"select {_SUMS} from runs where ticket_id = ? and {_USED}", (ticket_id,)))


def of_tickets(db: Database, session_id: str) -> dict[str, dict[str, Any]]:
    """{ticket id: its sum} for tickets of a session that have any usage."""
    rows = map(as_dict, db.all(f"select ticket_id, {_SUMS} from runs where {_OF_SESSION} group by ticket_id", (session_id,)))
    return {row.pop("ticket_id"): row for row in rows}


def with_live(db: Database, data: Path, session_id: str, summed: dict[str, Any]) -> dict[str, Any]:
    """The sum of a session, plus what its live runs have used so far. Reads one ledger file per live run."""
    for run in db.all("select id, session_id from runs where session_id = ? and ended_at is null and usage is null", (session_id,), RunRow):
        summed = plus(summed, of_live(data, run))
    return summed


def plus(summed: dict[str, Any], used: dict[str, Any] | None) -> dict[str, Any]:
    """A sum plus the usage of one more run; used None: nothing more."""
    if used is None:
        return summed
    return {**summed, **{name: summed[name] + used[name] for name in _MODELS}, "runs": summed["runs"] + 1,
            "unpriced": summed["unpriced"] + bool(used.get("unpriced")), "currency": summed["currency"] or str(used.get("currency") or "")}


class Live(TypedDict):
    """The columns of a live run by which its ledger is found."""

    id: str
    session_id: str


def of_live(data: Path, run: Live) -> dict[str, Any] | None:
    """Usage of a live run from its ledger, in the form of the column `usage` after its end (see
    engine/gateway/serving.py), without the network. run: its row; data: the data folder. None if it has no ledger."""
    try:
        held = json_from_outside((ledgers_of(data, run["session_id"]) / f"{run['id']}.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(held, dict) or not all(isinstance(held.get(name), int | float) for name in _MODELS):
        return None
    return {name: value for name, value in held.items() if not name.startswith("held_")}


def book(db: Database, data: Path, run: RunRow) -> None:
    """Stores the usage of a run that ended without a result, from its ledger. run: its row; data: the data folder."""
    used = of_live(data, run)
    if used is not None:
        db.execute("update runs set usage = ? where id = ? and usage is null", (json.dumps(used), run["id"]))


def spent(db: Database, session_id: str) -> tuple[int, float]:
    """(tokens, money) of a session's ended runs."""
    row = of_session(db, session_id)
    return int(row["total"]), float(row["money"])
