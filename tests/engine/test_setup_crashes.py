"""A run that makes a snapshot is killed at any of its steps, meets another one, or its snapshot is replaced or damaged while others stand on it."""
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HANG, require, until
from runner_bench import INTEGRATION, Bench, bench_of, log_of

from engine.crash import SETUP_POINTS, VARIABLE
from engine.environments import layers
from engine.ground import Ground, Setup
from engine.host.processes import members
from engine.jobs import Result
from engine.run.setup import WAITS

ONCE = 'echo once >> "$HOME/count"; date +%s.%N > made; mkdir sub; echo 1234 > sub/file'
WAITING = "echo up > up; while [ ! -e go ]; do sleep 0.02; done; rm go up; "


@pytest.fixture()
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from bench_of("bubblewrap", tmp_path)


def setup_of(bench: Bench, *commands: str, **values: object) -> Setup:
    steps = {"setup": list(commands), **({"update": values.pop("update")} if "update" in values else {})}
    return Setup(steps, str(bench.repository.head(f"refs/heads/{INTEGRATION}")), disk_mb=64, **values)  # type: ignore[arg-type]


def start(bench: Bench, *commands: str, **values: object) -> tuple[Path, subprocess.Popen[bytes]]:
    return bench.start(bench.job(kind="setup", setup=setup_of(bench, *commands, **values)))


def made(bench: Bench, *commands: str, **values: object) -> Result:
    result, _ = bench.run(kind="setup", setup=setup_of(bench, *commands, **values))
    assert result.outcome == "ok", result.reason
    return result


def only(bench: Bench) -> layers.Snapshot | None:
    """The snapshot that the one link names, whole and undamaged; None if there is no link. There is never anything else that can be used."""
    links = [path for path in layers.root(bench.folder).glob("*") if path.is_symlink()] if layers.root(bench.folder).exists() else []
    assert len(links) <= 1
    snapshot = layers.read(links[0]) if links else None
    assert bool(snapshot) == bool(links)
    assert snapshot is None or layers.damage(snapshot) is None
    return snapshot


def filled(bench: Bench) -> Path:
    """The work tree of a setup under way, once its command has begun."""
    return Path(until(lambda: next(layers.root(bench.folder).glob("*.tmp/repo/up"), None), HANG, "the setup has begun")).parent


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("where", SETUP_POINTS)
def test_a_runner_that_is_killed_leaves_nothing_half(bench: Bench, where: str, again: bool) -> None:
    before = made(bench, ONCE).ground["key"] if again else None
    bench.prefix = ("/usr/bin/env", f"{VARIABLE}={where}")
    folder, runner = start(bench, ONCE, again=again)
    assert runner.wait(HANG) == -9 and not (folder / "result.json").exists()
    until(lambda: not list(members(folder.name, folder)), HANG, "its processes have ended with it")
    left = only(bench)
    assert (left is not None) == (again or where == "snapshot-linked")
    assert not again or (left and left.folder.name.partition(".")[0] == before)
    bench.prefix = ()
    after = made(bench, ONCE)
    snapshot = only(bench)
    assert snapshot and (snapshot.folder / "home" / "count").read_text() == "once\n"
    assert after.ground["reused"] == (left is not None)
    for path in layers.leftovers(bench.folder, set()):
        layers.remove(path)
    assert {path.name.partition(".")[2] for path in layers.root(bench.folder).iterdir()} == {"", "lock", snapshot.folder.name.partition(".")[2]}


def test_a_runner_that_is_killed_during_a_command_leaves_nothing_half(bench: Bench) -> None:
    folder, runner = start(bench, WAITING + ONCE)
    filled(bench)
    runner.kill()
    runner.wait(HANG)
    until(lambda: not list(members(folder.name, folder)), HANG, "the sandbox has ended with its runner")
    assert only(bench) is None
    second, runner = start(bench, WAITING + ONCE)
    until(lambda: not list(layers.root(bench.folder).glob(f"*.{folder.name}.tmp")), HANG, "what the first one left is removed")
    (filled(bench) / "go").touch()
    runner.wait(HANG)
    snapshot = only(bench)
    assert Result.read(second) and snapshot and (snapshot.folder / "home" / "count").read_text() == "once\n"


