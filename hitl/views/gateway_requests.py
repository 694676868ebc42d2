"""The requests of a run to its gateway, from the record in the run's folder: a bounded piece at a time, and the totals.

Hosts, paths and names of models come from the sandbox. They are data for people: escape them and never act on them."""
import os
from typing import Any

from engine.config import Config
from engine.store.db import Database
from engine.text import json_from_outside, stored
from hitl.views.ticket import run_of
from hitl.web.filters import whole

PIECE, LINE = 1_000_000, 20_000   # bytes of the record to read at a time; every line is shorter than LINE
ROWS, MOST = 50, 500              # requests on a page, and in an answer
_TEXTS, _NUMBERS = ("at", "side", "method", "host", "path", "why", "model"), ("status", "sent", "received", "tokens")


def asked_view(db: Database, config: Config, tenant: str, ticket_id: str, run_id: str | None = None, after: int = 0, limit: int = MOST,
               refused: bool = False) -> dict[str, Any]:
    """{"run", "requests": [at most `limit`, oldest first], "next": the byte for `after`, None at the end, "total", "refused", "recorded"} of that run
    of a ticket, or of its latest run. refused: only the refused requests. An answer may have fewer than `limit` requests before the end.

    total and refused count all requests; recorded is how many have a line, 0 if the run's folder was deleted. Raises NotFound."""
    run = run_of(db, tenant, ticket_id, run_id)
    if run is None:
        return {"run": None, "requests": [], "next": None, "total": 0, "refused": 0, "recorded": 0}
    counts = stored(db.value("select json_extract(usage, '$.asked') from runs where id = ? and json_valid(usage)", (run["id"],)), {})
    try:
        with open(config.data / "runs" / run["id"] / "requests.jsonl", "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - LINE))
            last = _line(file.read(LINE)[:-1].rpartition(b"\n")[2]) or {}
            file.seek(min(after, size))
            found, end = _lines(file.read(PIECE), limit, refused)
    except FileNotFoundError:  # it had no gateway, or its folder was deleted
        size, last, found, end, counts = 0, {}, [], 0, {**counts, "recorded": 0}
    counts = counts or {"requests": last.get("number", 0), "refused": last.get("refused", 0), "recorded": last.get("number", 0)}
    return {"run": run["id"], "requests": found, "next": after + end if end and after + end < size else None,
            "total": whole(counts.get("requests")), "refused": whole(counts.get("refused")), "recorded": whole(counts.get("recorded"))}


def _lines(data: bytes, limit: int, refused: bool) -> tuple[list[dict[str, Any]], int]:
    """(requests, bytes up to the end of the last one). An unfinished line is left for later."""
    found, end = list[dict[str, Any]](), 0
    for raw in data[:data.rfind(b"\n") + 1].splitlines(keepends=True):
        if len(found) == limit:
            break
        end += len(raw)
        line = _line(raw)
        if line is not None and not (refused and line.get("allowed")):
            found.append(_shown(line))
    return found, end


def _line(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json_from_outside(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _shown(line: dict[str, Any]) -> dict[str, Any]:
    seconds = line.get("seconds")
    return {"number": whole(line.get("number")), **{name: str(line.get(name) or "") for name in _TEXTS}, "allowed": line.get("allowed") is True,
            **{name: whole(line.get(name)) for name in _NUMBERS}, "seconds": seconds if isinstance(seconds, int | float) else 0}
