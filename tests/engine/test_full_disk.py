"""A host's disk that fills up under a run is passing trouble; a run that fills its own work tree has failed."""
import dataclasses
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import HANG, build, require, until
from real_engine import completed, feature, running
from runner_bench import Bench, bench_of

from engine.config import ROOT, Config
from engine.jobs import Job, Result
from engine.loop.loop import SwarmEngine
from engine.run.runner import command
from engine.store import disk
from engine.store.db import Database

RUNTIMES = ("bubblewrap", "process")


def mounted(folder: Path, kilobytes: int) -> Iterator[Path]:
    require("mount")
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(params=RUNTIMES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    yield from bench_of(request.param, tmp_path)


@pytest.fixture
def runs(bench: Bench) -> Iterator[Path]:
    """The folder of the runs, with 3 MB."""
    yield from mounted(bench.folder / "runs", 3000)


def ended(bench: Bench, script: str, leave: int | None = None, **values: Any) -> tuple[Result | None, Path]:
    """A run to its end. leave: the kilobytes that are free when its sandbox has begun."""
    job = bench.job(script, **values)
    folder, runner = bench.start(job)
    if leave is not None:
        until(lambda: (folder / "out" / "begun").exists())
        fill(folder.parent, leave)
        (folder / "out" / "go").touch()
    runner.wait(HANG)
    return Result.read(folder), folder


def fill(folder: Path, leave: int = 0) -> Path:
    filler, room = folder / f"filler-{leave}", os.statvfs(folder)
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, room.f_bavail * room.f_frsize - leave * 1024))
    return filler


WAIT = ': > "$SWARM_OUT/begun"; until test -e "$SWARM_OUT/go"; do sleep 0.02; done; '
RANDOM = "head -c {} /dev/urandom"
FULL = {
    "the log": (WAIT + "while :; do echo 0123456789012345678901234567890123456789; done", 300),
    "a file in the outputs": (WAIT + RANDOM.format(3_000_000) + ' > "$SWARM_OUT/more" || exit 9', 300),
    "the bundle": (WAIT + RANDOM.format(2_000_000) + " > big.bin", 300),
    "the bundle beside lost work": (WAIT + RANDOM.format(1_500_000) + " > a.bin; git add .; git commit -qm a; git checkout -q -b other; "
                                    + RANDOM.format(900_000) + " > b.bin; git add .; git commit -qm b; git checkout -q -", 300),
    "an agent that does nothing more": (WAIT + "true", 0),
    "the result alone": (WAIT + "echo hi > hi.txt", 0),
}


@pytest.mark.parametrize("what", FULL)
def test_a_disk_that_fills_up_under_a_run_is_no_failed_attempt(bench: Bench, runs: Path, what: str) -> None:
    script, leave = FULL[what]
    result, _ = ended(bench, script, leave, log_mb=20, checks=("true",))
    if result is None:  # no room at all; the engine then looks itself
        assert leave == 0 and disk.trouble(runs.parent / "swarm.db")
        return
    if result.outcome == "ok":  # nothing of it was missing
        assert what == "the result alone" and bench.runtime == "bubblewrap" and result.tip
        return
    assert (result.outcome, result.failure) == ("failed", "transient"), result.reason
    assert disk.is_at_fault(str(result.reason)), result.reason


@pytest.mark.parametrize("script", [RANDOM.format(40_000_000) + " > big.bin", RANDOM.format(40_000_000) + " > big.bin || rm big.bin; exit 7"])
def test_an_agent_that_fills_its_own_work_tree_has_failed(bench: Bench, script: str) -> None:
    result, _ = ended(bench, script, work_mb=16)
    assert result and (result.outcome, result.failure) == ("failed", "agent"), result and result.reason


