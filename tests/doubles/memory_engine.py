"""An engine whose runs are in memory, driven tick by tick, and how such runs end."""
from collections.abc import Callable
from typing import Any

from engine.config import Config
from engine.jobs import Job, Result
from engine.loop.fakes import FakeBranches, FakeLauncher, fake_result
from engine.loop.loop import SwarmEngine
from engine.runtimes import Choice, Fake
from engine.store.db import Database

CHAIN = {"name": "Chain", "features": [{"title": "A"}, {"title": "B", "depends_on": ["A"]}, {"title": "C", "depends_on": ["B"]}]}
TWO = {"name": "Two", "features": [{"title": "A"}, {"title": "B"}]}
USED = {"requests": 2, "input": 80, "output": 10, "cache_read": 10, "cache_write": 0, "total": 100, "money": 0.25, "estimated": 1, "models": {},
        "egress": {"requests": 3, "refused": 1, "sent": 5, "received": 7, "hosts": []}}


def make_engine(db: Database, config: Config, results: Callable[[Job, int], Result] = fake_result, script: Callable | None = None,
                branches: FakeBranches | None = None, fallback: bool = False) -> SwarmEngine:
    runtime = Fake(script) if script else Fake()
    choice = Choice(runtime, [("bubblewrap", "bubblewrap is absent.")], fallback)
    branches = branches or FakeBranches()
    return SwarmEngine(db, config, FakeLauncher(branches, runtime, results), branches, choice)


def drive(engine: SwarmEngine, ticks: int = 60) -> None:
    for _ in range(ticks):
        engine.tick()


def spending(title: str, outcome: str = "over_budget", **values: Any) -> Callable[[Job, int], Result]:
    """Runs of the ticket with this title end so, the first time."""
    seen: list[str] = []

    def results(job: Job, code: int) -> Result:
        if job.title == title and job.kind == "feature" and not seen:
            seen.append(job.run)
            return Result(job.run, outcome, 0, usage=USED, **values)
        result = fake_result(job, code)
        result.usage = USED if job.kind == "feature" else {}
        return result
    return results
