"""A fetch says how far it is in the run's log, and can be stopped at any time; the store can be used again afterwards."""
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import GIT_ENV, HANG, git, until
from runner_bench import Bench, bench_of, log_of
from store_side import prepared

from engine.git.repository import Repository
from engine.host.processes import is_held, members
from engine.jobs import Source
from engine.stores.progress import Progress, words


@pytest.fixture()
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from bench_of("bubblewrap", tmp_path)


@pytest.fixture()
def remote(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main", "remote")
    (tmp_path / "remote" / "file").write_text("content\n")
    git(tmp_path / "remote", "add", "file")
    git(tmp_path / "remote", "commit", "-q", "-m", "First")
    return tmp_path / "remote"


@pytest.mark.parametrize("messages, size, sentence", [
    ("remote: Enumerating objects: 6208, done.\nremote: Counting objects:  45% (1/3)\r", None, "The other side prepares what will be fetched."),
    ("remote: Counting objects: 100% (3/3), done.\nReceiving objects:   0% (1/6208)\r", None, "Fetching 0 MB, 1 of 6,208 objects."),
    ("Receiving objects:   9% (1/10)\rReceiving objects:  45% (2794/6208), 175.48 MiB | 20.00 MiB/s\r", 250_000_000,
     "Fetching 184 of 250 MB, 2,794 of 6,208 objects."),
    ("Receiving objects:  99% (6200/6208), 300.00 MiB | 20.00 MiB/s\r", 250_000_000, "Fetching 315 of 315 MB, 6,200 of 6,208 objects."),
    ("Receiving objects: 100% (6208/6208), 1.20 GiB | 9 MiB/s, done.\nResolving deltas:  12% (3/25)\r", None,
     "Everything is here. Its parts are put together: 12 %."),
    ("error: \x1b[2J Receiving nothing at all", None, "")])
def test_gits_messages_become_a_sentence(messages: str, size: int | None, sentence: str) -> None:
    assert words(messages, size) == sentence


def test_the_messages_of_this_machines_git_are_understood(remote: Path, tmp_path: Path) -> None:
    told: list[str] = []
    with open(tmp_path / "messages", "wb") as file:
        subprocess.run(["git", "clone", "--progress", "--no-local", "--bare", str(remote), str(tmp_path / "copy")], stderr=file, check=True, env=GIT_ENV)
    progress = Progress(tmp_path / "messages", told.append)
    progress.look()
    progress.look()
    assert told == ["Fetching 0 MB, 3 of 3 objects."]


def test_a_fetch_that_is_stopped_leaves_nothing_and_the_next_one_works(bench: Bench, remote: Path) -> None:
    blob = git(remote, "rev-parse", "HEAD:file").strip()
    stuck = remote / ".git" / "objects" / blob[:2] / blob[2:]
    stuck.rename(bench.folder / "blob")
    os.mkfifo(stuck)  # git waits here until somebody writes
    store = bench.folder / "stores" / "REPO-1.git"
    bench.repository = Repository(bench.folder / "repos" / "one.git")
    job = bench.job(kind="prepare", source=Source(str(remote), None, ("file",), store=str(store)))
    folder, runner = bench.start(job)
    until(lambda: (folder / "fetch.messages").exists() and b"remote: Enumerating" in (folder / "fetch.messages").read_bytes(), HANG, "git works")
    until(lambda: "The other side prepares" in log_of(folder), HANG, "the log says so")
    assert is_held(store.with_name("REPO-1.git.lock"))
    runner.send_signal(signal.SIGTERM)
    runner.wait(HANG)
    assert list(members(job.run, folder)) == [] and not is_held(store.with_name("REPO-1.git.lock"))
    assert not (folder / "fetch.messages").exists()
    stuck.unlink()
    (bench.folder / "blob").rename(stuck)
    prepared(bench, remote, "one")
    git(store, "fsck", "--full")
    assert not list(store.rglob("tmp_*"))


def test_a_store_whose_fetch_was_killed_with_its_runner_is_used_again(bench: Bench, remote: Path) -> None:
    store = Repository(bench.folder / "stores" / "REPO-1.git")
    with store.locked():
        store.create()
    (store.path / "objects" / "pack" / "tmp_pack_x").write_bytes(b"half")
    (store.path / "packed-refs.lock").write_bytes(b"")
    store.path.with_name("REPO-1.git.lock").write_bytes(b"busy\n")
    prepared(bench, remote, "one")
    assert not list(store.path.rglob("tmp_*"))
