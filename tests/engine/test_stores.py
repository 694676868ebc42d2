"""Sessions of one repository share what was fetched, and nothing else; a sandbox sees the objects, and can change none."""
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import git
from runner_bench import INTEGRATION, Bench, bench_of, log_of
from store_side import filled, merged, prepared

from engine.errors import Transient
from engine.git.repository import Repository
from engine.ground import Source
from engine.stores import store as stores


@pytest.fixture()
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from bench_of("bubblewrap", tmp_path)


@pytest.fixture()
def remote(tmp_path: Path) -> Path:
    """Two branches and a tag on each; main has 300 commits."""
    folder = filled(tmp_path / "remote", commits=300, files=40)
    git(folder, "tag", "-a", "-m", "One", "v1", "main~3")
    git(folder, "checkout", "-q", "-b", "other", "main~100")
    (folder / "other").write_text("other")
    git(folder, "add", "other")
    git(folder, "commit", "-q", "-m", "On the other branch")
    git(folder, "tag", "v0-other")
    git(folder, "checkout", "-q", "main")
    return folder


def objects(path: Path) -> set[str]:
    return set(git(path, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split())


def own_objects(path: Path) -> set[str]:
    """Without those of its store."""
    alternates = path / "objects" / "info" / "alternates"
    kept = alternates.read_bytes()
    alternates.unlink()
    try:
        return objects(path)
    finally:
        alternates.write_bytes(kept)


def bytes_of(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())


def test_sessions_borrow_what_was_fetched_once(bench: Bench, remote: Path) -> None:
    one, two = prepared(bench, remote, "one"), prepared(bench, remote, "two")
    store = bench.folder / "stores" / "REPO-1.git"
    assert own_objects(one.path) == own_objects(two.path) == set()
    assert objects(store) == objects(remote)
    assert len(list((store / "objects" / "pack").glob("*.pack"))) == 1
    assert (one.path / "objects" / "info" / "alternates").read_text() == "../../../stores/REPO-1.git/objects\n"
    assert git(one.path, "for-each-ref", "--format=%(refname)").split() == [
        f"refs/heads/{INTEGRATION}", "refs/remotes/origin/main", "refs/tags/v0-other", "refs/tags/v1"]


def test_a_run_finds_no_object_of_another_session(bench: Bench, remote: Path) -> None:
    one, base = prepared(bench, remote, "one"), git(remote, "rev-parse", "main").strip()
    merged(bench, "echo a secret of the first session > secret.txt")
    secret = set(git(one.path, "rev-list", "--objects", "--no-object-names", INTEGRATION, "--not", base).split())
    assert len(secret) >= 4
    prepared(bench, remote, "two")
    merged(bench, "git cat-file --batch-all-objects --batch-check='%(objectname)' > listed\n"
                  "find / -name '*.pack' -o -name '*.git' > packs 2> /dev/null || true")
    listed = git(bench.repository.path, "show", f"{INTEGRATION}:listed").split()
    assert base in listed and not secret & set(listed)
    assert "one.git" not in git(bench.repository.path, "show", f"{INTEGRATION}:packs")
    assert objects(bench.folder / "stores" / "REPO-1.git") == objects(remote), "what runs make stays out of the store"


def test_what_another_session_delivered_is_left_out_unless_it_is_built_upon(bench: Bench, remote: Path) -> None:
    git(remote, "checkout", "-q", "-b", "swarm/5e551/tkt-001")
    git(remote, "commit", "-q", "--allow-empty", "-m", "Delivered")
    delivered = git(remote, "rev-parse", "HEAD").strip()
    git(remote, "checkout", "-q", "main")
    prepared(bench, remote, "one")
    assert delivered not in objects(bench.folder / "stores" / "REPO-1.git")
    bench.repository = Repository(bench.folder / "repos" / "two.git")
    source = Source(str(remote), "swarm/5e551/tkt-001", ("file",), store=str(bench.folder / "stores" / "REPO-2.git"))
    result, _ = bench.run(kind="prepare", source=source)
    assert (result.reason, result.base) == (None, delivered)


def test_the_next_run_of_a_session_has_what_the_runs_before_it_made(bench: Bench, remote: Path) -> None:
    prepared(bench, remote, "one")
    merged(bench, "echo first > first.txt")
    result, folder = bench.run("git log --format=%s -n 3; cat first.txt > second.txt", checks=("cmp first.txt second.txt",))
    assert result.outcome == "ok", log_of(folder)
    assert "Merge TKT-002: Greet" in log_of(folder)


def test_the_clone_has_tags_and_the_remotes_branch_and_fetches_nothing(bench: Bench, remote: Path) -> None:
    prepared(bench, remote, "one")
    result, folder = bench.run("git describe > described; git describe --tags v0-other >> described; git rev-parse origin/main HEAD > heads; git fetch -q")
    assert result.outcome == "ok", log_of(folder)
    taken = bench.take(folder)
    assert git(taken, "show", "swarm-out:described").split("\n") == [git(remote, "describe", "main").strip(), "v0-other", ""]
    assert len(set(git(taken, "show", "swarm-out:heads").split())) == 1
    assert (folder / "in" / "in.bundle").stat().st_size < 1000 < bytes_of(bench.folder / "stores")


def test_commits_behind_a_tag_are_not_the_agents(bench: Bench, remote: Path) -> None:
    prepared(bench, remote, "one")
    result, folder = bench.run("git checkout -q v0-other && git checkout -q - && echo x > x.txt")
    assert (result.outcome, result.reason) == ("ok", None), f"{result.reason} {log_of(folder)}"
    lost, _ = bench.run("git checkout -q v0-other && echo own > own && git add own && git commit -q -m Own && git tag mine\n"
                        "git checkout -q - && echo x > x.txt")
    assert "refs/tags/mine (1 commit" in (lost.reason or ""), "but one of its own on top is"


def test_nothing_in_a_sandbox_changes_the_objects_it_sees(bench: Bench, remote: Path) -> None:
    prepared(bench, remote, "one")
    merged(bench, "echo first > first.txt")
    before = {path: path.read_bytes() for part in ("repos", "stores") for path in (bench.folder / part).rglob("*") if path.is_file()}
    script = """
for place in $(cat .git/objects/info/alternates) /git/stores/*/objects; do
    ! touch "$place/x" && ! rm -rf "$place/pack" && test -d "$place/pack" || exit 5
done 2> /dev/null
git reflog expire --expire=now --all && git gc -q --prune=now && git repack -q -a -d && git prune --expire=now && git prune-packed -q || exit 6
echo after > after.txt && git add -A && git commit -q -m After && git gc -q --prune=now && git fsck --connectivity-only || exit 7"""
    result, folder = bench.run(script, checks=("grep -q after after.txt && test -e first.txt",))
    assert (result.outcome, result.reason) == ("ok", None), f"{result.reason} {log_of(folder)}"
    assert {path: path.read_bytes() for path in before} == before
    git(bench.folder / "stores" / "REPO-1.git", "fsck", "--full")


def test_a_base_stays_when_its_branch_was_rewritten_and_the_store_was_cleaned_up_by_hand(bench: Bench, remote: Path) -> None:
    repository, base = prepared(bench, remote, "one"), git(remote, "rev-parse", "main").strip()
    git(remote, "checkout", "-q", "--orphan", "new")
    git(remote, "commit", "-q", "--allow-empty", "-m", "Everything else is gone")
    git(remote, "branch", "-q", "-M", "new", "main")
    git(remote, "tag", "-d", "v1")
    prepared(bench, remote, "two")
    store = bench.folder / "stores" / "REPO-1.git"
    git(store, "gc", "-q", "--prune=now")
    assert "precious-objects" in subprocess.run(["git", "-C", str(store), "repack", "-a", "-d"], capture_output=True, text=True).stderr
    bench.repository = repository
    result, folder = bench.run("echo x > x.txt", checks=(f"git merge-base --is-ancestor {base} HEAD",))
    assert (result.outcome, result.reason) == ("ok", None), f"{result.reason} {log_of(folder)}"
    git(repository.path, "fsck", "--connectivity-only", f"refs/heads/{INTEGRATION}")


def test_people_can_clone_and_archive_a_session(bench: Bench, remote: Path, tmp_path: Path) -> None:
    repository = prepared(bench, remote, "one")
    merged(bench, "echo result > result.txt")
    for name, options in (("plain", ()), ("whole", ("--no-local",)), ("apart", ("--dissociate",))):
        git(tmp_path, "clone", "-q", *options, str(repository.path), name)
        assert (tmp_path / name / "result.txt").read_text() == "result\n"
    with open(tmp_path / "it.zip", "wb") as file:
        repository.archive(INTEGRATION, file)
    assert b"result.txt" in (tmp_path / "it.zip").read_bytes()


def test_a_shallow_repository_stays_shallow_in_store_session_and_sandbox(bench: Bench, remote: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth", "5", f"file://{remote}", "shallow")
    repository = prepared(bench, tmp_path / "shallow", "one")
    result, folder = bench.run("git rev-list --count HEAD > count; git fsck --connectivity-only", checks=("grep -qx 5 count",))
    assert (result.outcome, result.reason) == ("ok", None), f"{result.reason} {log_of(folder)}"
    assert git(repository.path, "rev-list", "--count", INTEGRATION).strip() == "5"


def test_many_fetches_make_few_packs_and_keep_every_object(bench: Bench, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "MANY_PACKS", 3)
    store, seen = Repository(bench.folder / "stores" / "REPO-1.git"), set[str]()
    for number in range(6):
        git(remote, "commit", "-q", "--allow-empty", "--amend", "-m", f"Number {number}")
        with store.locked():
            stores.fetch(store, str(remote), ("file",), {}, bench.folder / "progress")
        seen.add(git(remote, "rev-parse", "main").strip())
    assert len(list((store.path / "objects" / "pack").glob("*.pack"))) <= 4
    assert seen <= objects(store.path)
    assert not (bench.folder / "progress").exists()


def test_a_session_whose_store_is_gone_says_so(bench: Bench, remote: Path) -> None:
    prepared(bench, remote, "one")
    (bench.folder / "stores" / "REPO-1.git").rename(bench.folder / "away")
    with pytest.raises(Transient, match=r"The objects that one\.git borrows are gone"):
        stores.lent_to(bench.repository.path)
    result, _ = bench.run("true")
    assert (result.failure, "Put that folder back" in (result.reason or "")) == ("transient", True)


def test_a_store_that_nobody_borrows_from_is_known(bench: Bench, remote: Path) -> None:
    one, store = prepared(bench, remote, "one"), Repository(bench.folder / "stores" / "REPO-1.git")
    assert stores.borrowers(bench.folder, store.path) == [one.path]
    os.rename(one.path, bench.folder / "gone")
    assert stores.borrowers(bench.folder, store.path) == []
