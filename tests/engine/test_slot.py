"""The engine's thread is watched, and /api/health says when nobody looks at the tickets."""
import threading
from pathlib import Path

import pytest
from conftest import build, state, statuses, until

from app import create_app
from engine.commands.drain import drain
from engine.config import Config
from engine.loop.fakes import FakeBranches, FakeLauncher
from engine.loop.loop import SwarmEngine
from engine.loop.slot import EngineSlot
from engine.runtimes import Choice, Fake, FakeOutcome
from engine.store.db import Database
from engine.tickets import claims


class Fragile(SwarmEngine):
    """An engine whose thread dies at its third tick, as only a bug or a lack of memory could make it."""

    ticks = 0

    def tick(self, now: str | None = None) -> None:
        self.ticks += 1
        if self.ticks == 3:
            raise SystemExit
        super().tick(now)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_is_started_again_and_the_build_completes(db: Database, config: Config) -> None:
    session = build(db, config, {"name": "T", "features": [{"title": f"F{n}"} for n in range(12)]})
    branches = FakeBranches()
    slot = EngineSlot(config, lambda: Fragile(db, config, FakeLauncher(branches), branches, Choice(Fake())))
    assert slot.start("here")
    until(lambda: state(db, session) == "completed")
    slot.stop()
    assert not any(thread.name in ("engine", "engine-slot") for thread in threading.enumerate())


def test_health_is_503_when_ticks_have_stopped(tmp_path: Path) -> None:
    app = create_app(Config(data=tmp_path, runtime="fake"), testing=True)
    swarm, branches = app.extensions["swarm"], FakeBranches()
    client = app.test_client()
    assert client.get("/api/health").json["engine"] == "off"
    swarm.slot.engine = SwarmEngine(swarm.db, swarm.config, FakeLauncher(branches), branches, Choice(Fake()))
    assert client.get("/api/health").status_code == 200
    swarm.slot.engine.started -= 100
    answer = client.get("/api/health")
    assert (answer.status_code, answer.json["code"]) == (503, "engine_stalled") and "start the server again" in answer.json["error"]
    swarm.slot.engine.tick()
    assert client.get("/api/health").status_code == 200
    swarm.slot.engine.stop()
    swarm.db.close()


def test_drain_waits_for_what_runs_and_starts_nothing_new(db: Database, config: Config) -> None:
    session = build(db, config, {"name": "T", "features": [{"title": "A"}, {"title": "B", "depends_on": ["A"]}]})
    runtime = Fake(lambda job: FakeOutcome(seconds=0.5 if job.command[1] == "TKT-002" else 0.0))
    branches = FakeBranches()
    engine = SwarmEngine(db, config, FakeLauncher(branches, runtime), branches, Choice(runtime))
    engine.start()
    until(lambda: db.value("select 1 from runs where ticket_id = 'TKT-002' and state = 'running'"))
    assert drain(db, 0.05) == 1
    assert statuses(db, session) == {"TKT-001": "running", "TKT-002": "completed", "TKT-003": "ready"}
    claims.set_paused(db, False)
    until(lambda: state(db, session) == "completed")
    engine.stop()
