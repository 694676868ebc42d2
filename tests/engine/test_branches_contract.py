"""One contract for branches in repositories and for those in memory: what is kept, merged and moved, once, whoever asks twice."""
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from agent_side import WHEN, Agent, fresh
from conftest import git

from engine.config import Config
from engine.errors import AgentFailed, MergeConflict, Permanent
from engine.git.branches import Branches, GitBranches, HandOver
from engine.git.merge import combine
from engine.jobs import Result
from engine.loop.fakes import FakeBranches

INTEGRATION = "swarm/session/tkt-001-demo"


class Side(Protocol):
    """Branches with an integration branch, and changes for them. A change of the same file as another's conflicts with it."""

    branches: Branches

    def change(self, name: str, file: str = "") -> HandOver: ...
    def empty(self) -> HandOver: ...
    def head(self) -> str: ...
    def combined(self, head: str, tip: str) -> str: ...


def handed_over(name: str, base: str | None, tip: str) -> HandOver:
    return HandOver(f"run-{name}", f"TKT-{name}", f"Part {name}", "session", f"swarm/session/{name}", INTEGRATION,
                    Result(f"run-{name}", "ok", WHEN, base=base, tip=tip))


class InRepository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.branches: Branches = GitBranches(Config(data=folder))
        self.repository, self.base = fresh(folder)
        self.repository.set_branch(INTEGRATION, self.base)

    def change(self, name: str, file: str = "") -> HandOver:
        agent = Agent(self.repository, self.folder / name, self.head())
        base = agent.tip()
        return self._out(name, base, agent.commit({file or name: f"{name}\n"}), agent.bundle(base))

    def empty(self) -> HandOver:
        agent = Agent(self.repository, self.folder / "empty", self.head())
        git(agent.folder, "bundle", "create", "-q", "../empty.bundle", "refs/heads/swarm-out")
        return self._out("empty", agent.tip(), agent.tip(), self.folder / "empty.bundle")

    def _out(self, name: str, base: str, tip: str, bundle: Path) -> HandOver:
        out = self.folder / "runs" / f"run-{name}" / "out"
        os.makedirs(out)
        shutil.move(bundle, out / "out.bundle")
        return handed_over(name, base, tip)

    def head(self) -> str:
        return self.repository.head(f"refs/heads/{INTEGRATION}") or ""

    def combined(self, head: str, tip: str) -> str:
        return combine(self.repository, head, tip, "Merge", WHEN)


class InMemory:
    def __init__(self, folder: Path) -> None:
        self._files: dict[str, str] = {}
        self.fake = FakeBranches(self._conflict)
        self.branches: Branches = self.fake

    def _conflict(self, work: HandOver) -> str:
        landed = {self._files[ticket] for _, ticket, _ in self.fake.merged}
        return f"The change conflicts in {self._files[work.ticket]}." if self._files[work.ticket] in landed else ""

    def change(self, name: str, file: str = "") -> HandOver:
        self._files[f"TKT-{name}"] = file or name
        return handed_over(name, self.head(), f"tip of {name}")

    def empty(self) -> HandOver:
        return handed_over("empty", self.head(), self.head())

    def head(self) -> str:
        return self.fake.head(INTEGRATION)

    def combined(self, head: str, tip: str) -> str:
        return self.fake.combine(head, tip)


@pytest.fixture(params=[InRepository, InMemory])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Side:
    made: Callable[[Path], Side] = request.param
    return made(tmp_path)


def merged(side: Side, work: HandOver, onto: str | None = None) -> str | None:
    return side.branches.merge(work, side.branches.keep(work), onto)


def test_work_is_kept_once_however_often_that_is_asked(side: Side) -> None:
    work = side.change("a")
    assert [side.branches.keep(work) for _ in range(2)] == [work.result.tip] * 2


def test_work_that_stands_on_nothing_or_brings_nothing_is_not_kept(side: Side) -> None:
    work = side.change("a")
    work.result.base = None
    with pytest.raises(Permanent, match="does not name its base commit"):
        side.branches.keep(work)
    with pytest.raises(AgentFailed, match="no commit of its own"):
        side.branches.keep(side.empty())


def test_a_merge_moves_the_branch_once_and_is_its_head(side: Side) -> None:
    work, before = side.change("a"), side.head()
    sha = merged(side, work)
    assert sha == side.head() != before
    assert side.branches.merge(work, str(work.result.tip)) == sha == side.head()


def test_a_branch_that_stands_elsewhere_is_not_merged_into(side: Side) -> None:
    first, second, base = side.change("a"), side.change("b"), side.head()
    head = merged(side, first, onto=base)
    assert head == side.head() != base
    assert merged(side, second, onto=base) is None and side.head() == head
    assert merged(side, first, onto=base) == head, "what is in the branch is in it, wherever that stands"
    assert merged(side, second, onto=head) == side.head() != head


def test_a_conflict_is_said_also_where_the_branch_stands_elsewhere(side: Side) -> None:
    first, second, base = side.change("a", "same"), side.change("b", "same"), side.head()
    head = merged(side, first)
    for onto in (base, None):
        with pytest.raises(MergeConflict, match=r"conflicts.* in same"):
            merged(side, second, onto)
    assert side.head() == head


def beside(side: Side, *works: HandOver) -> Result:
    """What a recheck run says that has merged these, one upon the other, beside the branch."""
    result = Result("run-recheck", "ok", WHEN, base=side.head())
    head = side.head()
    for work in works:
        head = side.combined(head, side.branches.keep(work))
        result.merged.append({"run": work.run, "merge": head})
    result.tip = head
    return result


def test_what_was_merged_beside_the_branch_lands_in_one_step_and_once(side: Side) -> None:
    works = side.change("a"), side.change("b")
    result = beside(side, *works)
    assert side.head() == result.base
    assert [side.branches.advance("session", INTEGRATION, result) for _ in range(2)] == [True, True]
    assert side.head() == result.tip
    assert [merged(side, work) for work in works] == [result.tip] * 2, "both are in the branch"


def test_a_branch_that_moved_meanwhile_is_left_as_it_is(side: Side) -> None:
    first, second = side.change("a"), side.change("b")
    result = beside(side, first)
    head = merged(side, second)
    assert side.branches.advance("session", INTEGRATION, result) is False and side.head() == head
