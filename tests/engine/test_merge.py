"""Merging into the integration branch: once each, two parents each, whoever else tries."""
import threading
from pathlib import Path

import pytest
from agent_side import WHEN, Agent, fresh
from conftest import git

from engine.errors import MergeConflict, Permanent, Transient
from engine.git.harvest import take_in
from engine.git.merge import CONFLICT_BYTES, merge
from engine.git.repository import Repository

BRANCH = "swarm/1f2e3d4c/tkt-001-demo"


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository, self.base = fresh(folder)
        self.repository.set_branch(BRANCH, self.base)

    def run(self, name: str, files: dict[str, str]) -> str:
        """A run that began at the base and changed these files. -> its tip, taken in"""
        agent = Agent(self.repository, self.folder / name, self.base)
        agent.commit(files)
        with self.repository.locked():
            return take_in(self.repository, agent.bundle(self.base), name, self.base)

    def merge(self, tip: str, message: str = "Merge it") -> str | None:
        return merge(self.repository, tip, BRANCH, message, WHEN)

    def head(self) -> str:
        return self.repository.head(f"refs/heads/{BRANCH}") or ""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_merge_has_two_parents_even_where_a_fast_forward_would_do(bench: Bench) -> None:
    tip = bench.run("r1", {"a": "1\n"})
    merged = bench.merge(tip, "Merge TKT-002\n\nTicket: TKT-002\n")
    assert merged == bench.head()
    assert git(bench.repository.path, "log", "-1", "--format=%P|%an|%ae|%cn|%ce|%at|%ct|%B", BRANCH).strip() == (
        f"{bench.base} {tip}|HITL Swarm|swarm@localhost|HITL Swarm|swarm@localhost|{WHEN}|{WHEN}|Merge TKT-002\n\nTicket: TKT-002")
    assert git(bench.repository.path, "show", f"{BRANCH}:a") == "1\n"


def test_merging_twice_is_merging_once(bench: Bench) -> None:
    tip = bench.run("r1", {"a": "1\n"})
    first = bench.merge(tip)
    assert bench.merge(tip) == first
    bench.merge(bench.run("r2", {"b": "1\n"}))
    assert bench.merge(tip) == bench.head()
    assert git(bench.repository.path, "rev-list", "--count", "--merges", BRANCH).strip() == "2"


def test_the_same_inputs_make_the_same_commit_after_a_death_before_or_after_the_ref_was_set(tmp_path: Path) -> None:
    one, two = Bench(tmp_path / "one"), Bench(tmp_path / "two")
    sha = one.merge(one.run("r1", {"a": "1\n"}))
    tip = two.run("r1", {"a": "1\n"})
    tip_tree = git(two.repository.path, "rev-parse", f"{tip}^{{tree}}").strip()
    unreferenced = two.repository.commit(tip_tree, (two.base, tip), "Merge it", WHEN)
    if git(one.repository.path, "rev-parse", "refs/swarm/runs/r1").strip() == tip:  # the agents' commits have a clock in them
        assert unreferenced == sha
    assert [two.merge(tip) for _ in range(2)] == [unreferenced] * 2


def test_a_conflict_names_the_paths_and_shows_the_places(bench: Bench) -> None:
    bench.merge(bench.run("r1", {"README.md": "# One\n", "same.txt": "one\n", "fine": "x"}))
    tip, before = bench.run("r2", {"README.md": "# Two\n", "same.txt": "two\n"}), bench.head()
    with pytest.raises(MergeConflict, match=r"in README\.md, same\.txt\.$") as caught:
        bench.merge(tip)
    assert bench.head() == before
    assert caught.value.extra["paths"] == ["README.md", "same.txt"]
    detail = str(caught.value.extra["detail"])
    assert "<<<<<<<" in detail and "# Two" in detail and "CONFLICT (content)" in detail and "CONFLICT (add/add)" in detail


def test_a_large_conflict_is_bounded(bench: Bench) -> None:
    bench.merge(bench.run("r1", {f"d/{'n' * 100}{number}": "one\n" * 500 for number in range(40)}))
    with pytest.raises(MergeConflict, match="and 20 more") as caught:
        bench.merge(bench.run("r2", {f"d/{'n' * 100}{number}": "two é\n" * 500 for number in range(40)}))
    assert len(str(caught.value.extra["detail"]).encode()) <= CONFLICT_BYTES
    assert str(caught.value.extra["detail"]).endswith("… cut here")


def test_a_file_that_one_side_removed_is_a_conflict(bench: Bench) -> None:
    agent = Agent(bench.repository, bench.folder / "r1", bench.base)
    git(agent.folder, "rm", "-q", "README.md")
    agent.commit({"x": "1"})
    bench.merge(take_in(bench.repository, agent.bundle(bench.base), "r1", bench.base))
    with pytest.raises(MergeConflict, match=r"README\.md") as caught:
        bench.merge(bench.run("r2", {"README.md": "# Two\n"}))
    assert "modify/delete" in str(caught.value.extra["detail"])


@pytest.mark.parametrize("locked", [False, True])
def test_parallel_merges_lose_none(bench: Bench, locked: bool) -> None:
    tips = [bench.run(f"r{number}", {f"file{number}": f"{number}\n"}) for number in range(6)]
    done: list[str | None] = []

    def work(tip: str) -> None:
        repository = Repository(bench.repository.path)
        if locked:
            with repository.locked():
                done.append(merge(repository, tip, BRANCH, "Merge it", WHEN))
        else:
            done.append(merge(repository, tip, BRANCH, "Merge it", WHEN))

    threads = [threading.Thread(target=work, args=(tip,)) for tip in tips * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 12 and None not in done
    assert git(bench.repository.path, "rev-list", "--count", "--merges", BRANCH).strip() == "6"
    assert len(git(bench.repository.path, "ls-tree", "--name-only", BRANCH).split()) == 8


def test_a_stale_ref_lock_stops_a_merge_until_it_is_swept(bench: Bench) -> None:
    tip = bench.run("r1", {"a": "1\n"})
    (bench.repository.path / "refs" / "heads" / f"{BRANCH}.lock").touch()
    with pytest.raises(Transient), bench.repository.locked():
        bench.merge(tip)
    with bench.repository.locked():
        assert bench.merge(tip) == bench.head()


def test_a_missing_branch_or_tip_is_permanent(bench: Bench) -> None:
    with pytest.raises(Permanent, match="does not exist"):
        merge(bench.repository, bench.base, "swarm/none", "m", WHEN)
    with pytest.raises(Permanent):
        bench.merge("1" * 40)
