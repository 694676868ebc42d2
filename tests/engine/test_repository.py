"""The host's bare repository: creating, fetching, locking, refs, names, and what people read of it."""
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from agent_side import WHEN, Agent, fresh, upstream
from conftest import GIT_ENV, HANG, git, until

from engine.config import ROOT
from engine.errors import Permanent, Transient
from engine.git import call as engine_git
from engine.git.git_errors import clean, failure
from engine.git.look import look
from engine.git.repository import Repository
from engine.host.processes import is_held

FILE = ("file",)


def test_a_fresh_repository_is_the_same_commit_each_time(tmp_path: Path) -> None:
    one, first = fresh(tmp_path / "one")
    two, second = fresh(tmp_path / "two")
    assert first == second == one.start_fresh("Another name", 5)
    assert git(two.path, "show", "main:README.md") == "# Demo\n"
    two.create()
    assert two.head("refs/heads/main") == first


def test_an_existing_repository_is_fetched_and_its_history_is_untouched(tmp_path: Path) -> None:
    source = upstream(tmp_path / "source", 200)
    before = git(source, "for-each-ref")
    repository, main = fresh(tmp_path)
    repository.fetch(str(source), FILE)
    repository.fetch(f"file://{source}", FILE)
    assert git(repository.path, "for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes/origin").split() == ["feature/a", "main", "old"]
    assert git(repository.path, "rev-list", "--count", "refs/remotes/origin/main").strip() == "200"
    assert git(repository.path, "rev-parse", "refs/remotes/origin/main") == git(source, "rev-parse", "main")
    assert git(source, "for-each-ref") == before and repository.head("refs/heads/main") == main
    git(source, "branch", "-q", "-D", "old")
    repository.fetch(str(source), FILE)
    assert repository.head("refs/remotes/origin/old") is None
    assert look(str(source), FILE).branch == "main"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to another user")
def test_a_repository_of_another_owner_can_be_fetched(tmp_path: Path) -> None:
    source = upstream(tmp_path / 'another "owner" \\ here')
    for path in (source, *source.rglob("*")):
        os.chown(path, 12345, 12345)
    repository, _ = fresh(tmp_path)
    with pytest.raises(Permanent, match="dubious ownership"):
        repository.git("fetch", "--", str(source), "+refs/heads/*:refs/remotes/origin/*", env={"GIT_ALLOW_PROTOCOL": "file"})
    repository.fetch(str(source), FILE)
    assert look(str(source), FILE).branch == "main"
    assert repository.head("refs/remotes/origin/main")


def test_a_protocol_that_is_not_named_is_refused(tmp_path: Path) -> None:
    source = upstream(tmp_path / "source")
    repository, _ = fresh(tmp_path)
    with pytest.raises(Permanent, match="'file' not allowed"):
        repository.fetch(str(source), ("https", "ssh"))
    with pytest.raises(Permanent, match="'file' not allowed"):
        repository.git("fetch", "--", str(source))


def test_a_missing_repository_is_permanent_and_an_unreachable_one_is_transient(tmp_path: Path) -> None:
    repository, _ = fresh(tmp_path)
    with pytest.raises(Permanent, match="does not appear to be a git repository"):
        repository.fetch(str(tmp_path / "nothing"), FILE)
    with pytest.raises(Transient):
        repository.fetch("https://name:secret@127.0.0.1:1/x.git", ("https",))
    assert "secret" not in clean(b"fatal: unable to access 'https://name:se@cret@host/x.git/': no")
    assert isinstance(failure("fetch", 128, b"fatal: unable to access 'x': The requested URL returned error: 503"), Transient)
    assert isinstance(failure("fetch", 128, b"git@h: Permission denied (publickey).\nConnection closed by remote host"), Permanent)
    assert isinstance(failure("merge-tree", 128, b"fatal: bad file 'connection reset'"), Permanent)


def test_a_git_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    repository, _ = fresh(tmp_path)
    mark = f"9{os.getpid()}.25"
    started = time.monotonic()
    with pytest.raises(Transient, match=r"longer than 0\.5 seconds"):
        repository.git("-c", f"alias.wait=!sleep {mark} & wait", "wait", timeout=0.5)
    with pytest.raises(Transient, match=r"longer than 0\.5 seconds"), \
            engine_git.stream_git(repository.path, "-c", f"alias.wait=!sleep {mark} & wait", "wait", timeout=0.5) as stream:
        stream.read()
    assert time.monotonic() - started < HANG
    until(lambda: not any(mark.encode() in _command(pid) for pid in os.listdir("/proc") if pid.isdigit()), what="the children are gone")


def _command(pid: str) -> bytes:
    try:
        return Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return b""


def test_no_configuration_from_outside_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitconfig").write_text("[alias]\n\tsneak = !echo sneaked\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    with pytest.raises(Permanent):
        engine_git.run_git(None, "sneak")
    assert engine_git.git_version() >= (2, 38) and engine_git.check_git() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Install git" in (engine_git.check_git() or "")
    (tmp_path / "git").write_text("#!/bin/sh\necho git version 2.30.1\n")
    (tmp_path / "git").chmod(0o755)
    assert "2.30.1 is too old" in (engine_git.check_git() or "")


def test_the_lock_lets_one_in_and_says_when_it_is_busy(tmp_path: Path) -> None:
    repository, _ = fresh(tmp_path)
    with repository.locked():
        with pytest.raises(Transient, match="busy"), Repository(repository.path).locked(wait=0.05):
            pytest.fail("two are in")
    with repository.locked(wait=0):
        pass


