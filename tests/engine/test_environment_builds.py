"""A build in a repository with dependencies: the steps are proposed, approved once, made once, and every sandbox stands on what they made."""
import os
from pathlib import Path

import pytest
from conftest import HANG, build, state, until
from environment_side import STEPS, approved, card, in_bubblewrap, make_remote, request
from real_engine import completed, feature, running

from engine.config import Config
from engine.environments import layers
from engine.environments.steps import Steps, digest
from engine.host.folders import remove
from engine.loop.prune.environments import prune_environments
from engine.repositories import requests, sources, versions
from engine.repositories.rows import RepositoryRow
from engine.store.db import Database
from engine.tickets import answers
from engine.tickets.requests import GO_ON


@pytest.fixture()
def config(tmp_path: Path) -> Config:
    return in_bubblewrap(tmp_path)


@pytest.fixture()
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path)


def test_approved_steps_are_made_once_and_all_sandboxes_stand_on_them(db: Database, config: Config, remote: Path) -> None:
    approved(db, config, remote)
    session = build(db, config, card(remote))
    with running(db, config):
        completed(db, session)
        second = build(db, config, card(remote))
        completed(db, second)
    assert db.value("select count(*) from runs where kind = 'setup'") == 1
    key = db.value("select key from environments")
    assert (layers.root(config.data) / key / "home" / "count").read_text() == "once\n"
    assert [row[0] for row in db.all("select distinct environment from tickets where type = 'epic'")] == [key]
    assert db.value("select count(*) from requests") == 0


def test_what_was_found_is_proposed_and_nothing_runs_before_it_is_approved(db: Database, config: Config, remote: Path) -> None:
    session = build(db, config, card(remote))
    with running(db, config):
        asked = request(db)
        assert asked["kind"] == "environment" and requests.APPROVE in asked["options"]
        assert ".venv/bin/pip install -r requirements.txt" in asked["body"] and "It may reach pypi." in asked["body"], "what will run is said before"
        assert db.value("select count(*) from runs where kind in ('setup', 'feature')") == 0
        assert db.value("select status from tickets where type = 'epic'") == "needs_input"
        proposal = versions.proposed(db, db.value("select id from repositories"))
        assert proposal and proposal["source"] == "detected" and "requirements.txt" in proposal["found"]
        answers.answer_request(db, "default", asked["seq"], requests.WITHOUT)
        without = request(db)
        assert without["kind"] == "baseline" and "The program tool is not in the sandbox" in without["body"]
        answers.answer_request(db, "default", without["seq"], GO_ON)
        until(lambda: db.value("select count(*) from runs where kind = 'feature' and ended_at is not null"), HANG, "the features go on without")
    assert db.value("select environment from tickets where type = 'epic'") is None
    assert state(db, session) == "building"


def test_a_setup_that_fails_asks_and_uses_up_no_attempt(db: Database, config: Config, remote: Path) -> None:
    repository = approved(db, config, remote, Steps(setup=("echo broken >&2; exit 7",)))
    session = build(db, config, card(remote))
    with running(db, config):
        asked = request(db)
        assert "failed with exit code 7" in asked["body"] and "broken" in asked["body"] and "No ticket has used up an attempt" in asked["body"]
        assert db.value("select sum(failures) from tickets") == 0
        versions.propose(db, repository, STEPS, "page")
        versions.approve(db, repository["id"], digest(STEPS), "you")
        answers.answer_request(db, "default", asked["seq"], requests.AGAIN)
        completed(db, session)
    assert [row[0] for row in db.all("select outcome from runs where kind = 'setup' order by seq")] == ["failed", "done"]


def test_a_repository_of_the_sessions_own_has_no_environment(db: Database, config: Config) -> None:
    session = build(db, config, {"name": "Fresh", "features": [feature("A", "echo a > a.txt")]})
    with running(db, config):
        completed(db, session)
    assert db.value("select count(*) from repositories") == 0 and db.value("select count(*) from runs where kind = 'setup'") == 0


