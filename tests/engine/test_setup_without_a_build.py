"""A setup that no build waits for, as the page of a repository wants it: from the newest commit, with the forge's login, and its folder goes in time."""
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HANG, git, require, until
from delivery_side import PROJECT, for_forge, served
from forge_http import TOKEN
from github_double import GitHubDouble
from real_engine import running

from engine.config import Config
from engine.environments import layers
from engine.environments.steps import Steps
from engine.loop import prune
from engine.repositories import decisions, snapshots, sources
from engine.store.db import Database


@pytest.fixture
def double(tmp_path: Path) -> Iterator[GitHubDouble]:
    with GitHubDouble(served(tmp_path)) as server:
        yield server
        assert server.faults == []


@pytest.fixture
def config(tmp_path: Path, double: GitHubDouble) -> Config:
    require("bwrap")
    return for_forge(Config(data=tmp_path / "data", runtime="bubblewrap", agent="runbook", slots=1, poll_seconds=0.2), double.url)


def test_a_private_repository_is_set_up_from_its_newest_commit_and_the_login_stays_outside(
        db: Database, config: Config, double: GitHubDouble, tmp_path: Path) -> None:
    repository = sources.row_for(db, config, "default", f"{double.url}/{PROJECT}.git")
    steps = Steps(setup=("cp README.md \"$HOME/readme\"; env",), hosts=("registry.example.org",))
    with running(db, config):
        decisions.write(db, repository, steps, "you")
        first = until(lambda: db.one("select id, outcome, reason from runs where ended_at is not null"), HANG, "the setup ends")
        assert first["outcome"] == "done", first["reason"]
        work = tmp_path / "origin-work"
        (work / "README.md").write_text("# Newer\n")
        git(work, "commit", "-q", "-a", "-m", "Newer")
        git(work, "push", "-q", str(tmp_path / "served" / f"{PROJECT}.git"), "main")
        decisions.build(db, repository, again=True)
        until(lambda: db.value("select count(*) from runs where outcome = 'done'") == 2, HANG, "it is made again")
    newest = snapshots.newest(db, repository["id"])
    assert newest and (layers.root(config.data) / newest["key"] / "home" / "readme").read_text() == "# Newer\n"
    log = (config.data / "runs" / first["id"] / "log").read_bytes()
    assert b"SWARM_WORK" in log and TOKEN.encode() not in log


def test_the_folder_of_a_setup_run_goes_after_its_days_and_its_row_stays(db: Database, config: Config, double: GitHubDouble) -> None:
    repository = sources.row_for(db, config, "default", f"{double.url}/{PROJECT}.git")
    with running(db, config):
        decisions.write(db, repository, Steps(setup=("true",)), "you")
        run = until(lambda: db.value("select id from runs where ended_at is not null"), HANG, "the setup ends")
    prune.prune(db, config)
    assert (config.data / "runs" / run).is_dir()
    db.execute("update runs set ended_at = '2020-01-01T00:00:00.000Z'")
    prune.prune(db, dataclasses.replace(config, keep_days=1))
    assert not (config.data / "runs" / run).exists() and db.value("select outcome from runs") == "done"
