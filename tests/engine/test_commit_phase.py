"""The commit phase in a real sandbox: what the agent leaves is handed over whole, or the attempt fails and names what is missing."""
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import git, require
from runner_bench import BRANCH, INTEGRATION, Bench, log_of

from engine.ground import Commits
from engine.jobs import AgentSetup, Result


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    require("bwrap")
    bench = Bench("bubblewrap", tmp_path).prepared()
    yield bench
    for runner in bench.runs:
        runner.kill()
        runner.wait()


def files(bench: Bench, folder: Path) -> list[str]:
    """The files that the run hands over, but for those of the base."""
    clone = bench.take(folder)
    return [path for path in git(clone, "ls-tree", "-r", "--name-only", "swarm-out").split("\n")[:-1] if path not in (".gitignore", "README.md")]


def kept(bench: Bench, folder: Path) -> list[str]:
    """The subjects of the commits that the run left beside what it hands over, newest first for each ref."""
    git(bench.folder, "clone", "-q", str(bench.repository.path), f"kept-{folder.name}")
    clone = bench.folder / f"kept-{folder.name}"
    git(clone, "fetch", "-q", str(folder / "out" / "kept.bundle"), "refs/heads/*:refs/kept/*")
    return git(clone, "log", "--format=%s", "--glob=refs/kept", "--not", f"refs/remotes/origin/{INTEGRATION}").split("\n")[:-1]


def commits(*names: str) -> str:
    return "".join(f"echo {name} > {name}.txt; git add -A; git commit -qm {name}\n" for name in names)


BOTH_WAYS = ("echo base > f.txt; git add -A; git commit -qm f; git checkout -q -b other; echo other > f.txt; git commit -qam other\n"
             "git checkout -q -; echo mine > f.txt; git commit -qam mine\n")  # two branches that conflict
REORDER, FIXUP = "GIT_SEQUENCE_EDITOR='sed -i -e 1h -e 1d -e 2G' git rebase -q -i HEAD~3", "GIT_SEQUENCE_EDITOR=true git rebase -q -i --autosquash HEAD~3"
EDIT = "GIT_SEQUENCE_EDITOR='sed -i 1s/pick/edit/' git rebase -q -i HEAD~3 || true"
BACK = "git checkout -q -\n"

