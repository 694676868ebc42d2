"""A whole build with the fake runtime: every tick, claim, run row, journal entry and merge note, and nothing that waits. And the memory it takes."""
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.children import child, hurry
from bench.insert import card
from bench.rows import Row, interleaved
from bench.sizes import Size
from engine.config import Config
from engine.loop.fakes import FakeBranches, FakeLauncher
from engine.loop.loop import SwarmEngine
from engine.runtimes import Choice, Fake
from engine.store.db import Database, open_database
from hitl import ticket_generator
from hitl.session import sessions

SLOTS = (2, 64)


def measure(size: Size, folder: Path) -> Iterator[Row]:
    for level, tickets in (("NORMAL", size.tickets), ("FULL", max(20, size.tickets // 10))):
        yield from _rates(folder / "end-to-end", level, tickets, max(1, size.times - 2))
    worker = child("bench.end_to_end", str(folder / "memory"), str(size.open_tickets))
    grown = float(hurry(worker))
    worker.communicate()
    yield Row(f"memory of the engine's process with {size.open_tickets:,} open tickets", "MB", grown, note="resident, Python and Flask included")


def _rates(folder: Path, level: str, tickets: int, times: int) -> Iterator[Row]:
    subjects = {slots: lambda slots=slots: _build(folder, level, slots, tickets) for slots in SLOTS}
    for slots, found in interleaved(subjects, times).items():
        yield Row(f"build of {tickets:,} tickets, fake runtime, {slots} slots, {level}", "/s", found, target=("≥", 3000))


def _build(folder: Path, level: str, slots: int, tickets: int) -> float:
    folder.mkdir(exist_ok=True)
    config = Config(data=folder / f"{time.monotonic_ns()}", runtime="fake", slots=slots, synchronous=level)
    db = open_database(config.database, level)
    begin(db, config, tickets)
    branches = FakeBranches()
    engine = SwarmEngine(db, config, FakeLauncher(branches), branches, Choice(Fake()))
    since = time.perf_counter()
    while db.value("select state from hitl_sessions") == "building":
        engine.tick()
    seconds = time.perf_counter() - since
    done = db.value("select count(*) from tickets where status = 'completed'")
    db.close()
    if done != tickets:
        raise RuntimeError(f"{done} of {tickets} tickets were completed")
    return tickets / seconds


def begin(db: Database, config: Config, tickets: int) -> str:
    """A session whose build of an epic and tickets - 1 features has just begun. -> its id"""
    plan = card(tickets - 1)
    session = sessions.create(db, config, "default", project_name="Bench", spec_card=plan)
    sessions.approve(db, "default", session, db.value("select spec_sha256 from hitl_sessions where id = ?", (session,)))
    ticket_generator.start_build(db, config, "default", session, {"confirmed": True})
    return session


def main(data: str, tickets: str) -> None:
    """Builds are open with so many tickets in all, some ticks go by; says how much memory this process has then, in MB."""
    import app  # noqa: F401  what the server's process has loaded, too
    config = Config(data=Path(data), runtime="fake", slots=1)
    db = open_database(config.database, "NORMAL")
    for _ in range(10):
        begin(db, config, int(tickets) // 10)
    branches = FakeBranches()
    engine = SwarmEngine(db, config, FakeLauncher(branches), branches, Choice(Fake()))
    for _ in range(20):
        engine.tick()
    pages = int(Path(f"/proc/{os.getpid()}/statm").read_text().split()[1])
    print(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


if __name__ == "__main__":
    main(*sys.argv[1:])
