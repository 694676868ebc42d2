"""One contract for runs that are processes and for those in memory: how each is begun, seen, ended and cleared away."""
import os
from pathlib import Path
from typing import Protocol

import pytest
from conftest import until

from engine.config import Config
from engine.git.repository import Repository
from engine.ground import Source
from engine.jobs import Job, Limits, Result
from engine.loop.fakes import FakeBranches, FakeLauncher
from engine.loop.launch import Launcher, Look, ProcessLauncher
from engine.runtimes import Fake, FakeOutcome

LIMITS = Limits(run_seconds=60, stall_seconds=60, check_seconds=60, log_mb=1, work_mb=16, memory_mb=512, processes=64)


class Side(Protocol):
    launcher: Launcher

    def quick(self) -> Job: ...
    def long(self) -> Job: ...


def job(name: str, folder: Path, kind: str, description: str = "") -> Job:
    return Job(f"run-{os.getpid()}-{name}", kind, "TKT-002", "session", "Greet", description, "Demo", str(folder / "repos" / "demo.git"), "swarm/whole",
               "swarm/own", "process", "runbook", "Greet people.", LIMITS, source=Source(None, None, ()))


class Processes:
    """Real runs: a prepare run, which needs no sandbox, and one whose agent sleeps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launcher: Launcher = ProcessLauncher(Config(data=folder))

    def quick(self) -> Job:
        return job("quick", self.folder, "prepare")

    def long(self) -> Job:
        repository = Repository(self.folder / "repos" / "demo.git")
        repository.create()
        repository.set_branch("swarm/whole", repository.start_fresh("Demo", 0))
        return job("long", self.folder, "feature", "```sh\nsleep 600\n```\n")


class InMemory:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launcher: Launcher = FakeLauncher(FakeBranches(), Fake(lambda job: FakeOutcome(seconds=600.0 if job.run.endswith("long") else 0.0)))

    def quick(self) -> Job:
        return job("quick", self.folder, "prepare")

    def long(self) -> Job:
        return job("long", self.folder, "feature")


@pytest.fixture(params=[Processes, InMemory])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Side:
    made: Side = request.param(tmp_path)
    return made


def test_a_run_that_never_began_is_void_and_may_be_stopped_and_discarded(side: Side) -> None:
    assert side.launcher.look("run-none") is Look.VOID
    side.launcher.stop("run-none")
    side.launcher.discard("run-none")
    assert side.launcher.result("run-none") is None and side.launcher.pidfd("run-none") is None and side.launcher.last_words("run-none") is None


def test_a_run_is_found_ended_with_its_job_and_what_it_stood_on(side: Side) -> None:
    run = side.quick()
    side.launcher.launch(run)
    until(lambda: side.launcher.look(run.run) is Look.ENDED, what="the run's end")
    result = side.launcher.result(run.run)
    assert side.launcher.job(run.run) == run
    assert result is not None and (result.run, result.outcome) == (run.run, "ok") and result.base


def test_the_id_of_a_run_is_used_once(side: Side) -> None:
    run = side.quick()
    side.launcher.launch(run)
    with pytest.raises(OSError):
        side.launcher.launch(run)
    until(lambda: side.launcher.look(run.run) is Look.ENDED)


def test_a_run_lives_until_it_is_stopped_and_may_be_stopped_again(side: Side) -> None:
    run = side.long()
    side.launcher.launch(run)
    assert side.launcher.look(run.run) is Look.ALIVE
    side.launcher.stop(run.run)
    assert side.launcher.look(run.run) is not Look.ALIVE
    side.launcher.stop(run.run)
    result = side.launcher.result(run.run)
    assert result is None or result.outcome == "failed", "what was stopped has done nothing"


def test_a_run_that_is_asked_to_end_ends_with_a_result_and_knows_since_when(side: Side) -> None:
    run = side.long()
    side.launcher.launch(run)
    until(lambda: side.launcher.pidfd(run.run) is not None or side.launcher.in_memory)
    assert side.launcher.asked(run.run) is None
    until(lambda: _works(side, run))
    side.launcher.ask_to_end(run.run)
    assert (side.launcher.asked(run.run) or 0.0) >= 0.0 and side.launcher.asked(run.run) is not None
    until(lambda: side.launcher.look(run.run) is Look.ENDED, what="the run's end")
    side.launcher.ask_to_end(run.run)
    result = side.launcher.result(run.run)
    assert result is not None and result.outcome == "failed"


def _works(side: Side, run: Job) -> bool:
    """Has its agent begun? Before that, the runner may not be ready to be asked."""
    if not isinstance(side, Processes):
        return True
    log = side.folder / "runs" / run.run / "log"
    return log.exists() and b"::phase agent" in log.read_bytes()


def test_a_result_that_is_known_before_is_found_ended_and_nothing_is_started(side: Side) -> None:
    run = side.long()
    side.launcher.prepare_result(run, Result(run.run, "ok", 7, base="b", tip="t"))
    result = side.launcher.result(run.run)
    assert side.launcher.look(run.run) is Look.ENDED and side.launcher.job(run.run) == run
    assert result is not None and (result.outcome, result.at, result.base, result.tip) == ("ok", 7, "b", "t")
    assert side.launcher.pidfd(run.run) is None


def test_what_is_discarded_does_not_come_back(side: Side) -> None:
    run = side.quick()
    side.launcher.launch(run)
    until(lambda: side.launcher.look(run.run) is Look.ENDED)
    for _ in range(2):
        side.launcher.discard(run.run)
    assert side.launcher.look(run.run) is not Look.ALIVE


def test_another_launcher_finds_and_stops_a_run_by_its_folder(tmp_path: Path) -> None:
    side, other = Processes(tmp_path), ProcessLauncher(Config(data=tmp_path))
    run = side.long()
    side.launcher.launch(run)
    until((tmp_path / "runs" / run.run / "started.json").exists)
    assert other.look(run.run) is Look.ALIVE
    other.stop(run.run)
    assert other.look(run.run) is side.launcher.look(run.run) is not Look.ALIVE
