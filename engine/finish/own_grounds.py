"""Environments that runs of a build made for its changes: their rows, and which one the later runs of the build stand on."""
from engine.jobs import Result
from engine.repositories import snapshots
from engine.store.db import Database
from engine.tickets.rows import RunRow, TicketRow


def note(db: Database, run: RunRow, ticket: TicketRow, result: Result) -> None:
    """Notes the environment that a run made or found for its change, whatever became of the change. Repeatable."""
    repository = db.value("select repository_id from hitl_sessions where id = ?", (ticket["session_id"],))
    if run["kind"] not in ("feature", "recheck", "integrate") or not result.ground.get("key") or not repository:
        return
    with db.transaction():
        sha256 = db.value("select n.sha256 from environments n join tickets e on e.environment = n.key where e.id = ? and n.repository_id = ?",
                          (ticket["parent_id"] or ticket["id"], repository))
        snapshots.record(db, ticket["tenant_id"], repository, str(sha256 or ""), str(result.tip or result.base), run["id"], result.ground, ticket["id"])
        db.execute("update runs set environment = ? where id = ?", (result.ground["key"], run["id"]))


def move(db: Database, epic_id: str | None, result: Result) -> None:
    """A change was merged that needs another environment: from now on the build stands on it. In the caller's transaction."""
    if result.ground.get("key"):
        db.execute("update tickets set environment = ? where id = ? and environment is not null", (result.ground["key"], epic_id))
