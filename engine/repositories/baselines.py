"""What the checks of a repository say at a base, before any work: rows by repository, commit, environment and command."""
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from engine.criteria import criteria_of
from engine.ground import Baseline, Before
from engine.repositories.rows import BaselineRow, CheckOnBase
from engine.store.db import Database
from engine.text import from_outside
from engine.tickets.rows import TicketRow

MOST_PLACES = 20   # pairs of commit and environment that a run is told of
OUTPUT = 6000      # characters
RESULTS: tuple[str, ...] = get_args(CheckOnBase)


def known(db: Database, repository_id: str, base: str, key: str) -> dict[str, BaselineRow]:
    """{command: its row} at a base, in an environment ('' for none)."""
    rows = db.all("select * from baselines where repository_id = ? and base_sha = ? and environment_key = ?", (repository_id, base, key), BaselineRow)
    return {row["command"]: row for row in rows}


def places(db: Database, repository_id: str) -> dict[str, list[str]]:
    """{"<commit> <key>": commands that are known there}, of the places that were checked last."""
    rows = db.all("select base_sha, environment_key, command from baselines where repository_id = ? order by seq desc", (repository_id,), BaselineRow)
    found: dict[str, list[str]] = {}
    for row in rows:
        place = f"{row['base_sha']} {row['environment_key']}"
        if place in found or len(found) < MOST_PLACES:
            found.setdefault(place, []).append(row["command"])
    return found


def record(db: Database, tenant: str, repository_id: str, base: str, key: str, run_id: str, checks: Iterable[Mapping[str, Any]]) -> None:
    """Stores what a baseline run found. checks: of its result; what is no such check is left out."""
    for check in checks:
        if check.get("result") in RESULTS and isinstance(check.get("command"), str):
            _store(db, tenant, repository_id, base, key, run_id, check, str(check["result"]))


def note_moved(db: Database, ticket: TicketRow, run_id: str, checks: Iterable[Mapping[str, Any]]) -> None:
    """A check that was green at the base is red there now: it is not the same each time. checks: of a ticket's run."""
    moved = [check for check in checks if check.get("moved") is True]
    place = of_ticket(db, ticket) if moved else None
    for check in moved:
        if place is not None:
            known_again = {**check, "output": f"It was green at the base before, and is red there now.\n{check.get('output') or ''}"}
            _store(db, ticket["tenant_id"], *place, run_id, known_again, "flaky")


def _store(db: Database, tenant: str, repository_id: str, base: str, key: str, run_id: str, check: Mapping[str, Any], result: str) -> None:
    exit, seconds = check.get("exit"), check.get("seconds")
    db.execute("insert into baselines (tenant_id, repository_id, base_sha, environment_key, command, result, exit, output, seconds, run_id)"
               " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (repository_id, base_sha, environment_key, command) do update set result = excluded.result,"
               " exit = excluded.exit, output = excluded.output, seconds = excluded.seconds, run_id = excluded.run_id",
               (tenant, repository_id, base, key, check["command"], result, exit if isinstance(exit, int) else None,
                from_outside(str(check.get("output") or ""), OUTPUT), float(seconds) if isinstance(seconds, int | float) else 0.0, run_id))


def forget(db: Database, repository_id: str, base: str, key: str, result: CheckOnBase) -> None:
    """Forgets what had this result at a base, so that it runs again."""
    db.execute("delete from baselines where repository_id = ? and base_sha = ? and environment_key = ? and result = ?", (repository_id, base, key, result))


def of_ticket(db: Database, ticket: TicketRow) -> tuple[str, str, str] | None:
    """(repository id, base, key) of a ticket's build; None in a repository of the session's own."""
    row = db.one("select s.repository_id, e.base_sha, coalesce(e.environment, '') from tickets e join hitl_sessions s on s.id = e.session_id where e.id = ?",
                 (ticket["parent_id"] or ticket["id"],))
    return (row[0], row[1], row[2]) if row and row[0] and row[1] else None


def commands(db: Database, session_id: str) -> list[str]:
    """The commands of the criteria of a session's tickets, without waived ones and dropped tickets."""
    rows = db.all("select acceptance_criteria from tickets where session_id = ? and status <> 'cancelled' and acceptance_criteria <> '[]' order by seq",
                  (session_id,), TicketRow)
    return list(dict.fromkeys(each.check for row in rows for each in criteria_of(row["acceptance_criteria"]) if each.check and not each.waived))


def for_run(db: Database, ticket: TicketRow, wanted: Sequence[str] | None = None) -> Baseline | None:
    """What a run of a ticket must know of the base: what its checks said there. wanted: their commands; None for the ticket's own."""
    place = of_ticket(db, ticket)
    if place is None:
        return None
    own = [each.check for each in criteria_of(ticket["acceptance_criteria"])] if wanted is None else wanted
    rows = db.all("select * from baselines where repository_id = ? and base_sha = ? and environment_key = ? and command in (select value from json_each(?))",
                  (*place, json.dumps(own)), BaselineRow)
    return Baseline(place[1], tuple(Before(row["command"], row["result"], row["exit"], own_output(row)) for row in rows)) if rows else None


def own_output(row: BaselineRow) -> str:
    """The output of the check itself. engine/run/baseline.py puts a sentence before it."""
    return row["output"].partition("\n")[2] if row["result"] in ("cannot_run", "flaky") else row["output"]
