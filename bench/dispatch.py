"""From a commit that makes a ticket ready to its launch: by this process, by another, and with a real process behind it."""
import sqlite3
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

from bench.children import child, hurry, tell, until
from bench.rows import Row
from bench.sizes import Size
from bench.store import filled
from engine.config import Config
from engine.jobs import Job
from engine.loop.fakes import FakeBranches, FakeLauncher
from engine.loop.launch import ProcessLauncher
from engine.loop.loop import SwarmEngine
from engine.runtimes import Choice, Fake
from engine.store.db import Database

RELEASE = "update tickets set status = 'ready' where id = ?"


class Watched(FakeLauncher):
    """Notes when each run was launched."""

    def __init__(self) -> None:
        super().__init__(FakeBranches())
        self.at: dict[str, float] = {}

    def launch(self, job: Job) -> None:
        self.at[job.ticket] = time.monotonic()
        super().launch(job)


class Spawning(ProcessLauncher):
    """Notes when the runner's process was there. What it finds is no repository, so it ends at once."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.branches = FakeBranches()
        self.at: dict[str, float] = {}

    def launch(self, job: Job) -> None:
        super().launch(job)
        self.at[job.ticket] = time.monotonic()


def measure(size: Size, folder: Path) -> Iterator[Row]:
    for level, target in (("NORMAL", 1.0), ("FULL", 1.0)):
        config = Config(data=folder / f"dispatch-{level}", runtime="fake", slots=512, synchronous=level)
        yield _row(f"commit to launch, fake runtime, {level}", _latencies(size, config, Watched(), _here), target, "the claim's own commit is in it")
    config = Config(data=folder / "dispatch-spawn", runtime="fake", slots=512, synchronous="FULL")
    yield _row("commit to runner spawned, FULL", _latencies(size, config, Spawning(config), _here), 5.0, "job.json is fsynced before")
    config = Config(data=folder / "dispatch-other", runtime="fake", slots=512, synchronous="NORMAL")
    other = child("bench.dispatch", str(config.database))
    try:
        found = _latencies(size, config, Watched(), lambda db, ticket: _elsewhere(other, ticket))
        yield _row("another process's commit to launch, NORMAL", found, 100.0)
    finally:
        tell(other, "")
        other.communicate(timeout=10)


def _row(name: str, seconds: list[float], target: float, note: str = "") -> Row:
    worst = f"slowest {max(seconds) * 1000:.2f} ms"
    return Row(f"{name}, p50", "ms", statistics.median(seconds) * 1000, target=("≤", target), note=f"{worst}; {note}" if note else worst)


Release = Callable[[Database, str], float]  # of a ticket -> when it was committed; 0 where a subscriber hears of it


def _latencies(size: Size, config: Config, launcher: Watched | Spawning, release: Release) -> list[float]:
    """Tickets that waited become ready one by one, each when the engine is asleep again."""
    db = filled(config.database, ready=0, done=size.samples, synchronous=config.synchronous)
    db.execute("update tickets set status = 'needs_input', run_no = 0 where status = 'completed'")
    tickets = [row["id"] for row in db.all("select id from tickets where id like 'D%' order by seq")]
    commits: list[float] = []
    db.subscribe(lambda: commits.append(time.monotonic()))  # before the engine is told
    engine = SwarmEngine(db, config, launcher, launcher.branches, Choice(Fake()))
    engine.start()
    found = []
    try:
        for ticket in tickets:
            _asleep(engine)
            before = len(commits)
            since = release(db, ticket) or commits[before]
            until(lambda ticket=ticket: ticket in launcher.at, f"launch of {ticket}", 20)  # type: ignore[misc]
            found.append(launcher.at[ticket] - since)
            until(lambda ticket=ticket: _ended(db, ticket), f"end of {ticket}", 20)  # type: ignore[misc]
    finally:
        engine.stop()
        db.close()
    return found


def _ended(db: Database, ticket: str) -> bool:
    """Its run is over, or, of a run that is only spawned here, has failed."""
    return db.value("select 1 from runs where ticket_id = ? and ended_at is null", (ticket,)) is None


def _asleep(engine: SwarmEngine) -> None:
    """Until a tenth of a second went by without a tick: longer than it takes to settle what the last run left."""
    last = engine.last_tick
    while True:
        threading.Event().wait(0.1)
        if engine.last_tick == last:
            return
        last = engine.last_tick


def _here(db: Database, ticket: str) -> float:
    with db.transaction():
        db.execute(RELEASE, (ticket,))
    return 0.0  # the subscriber knows when it was committed


def _elsewhere(other: Popen[str], ticket: str) -> float:
    tell(other, ticket)
    return float(hurry(other, 20))


def main(path: str) -> None:
    """Releases the tickets named on standard input, and says when it was committed (the monotonic clock is the machine's)."""
    connection: sqlite3.Connection | None = None
    while ticket := sys.stdin.readline().strip():
        connection = connection or sqlite3.connect(path, isolation_level=None, timeout=10)
        connection.execute("pragma synchronous = normal")
        connection.execute(RELEASE, (ticket,))
        print(time.monotonic(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