MERGED_WHOLE = {
    "a look at an older commit": (commits("one", "two") + "git checkout -q HEAD~1", ["one.txt", "two.txt"]),
    "a look at the base": (commits("one", "two") + "git checkout -q HEAD~2", ["one.txt", "two.txt"]),
    "a bisect left open": (commits("a", "b", "c", "d") + "git bisect start HEAD HEAD~4 > /dev/null", ["a.txt", "b.txt", "c.txt", "d.txt"]),
    "a rebase stopped for an edit": (commits("a", "b", "c") + EDIT, ["a.txt", "b.txt", "c.txt"]),
    "another branch that holds nothing": (commits("one") + "git checkout -q -b look HEAD~1", ["one.txt"]),
    "a branch of its own": ("git checkout -q -b mine\n" + commits("one"), ["one.txt"]),
    "commits upon a detached HEAD": ("git checkout -q --detach\n" + commits("one"), ["one.txt"]),
    "a renamed branch": ("git branch -m mine\n" + commits("one"), ["one.txt"]),
    "a merge left open": (commits("one") + "git checkout -q -b other HEAD~1\n" + commits("two") +
                          "git checkout -q -\ngit merge -q --no-ff --no-commit other", ["one.txt", "two.txt"]),
    "an amended commit": (commits("one") + "echo more >> one.txt; git commit -qa --amend -m better", ["one.txt"]),
    "an amended commit that drops a file": (commits("one", "junk") + "git rm -q --cached junk.txt; rm junk.txt; echo x > x.txt; git add x.txt; "
                                            "git commit -q --amend -m clean", ["one.txt", "x.txt"]),
    "squashed commits": (commits("one", "two") + "git reset -q --soft HEAD~2; git commit -qm both\necho more >> one.txt", ["one.txt", "two.txt"]),
    "commits in another order": (commits("a", "b", "c") + REORDER, ["a.txt", "b.txt", "c.txt"]),
    "a fixup": (commits("one", "two") + f"echo fixed > one.txt; git commit -qa --fixup HEAD~1\n{FIXUP}\necho again > one.txt", ["one.txt", "two.txt"]),
    "a rebase with a conflict that was resolved": (
        BOTH_WAYS + "git rebase -q other > /dev/null 2>&1 || true\n"
        "echo both > f.txt; git add -A; GIT_EDITOR=true git rebase --continue > /dev/null", ["f.txt"]),
    "a rebase resolved and not continued": (
        BOTH_WAYS + "git rebase -q other > /dev/null 2>&1 || true\necho both > f.txt; git add -A", ["f.txt"]),
    "a pick resolved and not continued": (
        BOTH_WAYS + "git cherry-pick other > /dev/null 2>&1 || true\necho both > f.txt", ["f.txt"]),
    "a branch merged by a squash": ("git checkout -q -b side\n" + commits("one", "two") + BACK + "git merge -q --squash side > /dev/null; git commit -qm all",
                                    ["one.txt", "two.txt"]),
    "a stash taken back": ("echo x > x.txt; git add -A; git stash -q; git stash pop -q", ["x.txt"]),
    "a stash applied and not dropped": ("echo x > x.txt; git stash -q -u; git stash apply -q", ["x.txt"]),
    "a lock left behind": ("echo x > x.txt; : > .git/index.lock; : > .git/HEAD.lock", ["x.txt"]),
    "a broken index": ("echo x > x.txt; echo broken > .git/index", ["x.txt"]),
}


@pytest.mark.parametrize("name", MERGED_WHOLE)
def test_what_an_agent_left_somewhere_else_in_its_clone_is_handed_over_whole(bench: Bench, name: str) -> None:
    script, expected = MERGED_WHOLE[name]
    result, folder = bench.run(script)
    assert (result.outcome, result.reason) == ("ok", None), log_of(folder)
    assert files(bench, folder) == expected
    assert not (folder / "out" / "kept.bundle").exists()


LOST = {
    "work on another branch": ("git checkout -q -b my-work\n" + commits("work") + "git checkout -q -",
                               "refs/heads/my-work (1 commit, the newest is ", ["work"]),
    "a changed look at an older commit": (commits("one", "two") + "git checkout -q HEAD~1; echo x > x.txt", "refs/heads/swarm/", ["two"]),
    "a second version of the same file": ("echo 1 > f; git add -A; git commit -qm one; echo 2 > f; git commit -qam two\ngit checkout -q HEAD~1; echo x > x.txt",
                                          "refs/heads/swarm/", ["two"]),
    "a reset": (commits("one", "two") + "git reset -q --hard HEAD~1", "ORIG_HEAD (1 commit", ["two"]),
    "a commit that no branch has": ("git checkout -q --detach\n" + commits("one") + "git checkout -q -\necho x > x.txt", "HEAD@{2} (1 commit", ["one"]),
    "a deleted branch": ("git checkout -q -b gone\n" + commits("one") + BACK + "git branch -q -D gone; echo x > x.txt", "HEAD@{2} (1 commit", ["one"]),
    "a stash": ("echo x > x.txt; git add -A; git stash -q; echo y > y.txt", "stash@{0} (", ["WIP on"]),
    "an older stash": ("for n in 1 2; do echo $n > $n.txt; git add -A; git stash -q; done; git stash pop -q", "stash@{0} (", ["WIP on"]),
    "untracked files in a stash": ("echo y >> README.md; echo x > x.txt; git stash -q -u; git checkout -q stash@{0} -- README.md", "stash@{0} (",
                                   ["untracked files on"]),
    "a tag": ("git checkout -q --detach\n" + commits("one") + "git tag -a -m t kept-here; git checkout -q -", "refs/tags/kept-here (1 commit", ["one"]),
    "a rebase stopped in its middle": (commits("a", "b", "c") + "GIT_SEQUENCE_EDITOR='sed -i -e 1s/pick/reword/ -e 2s/pick/edit/' "
                                       "GIT_EDITOR='sed -i 1s/^/new/' git rebase -q -i HEAD~3 > /dev/null 2>&1 || true", "refs/heads/swarm/", ["c"]),
    "picks left open": ("git checkout -q -b side; echo side > f; git add -A; git commit -qm f; echo 2 > g; git add -A; git commit -qm g; git checkout -q -\n"
                        "echo own > f; git add -A; git commit -qm own; git cherry-pick side~1 side > /dev/null 2>&1 || true\n"
                        "git branch -q -D side; echo both > f",
                        "sequencer/todo (1 commit, the newest is ", ["g"]),
    "another root": (commits("one") + "git checkout -q --orphan other; echo y > y.txt", "refs/heads/other (1 commit", ["Greet people"]),
    "another work tree": ("git worktree add -q --detach ../elsewhere; cd ../elsewhere; echo x > x.txt; git add -A; git commit -qm there",
                          "elsewhere (1 commit", ["there"]),
}


