"""The pages of repositories: the list, a new one, and one repository in every state of its environment."""
import json
from pathlib import Path

import pytest
from conftest import build, git
from flask import Flask
from flask.testing import FlaskClient
from paging import Page, checked, seen
from serving import session

from engine.config import Config
from engine.environments import layers
from engine.environments.steps import Steps, digest
from engine.repositories import requests, sources, versions
from engine.repositories.rows import RepositoryRow
from engine.runs import wanted
from engine.store.db import Database
from engine.tickets.rows import TicketRow

HOSTILE = "<script>alert(1)</script>\"' javascript:alert(2)"
STEPS = Steps(setup=("npm ci", "npm run build"), hosts=("npm",), env={"CI": "1"}, days=7)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data=tmp_path / "data", runtime="fake", repository_roots=(tmp_path,))


@pytest.fixture
def repository(db: Database, config: Config, tmp_path: Path) -> RepositoryRow:
    git(tmp_path, "init", "-q", "-b", "main", str(tmp_path / "theirs"))
    return sources.row_for(db, config, "default", str(tmp_path / "theirs"))


def approved(db: Database, repository: RepositoryRow, steps: Steps = STEPS) -> None:
    versions.propose(db, repository, steps, "page")
    versions.approve(db, repository["id"], digest(steps), "you")


def ended(db: Database, repository: RepositoryRow, reason: str | None, outcome: str) -> str:
    run = wanted.want(db, "setup", "repository", repository["id"], "default", {"sha256": digest(STEPS)})
    db.execute("update runs set state = 'ended', outcome = ?, reason = ?, ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') where id = ?",
               (outcome, reason, run["id"]))
    return run["id"]


def made(db: Database, config: Config, repository: RepositoryRow, key: str = "a" * 64) -> None:
    layers.finish(config.data, key, layers.temporary(config.data, key, "r"), 41.0, {}, STEPS, {})
    db.execute("insert into environments (tenant_id, repository_id, key, sha256, commit_sha, state, bytes, seconds, built_at, used_at)"
               " values ('default', ?, ?, ?, 'c', 'ready', 435000000, 41, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
               (repository["id"], key, digest(STEPS)))


def form(page: Page, **changed: str) -> dict[str, str]:
    """What a browser would send from the form of the steps."""
    boxes = {each["name"]: "on" for each in page.all("input") if each.get("type") == "checkbox" and "checked" in each}
    return {"seen": next(each["value"] for each in page.all("input") if each.get("name") == "seen"), **boxes, "do": "approve", **changed}


def test_a_repository_is_added_on_its_page_and_stands_in_the_list(client: FlaskClient, tmp_path: Path) -> None:
    assert "No repository yet" in seen(client, "/repositories").text
    git(tmp_path, "init", "-q", "-b", "trunk", str(tmp_path / "work"))
    refused = client.post("/repositories", data={"repository": "file:///etc"})
    assert refused.status_code == 400 and any(each.get("value") == "file:///etc" for each in checked(refused).all("input"))
    place = client.post("/repositories", data={"repository": str(tmp_path / "work")}).location
    page = seen(client, place)
    assert "The repository is empty" in page.text and "No environment" in page.text
    assert any(each.get("href") == place for each in seen(client, "/repositories").all("a"))
    assert any(each.get("href", "").startswith("/?new=1&repository=") for each in page.all("a"))
    assert any(each.get("value") == str(tmp_path / "work") for each in seen(client, f"/?new=1&repository={tmp_path}/work").all("input"))