def test_two_that_want_one_snapshot_make_it_once(bench: Bench) -> None:
    first, one = start(bench, WAITING + ONCE)
    go = filled(bench) / "go"
    second, two = start(bench, WAITING + ONCE)
    until(lambda: (second / "log").exists() and WAITS.decode() in log_of(second), HANG, "the second one waits")
    go.touch()
    assert (one.wait(HANG), two.wait(HANG)) == (0, 0)
    results = [Result.read(folder) for folder in (first, second)]
    assert [result.ground["reused"] for result in results if result] == [False, True]
    snapshot = only(bench)
    assert snapshot and (snapshot.folder / "home" / "count").read_text() == "once\n"


def test_a_snapshot_is_made_again_while_a_run_stands_on_it(bench: Bench) -> None:
    key = made(bench, ONCE).ground["key"]
    older = layers.read(layers.root(bench.folder) / key)
    assert older
    job = bench.job("cp made said.txt; touch /tmp/up; while [ ! -e /tmp/go ]; do sleep 0.02; done; cmp made said.txt", checks=("cmp made said.txt",),
                    ground=Ground(key, disk_mb=64))
    folder, runner = bench.start(job)
    until(lambda: (folder / "work" / "tmp" / "up").exists(), HANG, "the run stands on it")
    again = made(bench, ONCE, again=True)
    newer = only(bench)
    assert (again.ground["key"], again.ground["reused"]) == (key, False)
    assert newer and newer.folder != older.folder and (newer.folder / "repo" / "made").read_bytes() != (older.folder / "repo" / "made").read_bytes()
    assert layers.leftovers(bench.folder, set()) == [], "a run stands on the older one"
    (folder / "work" / "tmp" / "go").touch()
    runner.wait(HANG)
    result = Result.read(folder)
    assert result and result.outcome == "ok", (result, log_of(folder))
    assert layers.leftovers(bench.folder, set()) == [older.folder]


@pytest.mark.parametrize("harm", ["rm -r sub", "echo x > another", "echo 12345678 > sub/file"])
def test_damage_under_a_run_is_not_its_failure_and_is_never_stood_on_again(bench: Bench, harm: str) -> None:
    key = made(bench, ONCE).ground["key"]
    snapshot = only(bench)
    assert snapshot
    subprocess.run(["sh", "-c", harm], cwd=snapshot.folder / "repo", check=True)
    result, _ = bench.run("false", ground=Ground(key, disk_mb=64))
    assert (result.outcome, result.failure) == ("failed", "transient") and "The environment was damaged" in str(result.reason)
    assert layers.read(layers.root(bench.folder) / key) is None
    assert made(bench, ONCE).ground["reused"] is False and only(bench)


def test_a_failure_on_a_whole_snapshot_is_the_runs_own(bench: Bench) -> None:
    key = made(bench, ONCE).ground["key"]
    result, _ = bench.run("false", ground=Ground(key, disk_mb=64))
    assert (result.outcome, result.failure) == ("failed", "agent")


def test_an_update_whose_older_snapshot_is_gone_or_damaged_begins_with_nothing(bench: Bench) -> None:
    update = ["test -e made && echo more > more"]
    base = made(bench, ONCE, update=update).ground["key"]
    assert layers.delete(bench.folder, base)
    again = made(bench, ONCE, update=update, base=base)
    snapshot = only(bench)
    assert snapshot and not (snapshot.folder / "repo" / "more").exists()
    (snapshot.folder / "repo" / "made").unlink()
    made(bench, ONCE, update=update, base=again.ground["key"])
    snapshot = only(bench)
    assert snapshot and (snapshot.folder / "home" / "count").read_text() == "once\n"


def test_a_hosts_disk_that_is_full_is_not_the_setups_failure(tmp_path: Path) -> None:
    require("mount")
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    (tmp_path / "small").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(tmp_path / "small")], check=True)
    try:
        for bench in bench_of("bubblewrap", tmp_path / "small"):
            result, _ = bench.run(kind="setup", setup=setup_of(bench, "head -c 40000000 /dev/zero > big"))
            assert (result.outcome, result.failure) == ("failed", "transient"), result.reason
            assert "disk" in str(result.reason) and "Step 1" in str(result.reason) and only(bench) is None
            assert made(bench, ONCE).ground["reused"] is False
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "small")], check=True)