@pytest.mark.parametrize("name", LOST)
def test_commits_that_would_not_be_delivered_fail_the_attempt_are_named_and_come_along(bench: Bench, name: str) -> None:
    script, named, subjects = LOST[name]
    result, folder = bench.run(script, checks=("true",))
    assert (result.outcome, result.failure, result.checks) == ("failed", "agent", []), log_of(folder)
    assert "The agent left commits that its branch does not have: " in (result.reason or "") and named in (result.reason or "")
    assert "swarm-kept/1" in (result.reason or "")
    found = kept(bench, folder)
    assert all(any(line.startswith(subject) for line in found) for subject in subjects), found


def resumed(bench: Bench, first: str, second: str) -> tuple[Result, Path]:
    """A run of an agent that goes on from the ticket's own branch, which a first run has made."""
    _, before = bench.run(agent="custom", means=AgentSetup(command=first))
    git(bench.repository.path, "fetch", "-q", str(before / "out" / "out.bundle"), f"refs/heads/swarm-out:refs/heads/{BRANCH}")
    return bench.run(agent="custom", means=AgentSetup(command=second))


@pytest.mark.parametrize(("second", "expected"), [(commits("two"), ["one.txt", "two.txt"]), ("true", ["one.txt"]),
                                                  ("git checkout -q HEAD~1", ["one.txt"]), ("git commit -q --amend -m better", ["one.txt"])])
def test_a_run_that_goes_on_hands_over_what_was_there_before(bench: Bench, second: str, expected: list[str]) -> None:
    result, folder = resumed(bench, commits("one"), second)
    assert (result.outcome, files(bench, folder)) == ("ok", expected), result.reason


def test_a_run_that_drops_what_was_there_before_fails(bench: Bench) -> None:
    result, folder = resumed(bench, commits("one"), "git reset -q --hard HEAD~1; echo x > x.txt")
    assert (result.outcome, result.failure) == ("failed", "agent") and "ORIG_HEAD (1 commit" in (result.reason or "")
    assert files(bench, folder) == ["x.txt"] and kept(bench, folder) == ["one"]


def test_kinds_of_files_that_the_repository_holds_are_not_ignored(bench: Bench) -> None:
    based_on(bench, **{"node_modules/a/old__js": "old\n"})
    result, folder = bench.run("echo new > node_modules/a/new.js; mkdir .venv; echo x > .venv/x; printf '' > .gitignore")
    assert (result.outcome, files(bench, folder)) == ("ok", ["node_modules/a/new.js", "node_modules/a/old.js"])