HOLDER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from engine.git.look import look
from engine.git.repository import Repository
repository = Repository(Path(sys.argv[2]))
with repository.locked():
    repository.git("-c", "alias.wait=!touch " + sys.argv[3] + "; while test -e " + sys.argv[3] + "; do sleep 0.02; done", "wait")
"""


def test_the_lock_stays_held_while_git_of_a_killed_process_lives_and_then_stale_locks_are_swept(tmp_path: Path) -> None:
    repository, main = fresh(tmp_path)
    lock, flag = repository.path.with_name("session.git.lock"), tmp_path / "flag"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(ROOT), str(repository.path), str(flag)])
    try:
        until(flag.exists)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert is_held(lock)
        stale = [repository.path / name for name in ("refs/heads/main.lock", "packed-refs.lock", "objects/pack/tmp_pack_x", "objects/ab/tmp_obj_y")]
        for path in stale:
            path.parent.mkdir(exist_ok=True)
            path.touch()
        (repository.path / "objects" / "incoming-r1" / "pack").mkdir(parents=True)
    finally:
        flag.unlink(missing_ok=True)
    until(lambda: not is_held(lock))
    with pytest.raises(Transient):
        repository.set_branch("main", _next(repository, main), old=main)
    with repository.locked():
        assert not any(path.exists() for path in stale) and not list(repository.path.glob("objects/incoming-*"))
        repository.set_branch("main", _next(repository, main), old=main)


def _next(repository: Repository, parent: str) -> str:
    return repository.commit(f"{parent}^{{tree}}", (parent,), "Next", WHEN)


def test_after_a_clean_exit_nothing_is_swept_and_after_an_error_it_is(tmp_path: Path) -> None:
    repository, _ = fresh(tmp_path)
    other = repository.path / "refs" / "heads" / "x.lock"
    other.touch()
    with repository.locked():
        assert other.exists()
    with pytest.raises(ValueError), repository.locked():
        raise ValueError
    with repository.locked():
        assert not other.exists()


def test_a_branch_is_set_only_from_where_it_was(tmp_path: Path) -> None:
    repository, main = fresh(tmp_path)
    later = _next(repository, main)
    repository.set_branch("b", main)
    repository.set_branch("b", main)
    with pytest.raises(Transient, match="moved by somebody else"):
        repository.set_branch("b", later)
    repository.set_branch("b", later, old=main)
    repository.set_branch("b", later, old=main)
    assert repository.head("refs/heads/b") == later
    assert repository.is_ancestor(main, later) and not repository.is_ancestor(later, main)
    with pytest.raises(Permanent):
        repository.set_branch("c", "1" * 40)
    with pytest.raises(Permanent):
        repository.set_branch("b/under", main)
    repository.delete_ref("refs/heads/b")
    repository.delete_ref("refs/heads/b")
    assert repository.head("refs/heads/b") is None and repository.head("--all") is None


def test_a_bundle_can_be_cloned_by_branch(tmp_path: Path) -> None:
    repository, main = fresh(tmp_path)
    repository.bundle(tmp_path / "in.bundle", ["refs/heads/main"])
    subprocess.run(["git", "clone", "-q", "-b", "main", str(tmp_path / "in.bundle"), str(tmp_path / "clone")], check=True, env=GIT_ENV)
    assert git(tmp_path / "clone", "rev-parse", "HEAD").strip() == main
    with pytest.raises(Permanent):
        repository.bundle(tmp_path / "bad.bundle", ["refs/heads/none"])
    with pytest.raises(Permanent):
        repository.bundle(tmp_path / "bad.bundle", ["--all"])
    assert not (tmp_path / "bad.bundle").exists()


def test_people_can_read_the_diff_the_files_the_log_and_an_archive(tmp_path: Path) -> None:
    repository, main = fresh(tmp_path)
    agent = Agent(repository, tmp_path / "agent", main)
    git(agent.folder, "mv", "README.md", "READ ME.md")
    (agent.folder / "latin").write_bytes(b"caf\xe9\n")
    (agent.folder / "binary").write_bytes(bytes(range(256)))
    tip = agent.commit({"a.txt": "one\ntwo\n"}, "Subject with \x1b[31m colour")
    repository.git("fetch", "--", str(agent.folder), "+refs/heads/swarm-out:refs/heads/work", env={"GIT_ALLOW_PROTOCOL": "file"})
    assert {tuple(file) for file in repository.changed_files(main, tip)} == {
        ("a.txt", 2, 0), ("READ ME.md", 0, 0), ("latin", 1, 0), ("binary", None, None)}
    whole = repository.diff(main, tip, 100_000)
    assert "rename to READ ME.md" in whole and "caf\\xe9" in whole and "+two\n" in whole and "cut here" not in whole
    cut = repository.diff(main, tip, 150)
    assert cut.endswith("cut here.\n") and len(cut) < 250
    assert repository.diff(tip, tip, 100) == ""
    graph = repository.log_graph("work", main, 10)
    assert "\x1b" not in graph and "Subject with" in graph and len(graph.splitlines()) == 1
    file = io.BytesIO()
    repository.archive("work", file)
    assert "work/a.txt" in zipfile.ZipFile(file).namelist()
    with pytest.raises(Permanent):
        repository.archive("missing", io.BytesIO())
