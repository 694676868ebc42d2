"""What a run may not bring back: each refusal names the path and the rule, and nothing of it stays."""
from pathlib import Path

import pytest
from agent_side import Agent, fresh, state
from conftest import git

from engine.errors import PolicyViolation
from engine.git.dangerous_names import is_dot_git, is_gitmodules, link_problem
from engine.git.harvest import take_in
from engine.git.policy import DEFAULT_LIMITS, PolicyLimits, check
from engine.git.repository import Repository


class Bench:
    def __init__(self, folder: Path) -> None:
        self.repository, self.base = fresh(folder)
        self.agent = Agent(self.repository, folder / "agent", self.base)

    def take_in(self, limits: PolicyLimits = DEFAULT_LIMITS) -> str:
        with self.repository.locked():
            return take_in(self.repository, self.agent.bundle(self.base), "r1", self.base, limits)

    def refused(self, match: str, limits: PolicyLimits = DEFAULT_LIMITS) -> None:
        before = state(self.repository)
        with pytest.raises(PolicyViolation, match=match):
            self.take_in(limits)
        assert state(self.repository) == before


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("path", [
    ".GIT", "sub/.Git/config", "git~1", "sub/.g\u200cit/hooks", ".git /x", "a\\.git\\config", ".git::$INDEX_ALLOCATION"])
def test_a_planted_git_folder_is_refused(bench: Bench, path: str) -> None:
    bench.agent.plant("100644", path, b"[core]\n")
    bench.refused(r"git's own folder|not taken")


def test_the_refusal_names_the_planted_path(bench: Bench) -> None:
    bench.agent.plant("100644", "sub/.GIT/config", b"[core]\n")
    bench.refused(r"^sub/\.GIT/config has a part")


def test_something_bad_that_a_later_commit_took_away_is_still_refused(bench: Bench) -> None:
    bench.agent.plant("120000", "evil", b"/etc/passwd")
    bench.agent.commit_tree(git(bench.agent.folder, "rev-parse", f"{bench.base}^{{tree}}").strip())
    bench.refused(r"^evil is a symbolic link that leaves the tree \(/etc/passwd\)")


def test_something_bad_on_a_merged_side_branch_or_only_in_a_merge_is_refused(bench: Bench) -> None:
    agent = bench.agent
    side = agent.plant("120000", "side-link", b"../..")
    clean = git(agent.folder, "rev-parse", f"{bench.base}^{{tree}}").strip()
    agent.commit_tree(clean, bench.base, side)
    bench.refused("^side-link is a symbolic link that leaves")
    git(agent.folder, "update-ref", "refs/heads/swarm-out", bench.base)
    one, two = agent.commit_tree(clean, bench.base), agent.commit({"other": "x"})
    git(agent.folder, "update-ref", "refs/heads/swarm-out", bench.base)
    evil = git(agent.folder, "rev-parse", agent.plant("120000", "merge-link", b"/etc") + "^{tree}").strip()
    agent.commit_tree(evil, one, two)
    bench.refused("^merge-link is a symbolic link that leaves")


def test_an_unrelated_history_is_looked_at_too(bench: Bench) -> None:
    root = git(bench.agent.folder, "commit-tree", "-m", "Root", bench.agent.tree([("120000", "blob", bench.agent.blob(b"/etc"), "old")])).strip()
    bench.agent.commit_tree(git(bench.agent.folder, "rev-parse", f"{bench.base}^{{tree}}").strip(), bench.base, root)
    bench.refused("^old is a symbolic link")


def test_a_submodule_is_refused(bench: Bench) -> None:
    bench.agent.plant("160000", "vendor/lib", bench.base.encode())
    bench.refused("^vendor/lib is a submodule")


@pytest.mark.parametrize("path", [".gitmodules", "sub/.GitModules", "gitmod~1"])
def test_a_changed_gitmodules_is_refused(bench: Bench, path: str) -> None:
    bench.agent.plant("100644", path, b"[submodule \"x\"]\n\tpath = x\n\turl = -u./payload\n")
    bench.refused("must not change")


def test_removing_a_submodule_entry_is_no_submodule_but_removing_gitmodules_is_a_change(tmp_path: Path) -> None:
    repository, base = fresh(tmp_path)
    agent = Agent(repository, tmp_path / "agent", base)
    with_both = agent.commit_tree(agent.tree([("160000", "commit", base, "lib"), ("100644", "blob", agent.blob(b"#\n"), ".gitmodules")]))
    without_lib = agent.commit_tree(agent.tree([("100644", "blob", agent.blob(b"#\n"), ".gitmodules")]))
    without_both = agent.commit_tree(agent.tree([]))
    repository.git("fetch", "--", str(agent.folder), "+refs/heads/swarm-out:refs/heads/x", env={"GIT_ALLOW_PROTOCOL": "file"})
    assert check(repository, with_both, without_lib) == 1
    with pytest.raises(PolicyViolation, match="gitmodules"):
        check(repository, without_lib, without_both)


