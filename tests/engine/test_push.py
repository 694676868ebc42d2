"""Pushing to real git servers: a bare path with hooks, git http-backend with a login, sshd. What they refuse is said clearly."""
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from agent_side import Agent, fresh
from conftest import git, require, until
from forge_http import TOKEN, Server, head_of

from engine.delivery.push import Remote, push
from engine.errors import Permanent, TokenRefused, Transient, Unreachable
from engine.git.repository import Repository

BRANCH = "swarm/abc/tkt-001-x"


class Bench:
    """A session's repository with two commits beyond main, and an empty remote one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository, self.base = fresh(folder)
        agent = Agent(self.repository, folder / "agent", self.base)
        self.first = agent.commit({"a.txt": "1"})
        self.tip = agent.commit({"a.txt": "2"})
        git(self.repository.path, "fetch", "-q", str(folder / "agent"), "swarm-out:refs/heads/kept")
        self.bare = folder / "served" / "acme" / "widget.git"
        git(folder, "init", "-q", "--bare", "-b", "main", str(self.bare))
        git(self.repository.path, "push", "-q", str(self.bare), f"{self.base}:refs/heads/main")

    def push(self, tip: str | None = None, ours: str | None = None, branch: str = BRANCH, remote: Remote | None = None) -> bool:
        return push(self.repository, remote or Remote(str(self.bare), ("file",)), branch, tip or self.tip, ours)

    def head(self, branch: str = BRANCH) -> str | None:
        return head_of(self.bare, branch)

    def hook(self, name: str, text: str) -> None:
        path = self.bare / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def refused(self, kind: type = Permanent) -> str:
        with pytest.raises(kind) as raised:
            self.push()
        assert type(raised.value) is kind and self.head() is None
        return raised.value.sentence


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_a_branch_is_pushed_once_and_moved_on(bench):
    assert bench.push(bench.first) and bench.head() == bench.first
    assert not bench.push(bench.first), "what is there is not pushed again"
    assert bench.push() and bench.head() == bench.tip
    assert bench.head("main") == bench.base


def test_what_others_put_there_is_never_overwritten(bench):
    bench.push()
    clone = bench.folder / "clone"
    git(bench.folder, "clone", "-q", "-b", BRANCH, str(bench.bare), str(clone))
    git(clone, "commit", "-q", "--allow-empty", "-m", "theirs")
    git(clone, "push", "-q", "origin", BRANCH)
    theirs = bench.head()
    with pytest.raises(Permanent, match="moved by somebody else"):
        bench.push(ours=bench.tip)
    assert bench.head() == theirs


def test_our_own_commit_that_is_not_in_the_new_one_is_replaced(bench):
    bench.push()
    assert bench.push(bench.first, ours=bench.tip) and bench.head() == bench.first


@pytest.mark.parametrize("branch", ["main", "feature", "refs/heads/main", "swarmed/x"])
def test_no_branch_but_ours_is_ever_pushed(bench, branch):
    with pytest.raises(Permanent, match="pushes to no other branches"):
        bench.push(branch=branch)
    assert bench.head("main") == bench.base


@pytest.mark.parametrize("name", ["swarm", "swarm/abc"])
def test_a_branch_that_is_in_the_way_is_named(bench, name):
    git(bench.bare, "branch", name, "main")
    assert f"a branch named {name}," in bench.refused()


REFUSALS = {
    "A hook of the remote": ("pre-receive", "echo 'no pushes on Friday' >&2; exit 1"),
    "protects swarm/abc/tkt-001-x": ("update", "echo 'error: GH006: Protected branch update failed for refs/heads/x.' >&2; exit 1"),
    "push of this size": ("pre-receive", "echo 'error: File big.bin is 120.00 MB; this exceeds GitHub'\"'\"'s file size limit of 100.00 MB' >&2; exit 1"),
    "may not change workflow files": (
        "update", "echo 'refusing to allow a Personal Access Token to create or update workflow `x` without `workflow` scope' >&2; exit 1"),
}


@pytest.mark.parametrize("sentence", REFUSALS)
def test_what_a_remote_refuses_becomes_a_sentence(bench, sentence):
    bench.hook(*REFUSALS[sentence])
    assert sentence in bench.refused()


def test_the_words_of_a_hook_are_passed_on(bench):
    bench.hook("pre-receive", "printf 'no pushes on \\033[31mFriday\\033[0m\\n' >&2; exit 1")
    said = bench.refused()
    assert "no pushes on" in said and "\x1b" not in said


def test_a_quota_is_worth_another_try(bench):
    bench.hook("pre-receive", "echo 'fatal: disk quota exceeded' >&2; exit 1")
    assert "no room" in bench.refused(Transient)


def test_a_pack_that_is_too_large_is_refused(bench):
    git(bench.bare, "config", "receive.maxInputSize", "10")
    assert "not accept a push of this size" in bench.refused()


def test_a_branch_that_moves_in_the_same_moment_is_looked_at_again(bench):
    """The hook plays whoever else pushes: after we have looked, before our push is done."""
    git(bench.bare, "branch", "held", "main")
    bench.hook("pre-receive", f"env -i PATH=\"$PATH\" git -C {bench.bare} update-ref refs/heads/{BRANCH} {bench.base}")
    with pytest.raises(Transient, match="at the same time"):
        bench.push()
    shutil.rmtree(bench.bare / "hooks")
    assert bench.push() and bench.head() == bench.tip


def test_the_folder_of_another_user_is_left_alone(bench):
    if os.geteuid():
        pytest.skip("needs root, to give a folder to somebody else")
    for path in (bench.bare, *bench.bare.rglob("*")):
        os.chown(path, 65534, 65534)
    assert "belongs to another user" in bench.refused()


def test_a_repository_that_is_gone(bench):
    shutil.rmtree(bench.bare)
    with pytest.raises(Permanent, match="is not there"):
        bench.push()


@pytest.fixture
def served(bench):
    git(bench.bare, "config", "http.receivepack", "true")
    with Server(bench.folder / "served") as server:
        yield server


def remote(server: Server, token: str = TOKEN) -> Remote:
    return Remote(f"{server.url}/acme/widget.git", ("http",), token)


def test_over_http_with_a_token_that_is_nowhere_to_be_seen(bench, served):
    assert bench.push(remote=remote(served)) and bench.head() == bench.tip
    assert TOKEN not in "".join(path for _, path, _ in served.seen)
    kept = b"".join(path.read_bytes() for path in bench.repository.path.rglob("*") if path.is_file())
    assert TOKEN.encode() not in kept and TOKEN not in repr(remote(served))


def test_git_has_the_token_in_its_environment_alone(bench, served):
    """Looked at while it runs: the server holds the push, and /proc shows what anybody on this machine could see."""
    lines: list[bytes] = []

    def look(method: str, path: str):
        if method == "POST":
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    lines.append(process.read_bytes())
                except OSError:
                    continue
    served.mood = look
    bench.push(remote=remote(served))
    assert any(b"git" in line and b"push" in line for line in lines)
    assert not any(TOKEN.encode() in line for line in lines)


def test_a_wrong_token_is_told_from_missing_rights(bench, served):
    with pytest.raises(TokenRefused, match="did not accept our login"):
        bench.push(remote=remote(served, "wrong-token-wrong"))
    served.mood = lambda method, path: (403, {}, b"no")
    with pytest.raises(Permanent, match="may not push") as raised:
        bench.push(remote=remote(served))
    assert type(raised.value) is Permanent


@pytest.mark.parametrize(("status", "kind", "sentence"), [
    (404, Permanent, "not found"), (413, Permanent, "size"), (500, Unreachable, "500"), (503, Unreachable, "503"), (429, Transient, "429")])
def test_statuses_of_a_git_server(bench, served, status, kind, sentence):
    served.mood = lambda method, path: (status, {}, b"x")
    with pytest.raises(kind, match=sentence) as raised:
        bench.push(remote=remote(served))
    assert type(raised.value) is kind and bench.head() is None


def test_a_redirect_never_carries_the_token(bench, served, tmp_path):
    with Server(tmp_path / "other") as other:
        served.mood = lambda method, path: (301, {"Location": f"http://localhost:{other.port}{path}"}, b"")
        with pytest.raises(Permanent, match="has moved"):
            bench.push(remote=remote(served))
        assert other.seen == []


def test_a_server_that_is_not_there_is_worth_another_try(bench):
    with Server(bench.folder) as gone:
        pass
    with pytest.raises(Transient):
        bench.push(remote=remote(gone))


class Known(Remote):
    """To a server whose key is taken as it is: what a person's known_hosts does."""

    @contextmanager
    def reached(self) -> Iterator[dict[str, str]]:
        with super().reached() as env:
            yield {**env, "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null"}


