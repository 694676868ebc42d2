"""The files of a base commit are laid out once; runs stand on them, change none of them, and check exactly their commit."""
import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import build, git
from runner_bench import Bench, bench_of, log_of
from store_side import filled, merged

from engine.config import Config
from engine.environments import layers
from engine.environments.steps import Steps
from engine.git.repository import Repository
from engine.ground import Ground
from engine.jobs import Result, Source
from engine.loop.prune.stores import prune_stores
from engine.repositories import sources
from engine.runtimes.overlay import overlaying
from engine.store.db import Database
from engine.stores import trees
from engine.stores.store import store_path


@pytest.fixture()
def bench(tmp_path: Path) -> Iterator[Bench]:
    if overlaying(tmp_path) is None:
        pytest.skip("no bwrap on this machine makes overlays")
    yield from bench_of("bubblewrap", tmp_path)


@pytest.fixture()
def remote(tmp_path: Path) -> Path:
    return filled(tmp_path / "remote", commits=700, files=trees.LEAST_FILES + 100)


def prepared(bench: Bench, remote: Path) -> tuple[Result, Ground]:
    bench.repository = Repository(bench.folder / "repos" / "one.git")
    result, folder = bench.run(kind="prepare", ground=Ground(overlays=overlaying(bench.folder)),
                               source=Source(str(remote), None, ("file",), store=str(bench.folder / "stores" / "REPO-1.git")))
    assert result.outcome == "ok", f"{result.reason} {log_of(folder)}"
    return result, Ground("", 200, f"REPO-1/{result.base}", overlaying(bench.folder))


