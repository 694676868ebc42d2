"""A look at a repository before a build uses it, with real repositories of every odd kind."""
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_side import upstream
from conftest import GIT_ENV, git

from engine.errors import BadRequest, Damaged
from engine.git.look import Look, look
from engine.git.repository import Repository
from engine.git.source import validate_source

FILE = ("file",)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return upstream(tmp_path_factory.mktemp("look") / "source", 5)


def at(path: Path, branch: str | None = None) -> Look:
    return look(*validate_source(str(path), (path.parent,), "https://h/{repository}", ("https",)), branch)


def init(path: Path, *options: str) -> Path:
    subprocess.run(["git", "init", "-q", "-b", "main", *options, str(path)], check=True, env=GIT_ENV)
    return path


def test_a_whole_repository_is_usable(source: Path) -> None:
    seen = at(source)
    assert (seen.state, seen.sentence, seen.branch, seen.branches, seen.notes) == ("usable", "", "main", 3, ())
    assert seen.head == git(source, "rev-parse", "main").strip() and seen.bytes
    assert at(source, "feature/a").branch == "feature/a"


def test_a_shallow_clone_a_linked_work_tree_and_a_submodule_are_usable(source: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth", "2", f"file://{source}", "shallow")
    git(tmp_path, "clone", "-q", str(source), "whole")
    git(tmp_path / "whole", "worktree", "add", "-q", "../linked", "-b", "other")
    init(tmp_path / "outer")
    git(tmp_path / "outer", "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(source), "inner")
    shallow, linked = at(tmp_path / "shallow"), at(tmp_path / "linked")
    assert shallow.state == "usable" and shallow.shallow and "shallow clone" in shallow.notes[0]
    assert (linked.state, linked.branch, linked.linked) == ("usable", "other", True) and f"work tree of {tmp_path / 'whole'}" in linked.notes[0]
    inner = look(*validate_source(str(tmp_path / "outer" / "inner"), (tmp_path,), "https://h/{repository}", ("https",)))
    assert (inner.state, inner.branch, inner.linked) == ("usable", "main", False)


def test_an_empty_repository_names_the_branch_of_its_first_commit(tmp_path: Path) -> None:
    seen = at(init(tmp_path / "empty", "-b", "trunk"))
    assert (seen.state, seen.branch) == ("empty", "trunk") and "Make a first commit there" in seen.sentence
    assert at(tmp_path / "empty", "develop").branch == "develop"
    assert at(init(tmp_path / "bare", "--bare")).state == "empty"


def test_other_object_formats_and_partial_clones_are_said(source: Path, tmp_path: Path) -> None:
    sha256 = init(tmp_path / "sha256", "--object-format=sha256")
    assert at(sha256).state == "unsupported"
    git(sha256, "commit", "-q", "--allow-empty", "-m", "x")
    seen = at(sha256)
    assert (seen.state, seen.format) == ("unsupported", "sha256") and "Name a repository with sha1 objects." in seen.sentence
    git(source, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", "--no-checkout", f"file://{source}", "partial")
    seen = at(tmp_path / "partial")
    assert seen.partial and "--refetch" in seen.notes[0]


def test_a_branch_that_is_not_there_is_said_with_those_that_are(source: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(source), "one.git")
    path = tmp_path / "one.git"
    git(path, "tag", "v1", "main")
    git(path, "tag", "twice", "old")
    git(path, "branch", "twice", "main")
    git(path, "branch", "a'b;$(x)&ö", "main")
    assert at(path, "gone").sentence.startswith("The branch gone is not there. It has: a'b;$(x)&ö, feature/a, main, old, twice.")
    assert "v1 is a tag. Make a branch there" in at(path, "v1").sentence
    assert "Did you mean main?" in at(path, "origin/main").sentence and "Did you mean main?" in at(path, "Main").sentence
    assert at(path, "twice").head == git(path, "rev-parse", "refs/heads/main").strip()  # never the tag of that name
    assert at(path, "a'b;$(x)&ö").state == "usable" and at(path, "eature/a").state == "no_branch" and at(path, "a").state == "no_branch"
    git(path, "update-ref", "--no-deref", "HEAD", "main")
    seen = at(path)
    assert (seen.state, seen.detached) == ("no_branch", True) and "detached" in seen.sentence and "Set base_branch" in seen.sentence
    git(path, "symbolic-ref", "HEAD", "refs/heads/nothing")
    assert "nothing, which its HEAD names, is not there" in at(path).sentence
    git(path, "branch", "swarm", "main")
    assert "below swarm/" in at(path, "main").notes[0]


def test_what_cannot_be_reached_or_is_not_there_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        seen = look(f"https://127.0.0.1:{port}/a/b.git", ("https",), seconds=0.5)
        assert seen.state == "unreachable" and "took longer than 0.5 seconds. Check the address" in seen.sentence
    for url, protocol in ((f"https://127.0.0.1:{port}/a/b.git", "https"), (f"ssh://git@127.0.0.1:{port}/a/b", "ssh")):
        seen = look(url, (protocol,))
        assert seen.state == "unreachable" and seen.sentence.startswith(f"{url} cannot be reached now: ")
    gone = look(str(tmp_path / "gone"), FILE)
    assert gone.state == "not_there" and gone.sentence.startswith(f"{tmp_path / 'gone'} is not there")


def _cut_object(path: Path, name: str) -> None:
    sha = git(path, "rev-parse", name).strip()
    file = path / ".git" / "objects" / sha[:2] / sha[2:]
    file.chmod(0o600)
    file.write_bytes(b"")


def _spoil_pack(path: Path) -> None:
    git(path, "gc", "-q")
    pack = next((path / ".git" / "objects" / "pack").glob("*.pack"))
    pack.chmod(0o600)
    content = bytearray(pack.read_bytes())
    content[len(content) // 2:len(content) // 2 + 20] = b"x" * 20
    pack.write_bytes(content)


@pytest.mark.parametrize(("spoil", "line"), [
    (lambda path: _cut_object(path, "HEAD"), "is empty"),
    (lambda path: _cut_object(path, "HEAD~1^{tree}"), "is empty"),
    (lambda path: next((path / ".git" / "objects" / (sha := git(path, "rev-parse", "HEAD:README.md").strip())[:2]).glob(sha[2:])).unlink(), "unable to read"),
    (_spoil_pack, "inflate|pack|corrupt"),
    (lambda path: (path / ".git" / "refs" / "heads" / "junk").write_text("junk\n"), "not our ref 0{40}"),
])
def test_damage_is_no_passing_trouble_and_is_named_with_gits_line(tmp_path: Path, spoil: Callable[[Path], object], line: str) -> None:
    path = init(tmp_path / "mine")
    for number in range(3):
        (path / "README.md").write_text(f"{number}\n" * 50)
        git(path, "add", "-A")
        git(path, "commit", "-q", "-m", "x")
    spoil(path)
    own = Repository(tmp_path / "own.git")
    own.create()
    with pytest.raises(Damaged, match=f"a repository is damaged: .*({line})"):
        own.fetch(str(path), FILE)


def test_damage_that_a_look_can_see_is_said(source: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(source), "one")
    (tmp_path / "one/.git/refs/heads/junk").write_text("junk\n")
    assert at(tmp_path / "one").sentence == "The repository is damaged: refs/heads/junk names no commit. Repair or delete it there."
    (tmp_path / "one/.git/HEAD").write_text("junk\n")
    assert at(tmp_path / "one").state == "damaged" and "its HEAD or its configuration" in at(tmp_path / "one").sentence


def test_borrowed_objects_must_be_there_and_below_a_root(source: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(source), "lender.git")
    git(tmp_path, "clone", "-q", "--shared", "--bare", "lender.git", "borrower.git")
    borrower = tmp_path / "borrower.git"
    assert at(borrower).state == "usable"
    root = tmp_path / "root"
    root.mkdir()
    borrower.rename(root / "borrower.git")
    with pytest.raises(BadRequest, match=f"uses objects from {tmp_path}/lender.git/objects, which is not below {root}"):
        at(root / "borrower.git")
    (tmp_path / "lender.git").rename(root / "moved.git")
    (root / "borrower.git/objects/info/alternates").write_text(f"{root}/lender.git/objects\n")
    assert "which is not there. Put that folder back" in at(root / "borrower.git").sentence


def test_a_git_file_leads_nowhere_outside_the_roots(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    git(tmp_path, "clone", "-q", str(source), "outside")
    git(tmp_path / "outside", "worktree", "add", "-q", str(root / "linked"), "-b", "x")
    with pytest.raises(BadRequest, match=f"keeps its files in {tmp_path}/outside/.git/worktrees/linked, which is not below {root}"):
        at(root / "linked")
    (root / "forged" / ".git").mkdir(parents=True)
    (root / "forged/.git/HEAD").write_text("ref: refs/heads/main\n")
    (root / "forged/.git/commondir").write_text(f"{tmp_path}/outside/.git\n")
    with pytest.raises(BadRequest, match=f"keeps its files in {tmp_path}/outside/.git, "):
        at(root / "forged")
    (root / "linked/.git").write_text(f"gitdir: {root}/gone\n")
    with pytest.raises(BadRequest, match="not a git repository any more"):
        at(root / "linked")


def test_a_path_that_is_no_repository_is_told_as_what_it_is(source: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(source), "one")
    (tmp_path / "one/src").mkdir()
    (tmp_path / "one/README.md").touch()
    (tmp_path / "plain").mkdir()
    for path, sentence in ((tmp_path / "one/src", f"is a folder inside the repository {tmp_path / 'one'}. Name that repository instead."),
                           (tmp_path / "one/README.md", "is a file, not the folder"), (tmp_path / "gone", "is not there: there is no such folder"),
                           (tmp_path / "plain", "is not a git repository: it has no HEAD")):
        with pytest.raises(BadRequest, match=sentence):
            validate_source(str(path), (tmp_path,), "https://h/{repository}", ("https",))
    with pytest.raises(BadRequest, match="cannot be used"):  # nothing is said about other places
        validate_source("/nowhere/at/all", (tmp_path,), "https://h/{repository}", ("https",))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to another user")
def test_a_repository_of_another_user_can_be_looked_at_and_says_that_it_takes_no_result(source: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(source), "whole")
    git(tmp_path / "whole", "worktree", "add", "-q", "../linked", "-b", "other")
    for path in (tmp_path / "whole", tmp_path / "linked", *tmp_path.glob("*/**/*")):
        os.chown(path, 12345, 12345)
    for name in ("whole", "linked"):
        seen = at(tmp_path / name)
        assert seen.state == "usable" and "belongs to another user" in seen.notes[-1]


def test_a_look_runs_nothing_of_the_repository_and_changes_nothing(source: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(source), "one")
    path, mark = tmp_path / "one", tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho \"$0 $*\" >> {mark}\nexit 1\n")
    program.chmod(0o755)
    for hook in ("post-checkout", "pre-auto-gc", "reference-transaction", "post-index-change", "fsmonitor-watchman", "pre-receive"):
        (path / ".git/hooks").mkdir(exist_ok=True)
        (path / ".git/hooks" / hook).symlink_to(program)
    (tmp_path / "more").write_text(f"[core]\n\tfsmonitor = {program}\n\tpager = {program}\n\tsshCommand = {program}\n\tgitProxy = {program}\n"
                                   f"\talternateRefsCommand = {program}\n\taskPass = {program}\n[uploadpack]\n\tpackObjectsHook = {program}\n"
                                   f"[filter \"x\"]\n\tsmudge = {program}\n\tclean = {program}\n[credential]\n\thelper = {program}\n"
                                   f"[remote \"origin\"]\n\tuploadpack = {program}\n\tpromisor = true\n\turl = ext::{program}\n"
                                   f"[url \"ext::{program} \"]\n\tinsteadOf = /\n[extensions]\n\tpartialClone = origin\n[alias]\n\tls-remote = !{program}\n")
    with open(path / ".git/config", "a", encoding="utf-8") as config:
        config.write((tmp_path / "more").read_text() + f"[include]\n\tpath = {tmp_path / 'more'}\n")
    (path / ".gitattributes").write_text("* filter=x\n")
    before = sorted((file, file.stat().st_mtime_ns) for file in path.rglob("*"))
    assert at(path).state == "usable" and at(path).partial
    assert not mark.exists()
    assert sorted((file, file.stat().st_mtime_ns) for file in path.rglob("*")) == before


def test_a_storage_of_refs_that_this_git_cannot_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = init(tmp_path / "one")
    git(path, "config", "extensions.refstorage", "reftable")
    (tmp_path / "bin").mkdir()
    real = subprocess.run(["sh", "-c", "command -v git"], check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / "bin/git").write_text(f"#!/bin/sh\ncase \"$*\" in *\" version\") echo git version 2.39.5 ;; *) exec {real} \"$@\" ;; esac\n")
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert "stores its branches as reftable, which git 2.39.5 on this machine cannot read" in at(path).sentence