def test_what_was_proposed_is_changed_and_approved_with_one_press(client: FlaskClient, db: Database, repository: RepositoryRow) -> None:
    found = [{"file": "package-lock.json", "used": True, "why": "npm installs exactly its versions."},
             {"file": "Dockerfile", "used": False, "why": "It is not built here."}]
    versions.propose(db, repository, STEPS, "detected", found)
    place = f"/repositories/{repository['id']}"
    page = seen(client, place)
    assert "Prepare" in page.text and "Nothing has run" in page.text and "npm installs exactly" in page.text and "It is not built here" in page.text
    more = client.post(f"{place}/steps", data=form(page, **{"command-0": "npm ci", "command-1": "npm run build", "do": "add"}))
    assert sum(each.get("class") == "proposal" for each in checked(more).all("div")) == 3 and versions.approved(db, repository["id"]) is None
    moved = client.post(f"{place}/steps", data={**form(page, **{"command-0": "npm ci", "command-1": "npm run build"}), "do": "", "up": "1"})
    assert moved.get_data(as_text=True).index("npm run build</textarea>") < moved.get_data(as_text=True).index("npm ci</textarea>")
    wrong = client.post(f"{place}/steps", data=form(page, **{"command-0": "npm ci", "env": "CI 1"}))
    assert wrong.status_code == 400 and "no =: CI 1" in checked(wrong).text
    wrong = client.post(f"{place}/steps", data=form(page, **{"command-0": "npm ci", "rest": "{"}))
    assert wrong.status_code == 400 and "Other keys" in checked(wrong).text
    sent = {**form(page, **{"command-0": "npm ci", "command-1": "left out", "hosts": "npm\nexample.org", "env": "CI=1", "rest": '{"days": 3}'})}
    del sent["step-1"]
    assert client.post(f"{place}/steps", data=sent).location == place
    used = versions.approved(db, repository["id"])
    assert used and json.loads(used["steps"]) == {"setup": ["npm ci"], "hosts": ["npm", "example.org"], "env": {"CI": "1"}, "days": 3}
    assert wanted.current(db, "setup", "repository", repository["id"])
    late = client.post(f"{place}/steps", data=sent)
    assert late.status_code == 409 and "has changed since you opened this form" in checked(late).text


def test_the_steps_that_were_found_are_approved_as_they_are(client: FlaskClient, db: Database, repository: RepositoryRow) -> None:
    versions.propose(db, repository, STEPS, "detected")
    page = seen(client, f"/repositories/{repository['id']}")
    client.post(f"/repositories/{repository['id']}/steps", data=form(page, **{
        "command-0": "npm ci", "command-1": "npm run build", "hosts": "\n".join(STEPS.hosts), "env": "CI=1", "rest": '{"days": 7}'}))
    used = versions.approved(db, repository["id"])
    assert used and (used["source"], used["sha256"]) == ("detected", digest(STEPS))


def test_a_proposal_beside_steps_in_use_can_be_dropped(client: FlaskClient, db: Database, repository: RepositoryRow) -> None:
    approved(db, repository)
    place = f"/repositories/{repository['id']}"
    assert "Keep the steps in use" not in seen(client, f"{place}?edit=1").text
    client.patch(f"/api{place}", json={"environment": {"setup": ["true"]}})
    assert "Keep the steps in use" in seen(client, place).text
    client.post(f"{place}/steps", data={"do": "discard"})
    assert versions.proposed(db, repository["id"]) is None and client.get(f"/api{place}").json["environment"]["sha256"] == digest(STEPS)


def test_where_sandboxes_have_no_environment_the_pages_say_so(
        app: Flask, client: FlaskClient, db: Database, config: Config, repository: RepositoryRow) -> None:
    card = session(client, {"name": "Card", "repository": repository["url"], "features": [{"title": "A"}]}, approved=True)
    slot = app.extensions["swarm"].slot
    assert slot.start("here")
    try:
        for place in (f"/repositories/{repository['id']}", f"/sessions/{card['id']}"):
            assert "Sandboxes of fake have no environment. Builds go on without it" in seen(client, place).text
    finally:
        slot.stop()