def test_a_history_without_the_base_and_its_files_is_named_and_kept(bench: Bench) -> None:
    result, folder = bench.run(f"git checkout -q --orphan own; git rm -qrf .; echo x > x.txt; git add -A; git commit -qm own; git branch -q -D {BRANCH}")
    assert (result.outcome, result.failure, result.tip) == ("failed", "agent", None)
    assert "does not contain" in (result.reason or "") and kept(bench, folder) == ["own"]


def test_a_revert_left_open_is_named(bench: Bench) -> None:
    result, _ = bench.run("for n in 1 2 3; do echo $n > f; git add -A; git commit -qm c$n; done\ngit revert --no-edit HEAD~2 HEAD~1 > /dev/null 2>&1 || true\n"
                          "echo done > f; git add f")
    assert (result.outcome, result.failure) == ("failed", "agent")
    assert "A revert was left open before it was done. It has still to revert " in (result.reason or "")


def test_an_agent_that_fails_says_so_first_and_then_what_it_left(bench: Bench) -> None:
    result, _ = bench.run("git checkout -q -b my-work\n" + commits("work") + "git checkout -q -\necho I give up; exit 3")
    first, _, rest = (result.reason or "").partition(". ")
    assert first == "The agent ended with exit code 3: I give up"
    assert rest.startswith("The agent left commits that its branch does not have: refs/heads/my-work")


def notes(result: Result) -> str:
    return " ".join(result.notes)


def test_an_unreadable_file_is_left_out_and_named(bench: Bench) -> None:
    result, folder = bench.run("echo x > x.txt; echo s > secret; mkdir closed; echo c > closed/c; chmod 000 secret closed")
    assert (result.outcome, files(bench, folder)) == ("ok", ["x.txt"])
    assert "secret could not be read, so it was left out: Permission denied." in notes(result)
    assert "closed/ could not be read, so it was left out: Permission denied." in notes(result)
    assert "secret could not be read" in log_of(folder)


def test_a_filter_that_fails_is_quoted_with_its_path_and_the_rest_is_kept(bench: Bench) -> None:
    result, folder = bench.run("git config filter.bad.clean false; git config filter.bad.required true; echo '*.bad filter=bad' > .gitattributes\n"
                               "echo x > x.txt; echo y > y.bad")
    assert (result.outcome, result.failure) == ("failed", "agent")
    assert "y.bad: clean filter 'bad' failed" in (result.reason or "")
    assert files(bench, folder) == [".gitattributes", "x.txt"]


@pytest.mark.parametrize("script", [
    "mkdir sub; cd sub; git init -q; echo a > a.txt; git add -A; git commit -qm a",
    "mkdir sub; cd sub; git init -q; echo a > a.txt",
    "mkdir sub; cd sub; git init -q; echo a > a.txt; git add -A; git commit -qm a; cd ..; git add -A 2> /dev/null; git commit -qm all",
    "mkdir sub; cd sub; git init -q; echo a > a.txt; git add -A; git commit -qm a; cd ..; git add -A 2> /dev/null; git commit -qm all\n"
    "echo b > sub/b.txt; git -C sub add -A; git -C sub commit -qm b; git commit -qam more; rm sub/b.txt"])
def test_the_files_of_a_nested_repository_are_handed_over(bench: Bench, script: str) -> None:
    result, folder = bench.run(script)
    assert (result.outcome, files(bench, folder)) == ("ok", ["sub/a.txt"]), result.reason
    assert notes(result) == "sub was a repository of its own without a remote: its files were committed, its history was put aside."
    assert "160000" not in git(bench.folder / f"taken-{folder.name}", "log", "--raw", "--format=", f"{result.base}..swarm-out")


