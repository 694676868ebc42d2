"""Repositories as JSON, with a real engine where something is made: an address, settings, and an environment from its steps to its removal."""
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HANG, build, git, require, until
from environment_side import in_bubblewrap
from flask.testing import FlaskClient
from real_engine import feature, running

from engine.config import Config
from engine.environments import layers
from engine.jobs import Job
from engine.loop.loop import SwarmEngine
from engine.loop.prune.environments import prune_environments
from engine.repositories import requests
from engine.store.db import Database

STEPS = {"setup": ["echo made > \"$HOME/made\""]}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return in_bubblewrap(tmp_path)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    work, bare = tmp_path / "work", tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "-b", "trunk", str(work))
    (work / "requirements.txt").write_text("")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "First")
    git(tmp_path, "clone", "-q", "--bare", str(work), str(bare))
    return bare


@pytest.fixture
def engine(db: Database, config: Config) -> Iterator[SwarmEngine]:
    require("bwrap")
    with running(db, config) as engine:
        yield engine


@pytest.fixture
def known(client: FlaskClient, remote: Path) -> str:
    """The address of a repository that was added."""
    answer = client.post("/api/repositories", json={"url": str(remote)})
    assert answer.status_code == 201, answer.json
    return str(answer.headers["Location"])


def environment(client: FlaskClient, known: str, *states: str) -> dict:
    """The environment, once it is in one of these states."""
    return dict(until(lambda: (found := client.get(f"{known}/environment").json)["state"] in states and found, HANG, f"it is {' or '.join(states)}"))


def approve(client: FlaskClient, known: str, steps: dict = STEPS) -> dict:
    assert client.patch(known, json={"environment": steps}).status_code == 200
    answer = client.post(f"{known}/environment/approve", json={"sha256": client.get(f"{known}/environment").json["sha256"]})
    assert answer.status_code == 200, answer.json
    return dict(answer.json)


def test_a_repository_is_looked_at_when_it_is_added_and_is_the_same_by_any_of_its_names(client: FlaskClient, remote: Path, known: str) -> None:
    found = client.get(known).json
    assert (found["state"], found["default_branch"], found["name"]) == ("reachable", "trunk", str(remote))
    assert found["environment"]["state"] == "none"
    again = client.post("/api/repositories", json={"url": f"{remote}/"})
    assert (again.status_code, again.json["id"]) == (200, found["id"])
    assert [each["id"] for each in client.get("/api/repositories").json["repositories"]] == [found["id"]]
    missing = client.post("/api/repositories", json={"url": f"{remote.parent}/nothing.git"})
    assert missing.status_code in (201, 400), "a path that is no repository may be refused"
    assert client.post("/api/repositories", json={"url": "file:///etc"}).status_code == 400
    assert client.post("/api/repositories", json={"url": 7}).status_code == 400


def test_settings_are_kept_one_by_one_and_a_wrong_one_changes_nothing(client: FlaskClient, known: str) -> None:
    assert client.patch(known, json={"author": "Robot <robot@example.org>", "limits": {"disk_mb": 100}, "max_parallel": 2, "hooks": True}).status_code == 200
    found = client.patch(known, json={"limits": {"setup_mb": 200}, "max_parallel": None}).json
    assert (found["author"], found["limits"], found["max_parallel"], found["hooks"]) == (
        "Robot <robot@example.org>", {"disk_mb": 100, "setup_mb": 200, "setup_seconds": 1800}, 0, True)
    for wrong in ({"author": "nobody"}, {"limits": {"disk_mb": 1}}, {"limits": 3}, {"color": "red"}, {"environment": {"setup": 3}}, {"environment": [1]},
                  {"hooks": "yes"}, {"author": "A <a@b.org>", "environment": {"color": 1}}):
        answer = client.patch(known, json=wrong)
        assert answer.status_code == 400 and answer.json["details"], (wrong, answer.json)
    assert client.get(known).json["author"] == "Robot <robot@example.org>"


def test_steps_wait_for_approval_by_their_hash(client: FlaskClient, known: str) -> None:
    assert client.post(f"{known}/environment/build").status_code == 409
    first = client.patch(known, json={"environment": STEPS}).json["environment"]
    assert (first["state"], first["source"], first["steps"], first["approved"]) == ("proposed", "page", STEPS, False)
    client.patch(known, json={"environment": {"setup": ["true"]}})
    late = client.post(f"{known}/environment/approve", json={"sha256": first["sha256"]})
    assert late.status_code == 409 and "has changed since you looked at it" in late.json["error"]
    assert client.get(f"{known}/environment").json["state"] == "proposed"
    assert client.patch(known, json={"environment": None}).json["environment"]["state"] == "none"