@pytest.mark.parametrize(("path", "target"), [
    ("passwd", b"/etc/passwd"), ("a/b", b"../../x"), ("up", b".."), ("a/x", b"b/../../.."), ("a/down-up", b"b/../c"), ("hooks", b".git/hooks"),
    ("long", b"x" * 5000)])
def test_a_symlink_that_may_leave_the_tree_is_refused(bench: Bench, path: str, target: bytes) -> None:
    bench.agent.plant("120000", path, target)
    bench.refused(f"^{path} is a symbolic link that")


def test_the_same_target_is_judged_at_each_place(bench: Bench) -> None:
    bench.agent.plant("120000", "a/fine", b"../README.md")
    bench.agent.plant("120000", "not", b"../README.md")
    bench.refused("^not is a symbolic link")


def test_a_symlink_inside_the_tree_is_fine_and_so_are_ordinary_dot_files(bench: Bench) -> None:
    (bench.agent.folder / "docs").mkdir()
    (bench.agent.folder / "docs" / "readme").symlink_to("../README.md")
    (bench.agent.folder / "self").symlink_to("./docs//readme")
    names = (".gitignore", ".gitattributes", ".github/workflows/ci.yml", "a.git", "gitmodules")
    tip = bench.agent.commit(dict.fromkeys(names, "# x\n"))
    assert bench.take_in() == tip


def test_a_file_of_200_mb_is_refused_by_name(bench: Bench) -> None:
    with open(bench.agent.folder / "huge.bin", "wb") as file:
        file.truncate(200_000_000)
    git(bench.agent.folder, "config", "core.compression", "1")
    git(bench.agent.folder, "config", "core.bigFileThreshold", "1m")
    bench.agent.commit({})
    bench.refused(r"^huge\.bin has 200 MB, and a file may have at most 25 MB")


def test_too_many_files_and_too_much_in_all_are_refused(bench: Bench) -> None:
    bench.agent.commit({f"f{number}": f"{number}" * 100 for number in range(5)})
    bench.refused("more than 4 files; f4 is the first above the limit", PolicyLimits(files=4))
    bench.refused(r"more than 300 bytes in total; f\d exceeds the limit", PolicyLimits(total_bytes=300))
    assert bench.take_in(PolicyLimits(files=5, total_bytes=500, blob_bytes=100))


@pytest.mark.parametrize("parents", [1, 2])
def test_a_tree_that_unfolds_without_end_is_refused_before_it_fills_the_memory(bench: Bench, parents: int) -> None:
    agent = bench.agent
    kind, oid, mode = "blob", agent.blob(b"x"), "100644"
    for _ in range(12):
        oid = agent.tree([(mode, kind, oid, f"d{number}") for number in range(10)])
        kind, mode = "tree", "040000"
    others = [agent.commit({"other": str(number)}) for number in range(parents)]
    agent.commit_tree(oid, *others)
    bench.refused("more than 10000 files")


def test_bytes_that_are_no_text_are_shown_with_backslashes(bench: Bench) -> None:
    agent = bench.agent
    name = b"caf\xe9\x1b[31m"
    blob = agent.blob(b"/etc")
    (agent.folder / "list").write_bytes(b"120000 blob " + blob.encode() + b"\t" + name + b"\0")
    with open(agent.folder / "list", "rb") as file:
        agent.commit_tree(git(agent.folder, "mktree", "-z", stdin=file).strip())
    bench.refused(r"^caf\\xe9\\x1b\[31m is a symbolic link")


def test_names_and_links_that_only_look_alike_are_fine() -> None:
    assert not any(is_dot_git(part) for part in (b".gitignore", b".github", b"git", b"a.git", b".git2", b"git~2", b".gitx", b"\xff.git"))
    assert not any(is_gitmodules(part) for part in (b"gitmodules", b".gitmodules.txt", b"gitmod~5"))
    assert is_gitmodules(b".GITMODULES. ") and is_dot_git(b".git...") and is_dot_git(b"GIT~1")
    assert link_problem(b"a/b", b"../../c") is None and link_problem(b"", b"a/b") is None and link_problem(b"a", b"..") is None


def test_a_change_already_in_the_repository_can_be_checked_without_a_quarantine(bench: Bench) -> None:
    tip = bench.agent.commit({"a": "1", "b": "2"})
    bench.agent.commit({"a": "2"})
    bench.take_in()
    assert check(Repository(bench.repository.path), bench.base, tip) == 2
    assert check(bench.repository, tip, tip) == 0