@pytest.mark.parametrize("more", ["", "cd ..; git add -A 2> /dev/null; git commit -qm all"])
def test_a_nested_repository_with_a_remote_fails_the_attempt_and_is_named(bench: Bench, more: str) -> None:
    result, folder = bench.run("echo x > x.txt; mkdir sub; cd sub; git init -q; git remote add origin https://user:word@localhost/a.git\n"
                               f"echo a > a; git add a; git commit -qm a\n{more}")
    assert (result.outcome, result.failure) == ("failed", "agent")
    assert "sub is a repository of its own with the remote https://localhost/a.git" in (result.reason or "")
    assert files(bench, folder) == ["x.txt"]


@pytest.mark.parametrize("bit", ["--assume-unchanged", "--skip-worktree"])
def test_a_hidden_change_is_handed_over(bench: Bench, bit: str) -> None:
    result, folder = bench.run(f"echo x > x.txt; echo change >> README.md; git update-index {bit} README.md")
    assert (result.outcome, files(bench, folder)) == ("ok", ["x.txt"])
    assert git(bench.folder / f"taken-{folder.name}", "show", "swarm-out:README.md").endswith("change\n")


def test_a_sparse_checkout_deletes_nothing(bench: Bench) -> None:
    result, folder = bench.run("mkdir a b; echo a > a/a; echo b > b/b; git add -A; git commit -qm both; git sparse-checkout set a; echo x > a/x")
    assert (result.outcome, files(bench, folder)) == ("ok", ["a/a", "a/x", "b/b"])


def test_virtual_environments_and_byte_code_are_left_out(bench: Bench) -> None:
    result, folder = bench.run("mkdir -p .venv/lib node_modules/a app/__pycache__; echo 1 > .venv/lib/x; echo 2 > node_modules/a/x\n"
                               "echo 3 > app/__pycache__/c.pyc; echo 4 > app/core.py; git add -A; git commit -qm app\n"
                               "echo 5 > app/core.pyc; echo > .git/info/exclude")
    assert (result.outcome, files(bench, folder), result.ignored) == ("ok", ["app/core.py"], "")


def test_ignored_files_of_a_run_that_changed_nothing_are_named(bench: Bench) -> None:
    result, _ = bench.run("mkdir -p .git/info; echo 'out/' >> .git/info/exclude; mkdir out; echo result > out/result.txt")
    assert (result.outcome, result.ignored) == ("no_change", "1 file that the run made is ignored: out/result.txt.")


def test_ignored_files_are_named_where_a_check_fails(bench: Bench) -> None:
    result, _ = bench.run("echo 'dist/' > .gitignore; mkdir dist; for n in $(seq 10 34); do echo > dist/$n; done", checks=("test -e dist/10",))
    named = ", ".join(f"dist/{n}" for n in range(10, 30))
    assert result.reason == f"The check “test -e dist/10” failed with exit code 1. 25 files that the run made are ignored: {named} and 5 more."


def test_what_a_hook_made_is_not_committed(bench: Bench) -> None:
    result, folder = bench.run("echo x > x.txt; git add -A; git commit -qm x; echo more >> made; echo y > y.txt",
                               means=AgentSetup(hooks={"after_create": "echo made > made; echo 1 > 'odd [x] #1 '"}))
    assert (result.outcome, files(bench, folder), result.ignored) == ("ok", ["x.txt", "y.txt"], "")


def based_on(bench: Bench, **contents: str) -> None:
    """Further files in the integration branch, each in a commit of its own, exactly as they are."""
    git(bench.folder, "clone", "-q", "-b", INTEGRATION, str(bench.repository.path), "onto")
    clone = bench.folder / "onto"
    for name, text in contents.items():
        path = name.replace("__", ".")
        oid = git(clone, "hash-object", "-w", "--stdin", "--no-filters", input=text).strip()
        git(clone, "update-index", "--add", "--cacheinfo", f"100644,{oid},{path}")
        git(clone, "commit", "-q", "-m", path)
    git(clone, "push", "-q", "origin", INTEGRATION)


