"""An agent that amended the commit it had to build on, or began a history of its own, gets its commits put onto it; what would lose something fails."""
import dataclasses

import pytest
from conftest import build, git, require
from real_engine import completed, feature, integration, running
from runner_bench import BRANCH, INTEGRATION, Bench, log_of

from engine.config import Config
from engine.jobs import AgentSetup
from engine.store.db import Database

TWO = "echo a > a.txt; git add -A; git commit -qm a; echo b > b.txt; git add -A; git commit -qm b\n"
FINE: dict[str, tuple[str, list[str], dict[str, str]]] = {
    "amended": ("echo x > x.txt; git add -A; git commit -q --amend --no-edit", ["Initial commit"], {"x.txt": "x"}),
    "amended, with another message": ("echo x > x.txt; git add -A; git commit -q --amend -m new", ["new"], {"x.txt": "x"}),
    "amended, in the same lines": ("echo x > README.md; git commit -qa --amend --no-edit", ["Initial commit"], {"README.md": "x"}),
    "amended twice, by another": ("echo x > x.txt; git add -A; git commit -q --amend --no-edit; echo y > y.txt; git add -A; git commit -q --amend -m y"
                                  " --reset-author", ["y"], {"x.txt": "x", "y.txt": "y"}),
    "amended, and more": ("echo x > x.txt; git add -A; git commit -q --amend --no-edit; " + TWO, ["Initial commit", "a", "b"],
                          {"x.txt": "x", "a.txt": "a", "b.txt": "b"}),
    "amended, and a file left": ("echo x > x.txt; git add -A; git commit -q --amend --no-edit; echo l > left.txt", ["Initial commit", "Greet people"],
                                 {"x.txt": "x", "left.txt": "l"}),
    "a history of its own, with the base's files first": (
        "git checkout -q --orphan own; git commit -qm first; " + TWO, ["a", "b"], {"a.txt": "a", "b.txt": "b"}),
    "a history of its own": ("git checkout -q --orphan own; echo x > x.txt; git add -A; git commit -qm first; " + TWO, ["first", "a", "b"],
                             {"x.txt": "x", "b.txt": "b"}),
}


@pytest.fixture
def bench(tmp_path: object) -> Bench:
    return Bench("process", tmp_path).prepared()


@pytest.mark.parametrize("what", FINE)
def test_its_commits_are_put_onto_the_base(bench: Bench, what: str) -> None:
    script, subjects, files = FINE[what]
    result, folder = bench.run(script)
    assert (result.outcome, result.reason) == ("ok", None), log_of(folder)
    clone = bench.take(folder)
    assert git(clone, "log", "--reverse", "--format=%s", f"{result.base}..{result.tip}").split("\n")[:-1] == subjects
    assert {path: git(clone, "show", f"{result.tip}:{path}").strip() for path in files} == files
    assert "They were put onto it." in log_of(folder)
    assert git(clone, "log", "--format=%an", f"{result.base}..{result.tip}").split("\n")[:-1] == ["HITL Swarm runbook"] * len(subjects)


def second(bench: Bench) -> str:
    """The base becomes a commit with a parent."""
    git(bench.folder, "clone", "-q", "-b", INTEGRATION, str(bench.repository.path), "second")
    clone = bench.folder / "second"
    (clone / "base.txt").write_text("base\n")
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", "The base")
    git(clone, "push", "-q", "origin", INTEGRATION)
    return git(clone, "rev-parse", "HEAD").strip()


@pytest.mark.parametrize("script", [
    "echo x > x.txt; git add -A; git commit -q --amend --no-edit", "echo x > x.txt; git reset -q --soft HEAD~1; git add -A; git commit -qm all",
    "echo x > base.txt; git commit -qa --amend --no-edit"])
def test_a_base_with_a_parent_may_be_amended_too(bench: Bench, script: str) -> None:
    base = second(bench)
    result, folder = bench.run(script)
    assert (result.outcome, result.base) == ("ok", base), log_of(folder)
    clone = bench.take(folder)
    assert git(clone, "rev-list", "--count", f"{base}..{result.tip}") == "1\n"
    assert "base.txt" in git(clone, "ls-tree", "--name-only", str(result.tip)).split()


@pytest.mark.parametrize("script", [
    "git checkout -q HEAD~1; echo x > x.txt; git add -A; git commit -qm older", "git reset -q --hard HEAD~1; echo x > x.txt; git add -A; git commit -qm older",
    "git checkout -q --orphan own; git rm -qrf .; echo x > x.txt; git add -A; git commit -qm own",
    "rm -rf .git; git init -q -b main; echo x > x.txt; git add -A; git commit -qm all"])
def test_where_something_of_the_base_would_be_lost_the_attempt_fails_and_names_it(bench: Bench, script: str) -> None:
    second(bench)
    result, _ = bench.run(script)
    assert (result.outcome, result.failure, result.tip) == ("failed", "agent", None)
    assert "swarm-kept/1" in (result.reason or "") or "does not contain" in (result.reason or "")


def test_an_amended_base_is_merged(db: Database, config: Config) -> None:
    require("bwrap")
    real = dataclasses.replace(config, runtime="bubblewrap", slots=2)
    session = build(db, real, {"name": "Amend", "features": [feature("A", "echo x > x.txt; git add -A; git commit -q --amend --no-edit")]})
    with running(db, real):
        completed(db, session)
    repository, branch = integration(db, real, session)
    assert git(repository, "show", f"{branch}:x.txt") == "x\n" and git(repository, "merge-base", branch, "main") == git(repository, "rev-parse", "main")


def test_a_run_that_goes_on_from_its_own_branch_does_not_take_its_own_commits_for_an_amended_base(bench: Bench) -> None:
    git(bench.folder, "clone", "-q", "-b", INTEGRATION, str(bench.repository.path), "both")
    clone = bench.folder / "both"
    for branch, text in ((BRANCH, "own\n"), (INTEGRATION, "head\n")):  # by the same author, in the same second, from the same commit
        git(clone, "checkout", "-q", "-B", branch, f"origin/{INTEGRATION}")
        (clone / "README.md").write_text(text)
        git(clone, "commit", "-q", "-am", "The same")
        git(clone, "push", "-q", "origin", branch)
    for script in ("true", "git merge --abort"):
        result, folder = bench.run(agent="custom", means=AgentSetup(command=script))
        assert (result.outcome, result.failure) == ("failed", "agent") and "put onto it" not in log_of(folder)