def test_what_was_approved_is_made_from_the_newest_commit_kept_made_again_and_removed(
        client: FlaskClient, db: Database, config: Config, engine: SwarmEngine, known: str) -> None:
    assert approve(client, known)["state"] == "building"
    made = environment(client, known, "ready", "failed")
    assert (made["state"], made["bytes"] > 0, made["approved"]) == ("ready", True, True), made
    run = client.get(f"/api/runs/{made['run']}").json
    assert (run["kind"], run["owner_kind"], run["ticket_id"], run["outcome"], run["state"]) == ("setup", "repository", None, "done", "ended")
    log = client.get(f"/api/runs/{made['run']}/log?after=0").json
    assert "::phase setup" in log["text"] and log["next"] == log["size"]
    assert client.post(f"/api/runs/{made['run']}/cancel").status_code == 409, "it has ended"
    folder = layers.root(config.data) / made["key"]
    before = folder.stat().st_ino
    client.post(f"{known}/environment/build", json={"again": True})
    again = environment(client, known, "ready", "failed")
    assert again["run"] != made["run"] and folder.stat().st_ino != before
    assert client.delete(f"{known}/environments/{made['key']}").json["state"] == "none"
    assert not folder.exists() and client.delete(f"{known}/environments/{made['key']}").status_code == 409
    prune_environments(db, config)
    assert not list(layers.root(config.data).glob("*.tmp"))


def test_an_environment_that_a_run_stands_on_goes_when_the_run_has_ended(
        client: FlaskClient, db: Database, config: Config, engine: SwarmEngine, known: str) -> None:
    approve(client, known)
    key = environment(client, known, "ready", "failed")["key"]
    standing = layers.stand(config.data, key, 0)
    assert standing
    lock = standing[0]
    assert client.delete(f"{known}/environments/{key}").status_code == 200
    prune_environments(db, config)
    assert (layers.root(config.data) / key).exists()
    os.close(lock)
    prune_environments(db, config)
    assert not (layers.root(config.data) / key).exists()


def test_a_setup_that_fails_says_so_there_and_in_the_inbox_without_a_session(client: FlaskClient, db: Database, engine: SwarmEngine, known: str) -> None:
    approve(client, known, {"setup": ["echo no such package >&2; exit 3"]})
    failed = environment(client, known, "ready", "failed")
    assert failed["state"] == "failed" and "no such package" in failed["reason"] and failed["key"] is None
    asked = client.get("/api/requests").json["requests"]
    assert [(each["session_id"], each["ticket_id"], each["repository"]) for each in asked] == [(None, None, known.rpartition("/")[2])]
    page = client.get("/inbox")
    assert page.status_code == 200 and page.get_data(as_text=True).count("Open the repository") == 1
    assert f"/repositories/{asked[0]['repository']}" in page.get_data(as_text=True)
    assert client.post(f"/requests/{asked[0]['seq']}/answer", data={"option": "Try again"}).status_code == 409
    approve(client, known)
    assert environment(client, known, "ready", "failed")["state"] == "ready" and client.get("/api/requests").json["requests"] == []


def test_a_setup_that_runs_is_stopped_and_its_repository_stays_until_then(client: FlaskClient, engine: SwarmEngine, db: Database, known: str) -> None:
    run = approve(client, known, {"setup": ["sleep 1000"]})["run"]
    until(lambda: "::phase setup" in client.get(f"/api/runs/{run}/log").json["text"], HANG, "it runs")
    refused = client.delete(known)
    assert refused.status_code == 409 and "Stop that run first" in refused.json["error"]
    assert client.post(f"/api/runs/{run}/cancel").status_code == 200
    assert environment(client, known, "failed")["reason"] == "It was stopped by hand."
    assert client.delete(known).json == {"deleted": known.rpartition("/")[2]}
    assert client.get(known).status_code == 404 and client.get("/api/requests").json["requests"] == []


def test_a_build_that_asks_goes_on_when_its_steps_are_approved_on_the_page_of_the_repository(
        client: FlaskClient, db: Database, config: Config, engine: SwarmEngine, known: str, remote: Path) -> None:
    session = build(db, config, {"name": "Greets", "repository": str(remote), "features": [feature("A", "cat \"$HOME/made\" > made.txt")]})
    asked = until(lambda: client.get("/api/requests").json["requests"], HANG, "the epic asks")
    assert (asked[0]["kind"], asked[0]["session_id"], asked[0]["repository"]) == ("environment", session, known.rpartition("/")[2])
    assert client.delete(known).status_code == 409
    client.patch(known, json={"hooks": True})
    approve(client, known)  # other steps than those that the epic asks about
    until(lambda: db.value("select state from hitl_sessions where id = ?", (session,)) in ("completed", "failed"), HANG, "the build ends")
    assert db.value("select answer from requests where kind = 'environment'") == requests.APPROVE
    assert Job.read(config.data / "runs" / db.value("select id from runs where kind = 'feature'")).means.own_tools is True
    assert [row[0] for row in db.all("select kind from runs where ticket_id is null")] == ["setup"], "the build had it made, and nothing else did"
    assert db.value("select environment from tickets where type = 'epic'") == client.get(f"{known}/environment").json["key"]


def test_a_live_run_of_a_ticket_is_stopped_as_its_ticket_is(client: FlaskClient, db: Database, config: Config) -> None:
    session = build(db, config, {"name": "Own", "features": [feature("A", "true")]})
    ticket = db.value("select id from tickets where session_id = ? and type = 'feature'", (session,))
    db.execute("update tickets set status = 'running' where id = ?", (ticket,))
    db.execute("insert into runs (id, ticket_id, session_id, kind, state, claim_token, claimed_by, run_no)"
               " values ('r1', ?, ?, 'feature', 'running', 't', 'e', 1)", (ticket, session))
    assert client.post("/api/runs/r1/cancel").status_code == 200
    assert db.value("select status from tickets where id = ?", (ticket,)) == "failed"