def state(folder: Path) -> dict[str, tuple[int, ...]]:
    return {str(path.relative_to(folder / "repo")): (path.lstat().st_ino, path.lstat().st_mode, path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in (folder / "repo").rglob("*")}


def test_a_run_writes_none_of_the_files_that_are_there(bench: Bench, remote: Path) -> None:
    result, ground = prepared(bench, remote)
    folder = trees.read(bench.folder, ground.tree)
    assert folder and "tree" in result.phases and not list(trees.root(bench.folder).glob("*/*.tmp"))
    before = state(folder)
    assert set(before) == {"f" + str(n) for n in range(trees.LEAST_FILES + 100)}
    ran, ran_in = bench.run("stat -c '%i' f7 f8 > inodes; git status --porcelain > status; git diff-index HEAD >> status", ground=ground,
                            checks=("stat -c '%i' f7 f8 | cmp - inodes && test \"$(cat f7)\" = \"$(git show HEAD:f7)\"",))
    assert (ran.outcome, ran.reason) == ("ok", None), log_of(ran_in)
    taken = bench.take(ran_in)
    assert git(taken, "show", "swarm-out:inodes").split() == [str((folder / "repo" / name).stat().st_ino) for name in ("f7", "f8")]
    assert git(taken, "show", "swarm-out:status").split("\n")[:-1] == ["?? inodes", "?? status"]
    assert state(folder) == before


def test_work_on_the_files_is_kept_checked_and_merged(bench: Bench, remote: Path) -> None:
    _, ground = prepared(bench, remote)
    folder = trees.read(bench.folder, ground.tree)
    assert folder
    before = state(folder)
    script = "echo changed > f1; rm f2; rm f3; mkdir f3; echo in > f3/in; chmod +x f4; git mv f5 g5; git rm -q -f f6; echo loose > f6"
    check = ("grep -qx changed f1 && test ! -e f2 && grep -qx in f3/in && test -x f4 && test ! -e f5 -a -e g5"
             " && grep -qx loose f6 && test -z \"$(git status -s)\"")
    ran = merged(bench, script, ground=ground, checks=(check,))
    assert ran.checks[0]["passed"]
    after, _ = bench.run("rm -rf * && git checkout -q -f HEAD -- . && touch again", ground=ground, checks=(check, "test -e again"))
    assert (after.outcome, after.reason) == ("ok", None), "the next run begins with the merged work"
    assert state(folder) == before


def test_tracked_files_are_the_commits_whatever_an_environment_has(bench: Bench, remote: Path) -> None:
    _, ground = prepared(bench, remote)
    made = layers.temporary(bench.folder, "k" * 64, "run-x")
    (made / "repo" / "f1").write_text("of the environment")
    (made / "repo" / "f2").mkdir()
    (made / "repo" / "f2" / "x").write_text("of the environment")
    (made / "repo" / "vendor").write_text("of the environment")
    layers.finish(bench.folder, "k" * 64, made, 1.0, {}, Steps(), {})
    check = "for f in f1 f2; do test \"$(cat $f)\" = \"$(git show HEAD:$f)\" || exit 5; done; grep -q environment vendor"
    ran, folder = bench.run("echo x > x", ground=ground._replace(key="k" * 64), checks=(check,))
    assert (ran.outcome, ran.reason) == ("ok", None), log_of(folder)


@pytest.mark.parametrize("harm", ["index", "file", "gone"])
def test_a_damaged_tree_is_noticed_by_git(bench: Bench, remote: Path, harm: str) -> None:
    _, ground = prepared(bench, remote)
    folder = trees.read(bench.folder, ground.tree)
    assert folder
    if harm == "index":
        (folder / "index").write_bytes(b"DIRC" + bytes(100))
    elif harm == "file":
        (folder / "repo" / "f1").write_text("2\n"[:len((folder / "repo" / "f1").read_text())])
    else:
        (folder / "repo" / "f1").unlink()
    ran, ran_in = bench.run("echo x > x", ground=ground, checks=("test \"$(cat f1)\" = \"$(git show HEAD:f1)\" && test -z \"$(git status -s)\"",))
    assert (ran.outcome, ran.reason) == ("ok", None), log_of(ran_in)


def test_where_nothing_is_gained_no_tree_is_made(bench: Bench, tmp_path: Path) -> None:
    result, ground = prepared(bench, filled(tmp_path / "small", commits=10, files=10))
    assert "tree" not in result.phases and trees.read(bench.folder, ground.tree) is None
    ran, folder = bench.run("echo x > x", ground=ground)
    assert (ran.outcome, ran.reason) == ("ok", None), log_of(folder)


def test_trees_and_stores_go_when_no_build_needs_them(db: Database, config: Config, tmp_path: Path) -> None:
    config = dataclasses.replace(config, repository_roots=(tmp_path,), keep_environment_days=30, keep_repository_days=30)
    remote = filled(tmp_path / "remote", commits=1, files=1)
    session = build(db, config, {"name": "Old", "repository": str(remote), "features": [{"title": "F"}]})
    row = sources.of_session(db, config, session)
    assert row
    store, old = Repository(store_path(config.data, row["id"])), time.time() - 31 * 86400
    store.create()
    db.execute("update tickets set base_sha = 'c1' where type = 'epic'")
    for commit in ("c1", "c2", "c3"):
        folder = trees.temporary(config.data, f"{row['id']}/{commit}", "run-1")
        (tmp_path / "index").write_bytes(b"")
        trees.finish(config.data, f"{row['id']}/{commit}", folder, tmp_path / "index")
        if commit != "c3":
            os.utime(trees.root(config.data) / row["id"] / commit / trees.ABOUT, (old, old))
    trees.temporary(config.data, f"{row['id']}/c4", "run-that-is-dead")
    borrower = config.data / "repos" / "s.git"
    (borrower / "objects" / "info").mkdir(parents=True)
    (borrower / "objects" / "info" / "alternates").write_text(f"../../../stores/{row['id']}.git/objects\n")
    os.utime(store.path, (old, old))
    prune_stores(db, config)
    assert {path.name for path in trees.root(config.data).glob("*/*")} == {"c1", "c3"}, "c1 is of a build that goes on"
    db.execute("update hitl_sessions set state = 'completed'")
    prune_stores(db, config)
    assert {path.name for path in trees.root(config.data).glob("*/*")} == {"c3"} and store.path.is_dir(), "someone borrows from it"
    (borrower / "objects" / "info" / "alternates").unlink()
    with store.locked():
        prune_stores(db, config)
    assert store.path.is_dir(), "a run uses it"
    os.utime(store.path, (old, old))
    prune_stores(db, dataclasses.replace(config, keep_environment_mb=0))
    assert not store.path.exists() and not list(trees.root(config.data).glob("*/*"))