def test_every_state_of_an_environment_has_its_words(client: FlaskClient, db: Database, config: Config, repository: RepositoryRow) -> None:
    place = f"/repositories/{repository['id']}"
    assert "The first build looks for lock files" in seen(client, place).text
    approved(db, repository)
    assert "These steps are approved" in seen(client, place).text
    run = wanted.want(db, "setup", "repository", repository["id"], "default", {"sha256": digest(STEPS)})
    assert "It waits for a free slot" in seen(client, place).text and "Waits for a slot" in seen(client, "/engine").text
    assert client.post(f"{place}/runs/{run['id']}/cancel").location == place
    ended(db, repository, "Step 1 of the setup (npm ci) failed with exit code 1.\nnpm error 403", "failed")
    page = seen(client, place)
    assert "could not be made" in page.text and "npm error 403" in page.text and "No ticket has used up an attempt" in page.text
    assert "Raise the limit" not in page.text
    hosts = [{"host": "telemetry.example.org", "refused": 3}, {"host": "a", "refused": 0}]
    db.execute("update runs set usage = ?", (json.dumps({"egress": {"hosts": hosts}}),))
    page = seen(client, place)
    assert "telemetry.example.org" in page.text and "3 times in the last setup" in page.text and "1 host" in page.text
    ended(db, repository, "Step 1 of the setup (npm ci) was stopped. It wrote 4,096 MB. The largest: node_modules 3,100 MB.", "failed")
    assert "Raise the limit" in seen(client, place).text
    made(db, config, repository)
    page = seen(client, place)
    assert "Environment ready" in page.text and "435.0 MB" in page.text and "41 s" in page.text and "npm run build" in page.text
    assert "435.0 MB" in seen(client, "/engine").text
    layers.delete(config.data, "a" * 64)
    wanted.want(db, "setup", "repository", repository["id"], "default", {"sha256": digest(STEPS)})
    assert "damaged or removed and is being made again" in seen(client, place).text


def test_going_on_without_is_remembered_and_can_be_undone(client: FlaskClient, db: Database, repository: RepositoryRow) -> None:
    place = f"/repositories/{repository['id']}"
    versions.propose(db, repository, STEPS, "detected")
    client.post(f"{place}/steps", data={"do": "without"})
    assert "because you said so" in seen(client, f"{place}").text or "Without an environment" in seen(client, place).text
    assert client.get(f"/api{place}").json["without"] is True
    client.post(f"{place}/environment/with")
    assert client.get(f"/api{place}").json["without"] is False and "Environment proposed" in seen(client, place).text


def test_settings_have_their_forms_and_a_wrong_value_is_named(client: FlaskClient, db: Database, repository: RepositoryRow) -> None:
    place = f"/repositories/{repository['id']}"
    client.post(f"{place}/settings", data={"disk_mb": "100", "setup_mb": "", "setup_seconds": "60", "max_parallel": "2", "at": "#limits"})
    client.post(f"{place}/settings", data={"author": "Robot <robot@example.org>", "sign_off": ""})
    client.post(f"{place}/settings", data={"hooks": "on"})
    found = client.get(f"/api{place}").json
    assert (found["limits"], found["max_parallel"], found["author"], found["hooks"]) == (
        {"disk_mb": 100, "setup_mb": 8192, "setup_seconds": 60}, 2, "Robot <robot@example.org>", True)
    wrong = client.post(f"{place}/settings", data={"disk_mb": "much"})
    assert wrong.status_code == 400 and "limits.disk_mb must be a whole number" in checked(wrong).text


def test_copies_are_deleted_and_a_repository_is_removed(client: FlaskClient, db: Database, config: Config, repository: RepositoryRow) -> None:
    place = f"/repositories/{repository['id']}"
    approved(db, repository)
    made(db, config, repository)
    made(db, config, repository, "b" * 64)
    assert "Other copies" in seen(client, place).text
    assert client.post(f"{place}/environments/{'b' * 64}/delete").location == place
    assert not (layers.root(config.data) / ("b" * 64)).exists() and (layers.root(config.data) / ("a" * 64)).exists()
    assert client.post(f"{place}/delete").location == "/repositories"
    assert client.get(place).status_code == 404 and not (layers.root(config.data) / ("a" * 64)).exists()