@pytest.mark.parametrize("bench", ["bubblewrap"], indirect=True)  # otherwise the work tree is on this disk, which is full first
def test_an_agent_that_fills_its_work_tree_has_failed_on_a_full_disk_too(bench: Bench, runs: Path) -> None:
    result, _ = ended(bench, WAIT + RANDOM.format(40_000_000) + " > big.bin; sleep 30", 100, work_mb=16)
    assert result is None or (result.failure, "work tree is full" in str(result.reason)) == ("agent", True), result.reason


@pytest.mark.parametrize("leave", [0, 8, 64])
def test_inputs_that_do_not_fit_are_no_failed_attempt(bench: Bench, runs: Path, leave: int) -> None:
    job = bench.job("true")
    folder = runs / job.run
    folder.mkdir()
    job.write(folder)
    fill(runs, leave)
    runner = subprocess.run(command(ROOT, folder), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=HANG, check=False, cwd="/",
                            env={"PATH": os.environ["PATH"]})
    result = Result.read(folder)
    if result is None:
        assert disk.is_at_fault(runner.stderr.decode()) and disk.trouble(runs.parent / "swarm.db")
    else:
        assert result.failure == "transient" and disk.is_at_fault(str(result.reason)), result.reason


@pytest.fixture
def small_runs(config: Config) -> Iterator[Path]:
    yield from mounted(config.data / "runs", 3000)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_engine_pauses_says_why_and_goes_on_by_itself_without_a_failed_attempt(db: Database, config: Config, small_runs: Path, runtime: str) -> None:
    if runtime == "bubblewrap":
        require("bwrap")
    config = dataclasses.replace(config, runtime=runtime, slots=1, backoff_seconds=0.1, poll_seconds=0.1, synchronous="NORMAL")
    session = build(db, config, {"name": "Full", "features": [feature("F", ': > "$SWARM_OUT/begun"; until test -e "$SWARM_OUT/go"; do sleep 0.02; done\n'
                                                                           + RANDOM.format(500_000) + " > big.bin", check="test -s big.bin")]})
    with running(db, config) as engine:
        begun = until(lambda: next(small_runs.glob("TKT-002-*/out/begun"), None))
        filler = fill(small_runs, 100)
        (begun.parent / "go").touch()
        until(lambda: db.value("select 1 from runs where ticket_id = 'TKT-002' and outcome = 'transient'"))
        more = fill(small_runs)  # what the run had written is gone
        until(lambda: engine.trouble)
        assert "The disk is full" in engine.status()["trouble"] and str(small_runs) in engine.status()["trouble"]
        filler.unlink()
        more.unlink()
        until(lambda: next((path for path in small_runs.glob("TKT-002-*/out/begun") if path != begun), None)).with_name("go").touch()
        completed(db, session)
    assert db.value("select failures from tickets where id = 'TKT-002'") == 0


@pytest.mark.parametrize(("leave", "words"), [(0, "could not start"), (4, "could not start"), (8, "left no result")])
def test_a_run_that_could_not_write_its_start_or_its_result_uses_up_nothing(db: Database, config: Config, small_runs: Path, leave: int, words: str) -> None:
    """A page of memory holds a small file of this disk. The engine looks at the disk itself when nothing says why a run is gone."""
    build(db, config, {"name": "Full", "features": [{"title": "F", "description": "```sh\ntrue\n```"}]})
    engine = SwarmEngine(db, dataclasses.replace(config, runtime="process", backoff_seconds=60.0))
    launch = engine.launcher.launch

    def launch_on_a_full_disk(job: Job) -> None:
        fill(small_runs, leave)
        launch(job)
    engine.launcher.launch = launch_on_a_full_disk  # type: ignore[method-assign]
    until(lambda: (engine.tick(), db.value("select reason from runs where ended_at is not null"))[1])
    assert words in db.value("select reason from runs") and disk.is_at_fault(db.value("select reason from runs"))
    engine.tick()
    assert engine.trouble and tuple(db.one("select failures, status from tickets where type = 'epic'")) == (0, "ready")
