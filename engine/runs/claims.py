"""Claim, begin and end of runs without a ticket. The claim's token alone is their fence: a write that changes no row means that the run
has ended, so stop and discard.

Next: engine/loop/owned.py
"""
from engine.jobs import Result
from engine.store.db import Database
from engine.tickets.claims import SAID, said
from engine.tickets.rows import Outcome, OwnedRunRow, RunColumns
from engine.times import NOW

FIRST = ("setup", "baseline")  # a build may wait for them, so they come before the others
_IS_HELD = "id = ? and claim_token = ? and ended_at is null"


def is_wanted(db: Database) -> bool:
    """True if a run waits for a slot."""
    return db.value("select 1 from runs where state = 'wanted' and not cancelled limit 1") is not None


def claim(db: Database, engine: str, limit: int) -> list[OwnedRunRow]:
    """Claims up to `limit` runs that wait for a slot: setup and baseline first, then by age. -> their rows"""
    if limit <= 0 or not is_wanted(db):
        return []  # without a transaction: an idle engine does not write
    with db.transaction():
        rows = db.all("update runs set state = 'intended', claim_token = lower(hex(randomblob(16))), claimed_by = ? where seq in (select seq from runs"
                      f" where state = 'wanted' and not cancelled order by kind not in {FIRST}, seq limit ?) returning *", (engine, limit), OwnedRunRow)
    return sorted(rows, key=lambda row: (row["kind"] not in FIRST, row["seq"]))


def begin(db: Database, run: RunColumns, runtime: str, agent: str) -> bool:
    """intended → running. False: the run has ended or was stopped meanwhile."""
    with db.transaction(durable=False):
        return db.execute(f"update runs set state = 'running', runtime = ?, agent = ?, started_at = {NOW}"
                          f" where {_IS_HELD} and state = 'intended' and not cancelled",
                          (runtime, agent, run["id"], run["claim_token"])).rowcount == 1


def end(db: Database, run: RunColumns, outcome: Outcome, reason: str | None, result: Result | None = None, detail: str | None = None) -> bool:
    """Ends a run. False: it has ended before."""
    with db.transaction():
        return db.execute(f"update runs set state = 'ended', outcome = ?, reason = ?, detail = ?, ended_at = {NOW},"
                          f" {SAID} where {_IS_HELD}", (outcome, reason, detail, *said(result), run["id"], run["claim_token"])).rowcount == 1


def tries(db: Database, run: RunColumns) -> int:
    """How many runs of this kind of this owner ended in a row without a fault of theirs, this one included."""
    return 1 + int(db.value("select count(*) from runs where owner_kind = :kind and owner = :owner and ticket_id is null and kind = :of and seq < :seq"
                            " and outcome in ('transient', 'lost', 'void') and seq > coalesce((select max(seq) from runs where owner_kind = :kind"
                            " and owner = :owner and ticket_id is null and kind = :of and seq < :seq and outcome not in ('transient', 'lost', 'void')), 0)",
                            {"kind": run["owner_kind"], "owner": run["owner"], "of": run["kind"], "seq": run["seq"]}))