def test_a_build_that_waits_or_asks_says_so_on_its_pages_with_the_way_there(
        client: FlaskClient, db: Database, config: Config, repository: RepositoryRow) -> None:
    session = build(db, config, {"name": "Waits", "repository": repository["url"], "features": [{"title": "A"}]})
    db.execute("update hitl_sessions set repository_id = ?", (repository["id"],))
    db.execute("update tickets set status = 'running', base_sha = 'b', waits_for = 'environment' where type = 'epic'")
    board = seen(client, f"/sessions/{session}")
    assert "The environment is being made" in board.text and any(each.get("href") == f"/repositories/{repository['id']}" for each in board.all("a"))
    assert "The environment is being made" in seen(client, "/tickets/TKT-002").text
    versions.propose(db, repository, STEPS, "detected")
    epic = db.the("select * from tickets where type = 'epic'", (), TicketRow)
    with db.transaction():
        requests.ask_approval(db, epic, repository["name"], STEPS)
    for place in (f"/sessions/{session}", "/tickets/TKT-001", "/inbox"):
        page = seen(client, place)
        assert {"Approve and prepare", "Go on without"} <= {each.get("value") for each in page.all("button")}, place
        assert any(each.get("href") == f"/repositories/{repository['id']}" for each in page.all("a")), place
    assert "waits for the environment" in seen(client, f"/repositories/{repository['id']}").text


def test_a_request_of_a_repository_is_counted_once(client: FlaskClient, db: Database, repository: RepositoryRow) -> None:
    with db.transaction():
        requests.tell_repository(db, "default", repository["id"], "r", repository["name"], "It failed.")
    page = seen(client, "/inbox")
    assert "1 open" in page.text and "It failed." in page.text
    session(client)
    assert "2 open" in seen(client, "/inbox").text and repository["name"] in seen(client, "/").text


def test_before_a_build_the_page_says_on_what_it_will_stand(client: FlaskClient, db: Database, config: Config, repository: RepositoryRow) -> None:
    card = session(client, {"name": "Card", "repository": repository["url"], "features": [{"title": "A"}]}, approved=True)
    assert "the build looks at the dependencies first" in seen(client, f"/sessions/{card['id']}").text
    approved(db, repository)
    made(db, config, repository)
    assert "Environment ready." in seen(client, f"/sessions/{card['id']}").text


def test_hostile_text_is_text(client: FlaskClient, db: Database, repository: RepositoryRow) -> None:
    steps = Steps(setup=(HOSTILE,), env={"A": HOSTILE})
    versions.propose(db, repository, steps, "detected", [{"file": HOSTILE, "used": True, "why": HOSTILE}, {"file": HOSTILE, "used": False, "why": HOSTILE}])
    db.execute("update repositories set name = ?, reason = ?, default_branch = ?", (HOSTILE, HOSTILE, HOSTILE))
    place = f"/repositories/{repository['id']}"
    seen(client, place)
    versions.approve(db, repository["id"], digest(steps), "you")
    db.execute("insert into baselines (repository_id, base_sha, environment_key, command, result, output) values (?, 'c', '', ?, 'cannot_run', ?)",
               (repository["id"], HOSTILE, HOSTILE))
    run = wanted.want(db, "setup", "repository", repository["id"], "default", {"sha256": digest(steps)})
    db.execute("update runs set state = 'ended', outcome = 'failed', reason = ?, ended_at = created_at where id = ?", (f"{HOSTILE}\n{HOSTILE}", run["id"]))
    page = seen(client, place)
    assert HOSTILE in page.text and "Add its setup step" in page.text
    seen(client, "/repositories")