def snapshot(db: Database, config: Config, repository: RepositoryRow, key: str, used_at: str = "2020-01-01T00:00:00.000Z", size: int = 1000) -> Path:
    """An environment as a setup run leaves it."""
    folder = layers.temporary(config.data, key, "run-x")
    (folder / "repo" / "file").write_text("made")
    layers.finish(config.data, key, folder, 1.0, {}, Steps(), {})
    db.execute("insert into environments (tenant_id, repository_id, key, sha256, commit_sha, state, bytes, built_at, used_at)"
               " values ('default', ?, ?, 's', 'c', 'ready', ?, ?, ?)", (repository["id"], key, size, used_at, used_at))
    return layers.root(config.data) / key


def test_what_no_build_uses_is_removed_after_its_days_or_when_all_are_too_large(db: Database, config: Config, remote: Path) -> None:
    repository = sources.row_for(db, config, "default", str(remote))
    old, used, held = (snapshot(db, config, repository, digit * 64) for digit in "abc")
    session = build(db, config, card(remote))
    db.execute("update tickets set environment = ? where session_id = ? and type = 'epic'", (used.name, session))
    standing = layers.stand(config.data, held.name, 0)
    assert standing
    lock = standing[0]
    (config.data / "environments" / f"{'d' * 64}.run-gone.tmp").mkdir()
    prune_environments(db, config)
    assert [folder.exists() for folder in (old, used, held)] == [False, True, True], "a building session and a live run keep theirs"
    assert not list((config.data / "environments").glob("*.tmp"))
    os.close(lock)
    prune_environments(db, config)
    assert not held.exists()
    assert db.pairs("select key, state from environments") == {old.name: "removed", used.name: "ready", held.name: "removed"}
    now = db.value("select strftime('%Y-%m-%dT%H:%M:%fZ', 'now')")
    first, second = (snapshot(db, config, repository, digit * 64, now, 15_000_000_000) for digit in "ef")
    prune_environments(db, config)
    assert [first.exists(), second.exists()] == [False, True]


def test_an_environment_that_vanishes_during_a_build_is_made_again(db: Database, config: Config, remote: Path) -> None:
    approved(db, config, remote)
    features = [feature("A", "swarm-ask 'Go on?' --option Yes || true"), feature("B", "tool > b.txt", depends_on=["A"])]
    session = build(db, config, {**card(remote), "features": features})
    with running(db, config):
        asked = request(db)
        remove(layers.root(config.data) / str(db.value("select environment from tickets where type = 'epic'")))
        db.execute("update tickets set description = ? where id = ?", ("```sh\ntool > a.txt\n```\n", asked["ticket_id"]))
        answers.answer_request(db, "default", asked["seq"], "Yes")
        completed(db, session)
    assert [row[0] for row in db.all("select outcome from runs where kind = 'setup' order by seq")] == ["done", "done"]
    assert db.value("select sum(failures) from tickets") == 0


def test_the_runs_say_on_what_they_stood(db: Database, config: Config, remote: Path) -> None:
    approved(db, config, remote)
    session = build(db, config, card(remote))
    with running(db, config):
        completed(db, session)
    key = db.value("select key from environments")
    stood = {(row["kind"], row["environment"]) for row in db.all("select kind, environment from runs where ticket_id is not null")}
    assert stood - {("recheck", key)} == {("prepare", None), ("feature", key), ("integrate", key)}


def test_what_is_approved_is_the_hash_of_the_request_and_no_other_hash_in_a_command(db: Database, config: Config, remote: Path) -> None:
    repository = sources.row_for(db, config, "default", str(remote))
    pinned = STEPS._replace(setup=(f"echo {'0' * 64} > pin", *STEPS.setup))
    versions.propose(db, repository, pinned, "page")
    session = build(db, config, card(remote))
    with running(db, config):
        answers.answer_request(db, "default", request(db)["seq"], requests.APPROVE)
        completed(db, session)
    assert db.value("select sha256 from environments") == digest(pinned)