@pytest.mark.parametrize("script", ["echo x > x.txt", "echo x > x.txt; touch -d 2030-01-01 *.txt; git add -A . 2> /dev/null || true; git reset -q",
                                    "echo x > x.txt; git add -A; git commit -qm x", "echo '*.txt text' > .gitattributes; echo x > x.txt; touch old.txt"])
def test_a_rule_about_line_ends_changes_no_file_that_nobody_touched(bench: Bench, script: str) -> None:
    based_on(bench, old__txt="one\r\ntwo\r\n", **({} if ".gitattributes" in script else {"__gitattributes": "*.txt text\n"}))
    result, folder = bench.run(script)
    assert result.outcome == "ok"
    assert "old.txt" not in git(bench.take(folder), "diff", "--name-only", str(result.base), "swarm-out")


def test_files_that_attributes_send_to_lfs_must_be_pointers(bench: Bench) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\\noid sha256:1\\nsize 1\\n"
    result, _ = bench.run(f"echo '*.bin filter=lfs diff=lfs merge=lfs -text' > .gitattributes; printf '{pointer}' > good.bin\n"
                          "echo real > bad.bin; : > empty.bin")
    assert (result.outcome, result.failure) == ("failed", "agent")
    assert result.reason == "Git LFS has to keep these files, and it is not available here: bad.bin. Leave them out, or commit pointers."


def test_the_author_and_the_sign_off_of_a_repository_stand_in_every_commit(bench: Bench) -> None:
    ada, eve = "Ada Lovelace <ada@example.org>", "Eve <eve@localhost>"
    result, folder = bench.run(f"echo 1 > one; git add -A; git commit -q -m one -m 'Text.' -m 'Signed-off-by: {eve}'; echo 2 > two",
                               commits=Commits("Team <team@example.org>", ada), checks=("git log -1 --format=%B | grep -q '^Signed-off-by: Ada'",))
    assert (result.outcome, result.reason) == ("ok", None)
    clone, span = bench.take(folder), f"{result.base}..swarm-out"
    assert set(git(clone, "log", "--format=%an <%ae>", span).split("\n")[:-1]) == {"Team <team@example.org>"}
    assert git(clone, "log", "--format=%(trailers:key=Signed-off-by,valueonly)", span).split("\n") == [ada, "", ada, "", ""]
    assert git(clone, "log", "-1", "--format=%(trailers:key=Ticket,valueonly)", "swarm-out").strip() == "TKT-002", "in one block with the others"


def test_the_agents_own_commits_carry_its_profile_and_no_sign_off(bench: Bench) -> None:
    ada = "Ada <ada@localhost>"
    result, folder = bench.run(f"echo 1 > one; git add -A; git commit -q --author '{ada}' -m one -m 'A text.' -m 'Signed-off-by: {ada}'\n"
                               "git checkout -q -b side; echo 2 > two; git add -A; GIT_COMMITTER_NAME=Ben git commit -q -m two; git checkout -q -\n"
                               "git merge -q --no-ff -m joined side; echo 3 > three", checks=("test \"$(git log --format=%an | sort -u | wc -l)\" = 2",))
    assert (result.outcome, result.reason) == ("ok", None)
    clone = bench.take(folder)
    span = f"{result.base}..swarm-out"
    profile = "HITL Swarm runbook <runbook@localhost>"
    assert set(git(clone, "log", "--format=%an <%ae>|%cn <%ce>", span).split("\n")[:-1]) == {f"{profile}|{profile}"}
    assert git(clone, "log", "--format=%s", "--topo-order", span).split("\n")[:-1] == ["Greet people", "joined", "two", "one"]
    assert git(clone, "log", "-1", "--format=%B", "swarm-out~2") == "one\n\nA text.\n\n"
    assert git(clone, "rev-list", "--merges", "--count", span) == "1\n" and git(clone, "rev-parse", "swarm-out").strip() == result.tip
