"""What a tick costs: not more where more tickets need nothing. Counted in steps of SQLite, which no busy machine changes."""
import os

from conftest import build, state
from memory_engine import drive, make_engine

from engine.config import Config
from engine.loop.fakes import FakeBranches
from engine.loop.loop import SwarmEngine
from engine.store.db import Database
from engine.tickets import actions, claims
from engine.times import utc


def steps(db: Database, engine: SwarmEngine) -> int:
    """Steps of SQLite in one tick, in tens."""
    count = [0]

    def step() -> int:
        count[0] += 1
        return 0
    db.connection.set_progress_handler(step, 10)
    engine.tick()
    db.connection.set_progress_handler(None, 0)
    return count[0]


def test_a_tick_does_not_read_the_tickets_that_need_nothing(db: Database, config: Config) -> None:
    engine, found = make_engine(db, config, branches=FakeBranches()), []
    for size in (3, 400):
        ended = build(db, config, {"name": "Ends", "features": [{"title": f"F{n}"} for n in range(size)]})
        drive(engine, size + 20)
        assert state(db, ended) == "completed"
        waits = build(db, config, {"name": "Waits", "features": [{"title": f"F{n}"} for n in range(size)]})
        actions.pause_session(db, waits)
        drive(engine, 2)
        found.append(steps(db, engine))
    assert found[1] <= found[0] * 1.5, found


def temporary_files() -> list[str]:
    """Of SQLite, which this process has open. They have no name in any folder."""
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return [target for target in (os.readlink(link) for link in links if os.path.islink(link)) if "etilqs_" in target]


def test_a_claim_for_many_sessions_makes_no_temporary_file(db: Database, config: Config) -> None:
    """One statement moves many tickets, and SQLite keeps what it changes, to be able to take it back."""
    for _ in range(40):
        build(db, config, {"name": "Many", "features": [{"title": "A", "description": "x" * 3000}]})
    with db.transaction():
        assert len(claims.claim(db, "test", 40, utc())) == 40
        assert temporary_files() == []
