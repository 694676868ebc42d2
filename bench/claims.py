"""The claim → finish cycle as the engine does it, run rows and journal included, against raw sqlite3 doing only the two updates."""
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.peers import peers
from bench.rows import Row, interleaved, pace
from bench.sizes import Size
from bench.store import bare_copy, filled, raw_connection
from engine.jobs import Result
from engine.store.db import Database
from engine.tickets import claims
from engine.times import utc

FLOOR = {"NORMAL": 0.3, "FULL": 0.7}
FLAT = 1.2
BATCH = 8
NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


def measure(size: Size, folder: Path) -> Iterator[Row]:
    times: dict[str, dict[int, float]] = {}
    for count in size.rows:
        for state in ("ready", "done"):
            for tenants in (1, size.tenants):
                case = f"{state}, {tenants} tenant{'s'[:tenants != 1]}"
                for row, level in _case(size, folder, count, state, tenants):
                    if level == "NORMAL":
                        times.setdefault(case, {})[count] = 1 / row.ours
                    yield row
    for case, found in times.items():
        few, many = min(found), max(found)
        yield Row(f"cycle, {case}: time at {many:,} rows ÷ at {few:,}", "×", found[many] / found[few], target=("≤", FLAT))
    for state in ("ready", "done"):
        one, more = times[f"{state}, 1 tenant"], times[f"{state}, {size.tenants} tenants"]
        yield Row(f"cycle, {state}, {max(one):,} rows: time with {size.tenants} tenants ÷ with one", "×", more[max(one)] / one[max(one)],
                  target=("≤", FLAT))


def _case(size: Size, folder: Path, count: int, state: str, tenants: int) -> Iterator[tuple[Row, str]]:
    place = folder / f"claims-{count}-{state}-{tenants}"
    place.mkdir()
    needed = (size.cycles + 2 * size.slow_cycles * (1 + BATCH)) * size.times * 2
    db = filled(place / "swarm.db", count if state == "ready" else needed, 0 if state == "ready" else count, tenants)
    bare = bare_copy(db, place / "raw.db")
    db.close()
    with_peers = state == "ready" and tenants == 1
    for level in ("NORMAL", "FULL") if with_peers else ("NORMAL",):
        cycles = min(size.cycles if level == "NORMAL" else size.slow_cycles, max(1, count // (6 * size.times)))
        yield _row(place, bare, count, level, cycles, size.times, f"cycle, {state}, {tenants} tenant{'s'[:tenants != 1]}", with_peers), level
        if level == "FULL" and count == max(size.rows):
            yield _batched(place, bare, level, cycles, size.times, count), "batch"
    shutil.rmtree(place)


def _row(place: Path, bare: Path, count: int, level: str, cycles: int, times: int, name: str, with_peers: bool) -> Row:
    db, raw = Database(place / "swarm.db", level), raw_connection(bare, level)
    queues = peers(place, count, level) if with_peers else {}
    subjects: dict[str, Callable[[], float]] = {"ours": lambda: pace(lambda: ours(db), cycles), "raw": lambda: pace(lambda: raw_cycle(raw), cycles)}
    for peer, queue in queues.items():
        subjects[peer] = lambda queue=queue: pace(queue.cycle, cycles)  # type: ignore[misc]
    ours(db)
    raw_cycle(raw)
    found = interleaved(subjects, times)
    closable: list[Any] = [db, raw, *queues.values()]
    for thing in closable:
        thing.close()
    return Row(f"{name}, {count:,} rows, {level}", "/s", found["ours"], found["raw"], {peer: found[peer] for peer in queues},
               found["ours"] / found["raw"], ("≥", FLOOR[level]))


def _batched(place: Path, bare: Path, level: str, cycles: int, times: int, count: int) -> Row:
    """What the engine does with more slots than one: both claim several tickets in one transaction."""
    db, raw = Database(place / "swarm.db", level), raw_connection(bare, level)
    rounds = max(1, cycles // BATCH)
    found = interleaved({"ours": lambda: BATCH * pace(lambda: ours(db, BATCH), rounds),
                         "raw": lambda: BATCH * pace(lambda: raw_cycle(raw, BATCH), rounds)}, times)
    db.close()
    raw.close()
    return Row(f"cycle, {BATCH} claimed at a time, {count:,} rows, {level}", "/s", found["ours"], found["raw"], ratio=found["ours"] / found["raw"],
               target=("≥", FLOOR[level]))


def ours(db: Database, limit: int = 1, owner: str = "bench") -> list[str]:
    """-> the ids of the tickets that were carried from ready to completed, at most `limit`"""
    tickets = []
    for run in claims.claim(db, owner, limit, utc()):
        claims.begin(db, run, "fake", "runbook")
        result = Result(run["id"], "ok", 0, base="b", tip="t", phases={"work": 1.0})
        row = claims.finish(db, run, "merged", "completed", None, result, merged_sha="m", branch_name="swarm/x", approved_tip=None)
        if row is None:
            raise RuntimeError(f"{run['id']} was stale")
        tickets.append(row["id"])
    return tickets


def raw_cycle(connection: sqlite3.Connection, limit: int = 1) -> None:
    """Two fenced updates of the ticket, each its own transaction; no run, no journal, no fairness."""
    token = uuid.uuid4().hex
    rows = connection.execute(f"update tickets set status = 'claimed', claim_token = ?, claimed_by = 'bench', updated_at = {NOW} where seq in"
                              " (select seq from tickets where status = 'ready' order by tenant_id, priority desc, seq limit ?) returning seq",
                              (token, limit)).fetchall()
    for (seq,) in rows:
        connection.execute(f"update tickets set status = 'completed', claim_token = null, claimed_by = null, updated_at = {NOW}"
                           " where seq = ? and claim_token = ?", (seq, token))