def test_over_ssh(bench, tmp_path):
    sshd = shutil.which("sshd") or next((path for path in ("/usr/sbin/sshd",) if os.path.exists(path)), "sshd")
    require(sshd)
    require("ssh-agent")
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
    shutil.copy(keys / "user.pub", keys / "authorized")
    os.makedirs("/run/sshd", exist_ok=True)
    with Server(tmp_path) as free:
        port = free.port
    argv = [sshd, "-D", "-e", "-f", "/dev/null", "-p", str(port), "-h", str(keys / "host"), "-o", f"AuthorizedKeysFile={keys / 'authorized'}",
            "-o", "ListenAddress=127.0.0.1", "-o", "StrictModes=no", "-o", "UsePAM=no", "-o", "PidFile=none"]
    daemon = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(keys / "agent")], stdout=subprocess.DEVNULL)
    url = f"ssh://{os.environ.get('USER') or 'root'}@127.0.0.1:{port}{bench.bare}"
    before = os.environ.get("SSH_AUTH_SOCK")
    try:
        until(lambda: (keys / "agent").exists())
        subprocess.run(["ssh-add", "-q", str(keys / "user")], env={**os.environ, "SSH_AUTH_SOCK": str(keys / "agent")}, check=True)
        os.environ["SSH_AUTH_SOCK"] = str(keys / "agent")
        assert daemon.stderr is not None and any("listening" in line for line in iter(daemon.stderr.readline, "") if "listening" in line)
        with pytest.raises(Permanent, match="host key of the remote server"):
            bench.push(remote=Remote(url, ("ssh",)))
        assert bench.push(remote=Known(url, ("ssh",))) and bench.head() == bench.tip
    finally:
        os.environ.pop("SSH_AUTH_SOCK") if before is None else os.environ.update(SSH_AUTH_SOCK=before)
        for process in (daemon, agent):
            process.terminate()
            process.wait()
        if daemon.stderr:
            daemon.stderr.close()


def test_a_commit_that_only_the_remote_has_is_no_ancestor(bench):
    """Its object is unknown here: that is somebody else's work, not an error of git."""
    git(bench.folder, "init", "-q", "-b", "main", "stranger")
    git(bench.folder / "stranger", "commit", "-q", "--allow-empty", "-m", "unrelated")
    git(bench.folder / "stranger", "push", "-q", str(bench.bare), f"main:refs/heads/{BRANCH}")
    with pytest.raises(Permanent, match="moved by somebody else"):
        bench.push()
    assert Repository(bench.repository.path).head(bench.head()) is None
