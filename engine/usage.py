"""What runs have used, summed from what is stored with them: tokens and money of models, requests and bytes of the network.

A sum is {"runs", "requests", "input", "output", "cache_read", "cache_write", "total", "money", "estimated", "refused", "sent", "received"}:
runs with a gateway, requests to models, tokens by kind and in all, money by the price table, replies whose tokens were estimated,
requests to the network that were refused, bytes through the proxy."""
import json
from pathlib import Path
from typing import Any

from engine.db import Database
from engine.gateway.ledger import folder_of

_MODELS = ("requests", "input", "output", "cache_read", "cache_write", "total", "money", "estimated")
_EGRESS = ("refused", "sent", "received")
_SUMS = ", ".join(["count(*) as runs", *(f"coalesce(sum(json_extract(usage, '$.{name}')), 0) as {name}" for name in _MODELS),
                   *(f"coalesce(sum(json_extract(usage, '$.egress.{name}')), 0) as {name}" for name in _EGRESS)])

_OF_SESSION = "ticket_id in (select id from tickets where session_id = ?) and usage is not null"


def of_session(db: Database, session_id: str) -> dict[str, Any]:
    return dict(db.one(f"select {_SUMS} from runs where {_OF_SESSION}", (session_id,)) or {})


def of_ticket(db: Database, ticket_id: str) -> dict[str, Any]:
    return dict(db.one(f"select {_SUMS} from runs where ticket_id = ? and usage is not null", (ticket_id,)) or {})


def of_tickets(db: Database, session_id: str) -> dict[str, dict[str, Any]]:
    """{ticket id: its sum} for the tickets of a session that have used something."""
    rows = db.all(f"select ticket_id, {_SUMS} from runs where {_OF_SESSION} group by ticket_id", (session_id,))
    return {row["ticket_id"]: {name: row[name] for name in row.keys() if name != "ticket_id"} for row in rows}  # noqa: SIM118


def of_run(run: Any) -> dict[str, Any] | None:
    """A run's own, in full: see engine/gateway/serving.py. run: its row. None where it had no gateway."""
    return json.loads(run["usage"]) if run["usage"] else None


def book(db: Database, data: Path, run: Any) -> None:
    """Of a run that ended without a result, what its ledger says. run: its row; data: the data folder."""
    try:
        held = json.loads((folder_of(data, run["session_id"]) / f"{run['id']}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    used = {name: value for name, value in held.items() if not name.startswith("held_")}
    db.execute("update runs set usage = ? where id = ? and usage is null", (json.dumps(used), run["id"]))


def spent(db: Database, session_id: str) -> tuple[int, float]:
    """Tokens and money of a session's ended runs."""
    row = of_session(db, session_id)
    return int(row["total"]), float(row["money"])
