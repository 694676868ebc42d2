"""What a tick costs: not more where more tickets need nothing. Counted in steps of SQLite, which no busy machine changes."""
from conftest import build, state
from memory_engine import drive, make_engine

from engine.config import Config
from engine.loop.fakes import FakeBranches
from engine.loop.loop import SwarmEngine
from engine.store.db import Database
from engine.tickets import actions


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
