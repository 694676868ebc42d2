"""What pages and JSON say of a repository before its build, and that none of them waits for it."""
import dataclasses
import json
import socket
import threading
from pathlib import Path

import pytest
from agent_side import upstream
from conftest import git, until
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from engine.config import Config
from engine.finish.finish import finish
from engine.git.branches import GitBranches
from engine.git.look import Look
from engine.jobs import Result
from engine.store.db import Database
from engine.tickets import claims, requests
from engine.tickets.rows import RunRow
from engine.times import utc
from hitl.web.looks import Looks


@pytest.fixture
def config(config: Config, tmp_path: Path) -> Config:
    return dataclasses.replace(config, repository_roots=(tmp_path,))


def approved(client: FlaskClient, **card: object) -> str:
    made = client.post("/api/hitl", json={"project_name": "P", "spec_card": {"name": "P", "features": [{"title": "F"}], **card}}).json
    assert client.post(f"/api/hitl/{made['id']}/approve", json={"spec_sha256": made["spec_sha256"]}).status_code == 200
    return str(made["id"])


def repository(client: FlaskClient, session: str) -> dict:
    return until(lambda: (found := client.get(f"/api/hitl/{session}/repository").json)["state"] != "looking" and found)


def test_json_and_pages_say_what_a_repository_is(client: FlaskClient, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth", "2", f"file://{upstream(tmp_path / 'source', 5)}", "shallow")
    session = approved(client, repository=str(tmp_path / "shallow"))
    found = repository(client, session)
    head = git(tmp_path / "shallow", "rev-parse", "HEAD").strip()
    assert (found["state"], found["branch"], found["head"], found["shallow"]) == ("usable", "main", head, True)
    assert "It is a shallow clone" in client.get(f"/sessions/{session}").text
    started = client.post(f"/api/hitl/{session}/start-build", json={"confirmed": True})
    assert started.status_code == 200 and [each["path"] for each in started.json["warnings"]] == ["repository"]
    assert "shallow clone" in started.json["warnings"][0]["message"]


def test_a_card_without_a_repository_has_nothing_to_look_at(client: FlaskClient) -> None:
    session = approved(client)
    assert repository(client, session)["state"] == "new" and 'id="look"' not in client.get(f"/sessions/{session}").text
    assert client.post(f"/api/hitl/{session}/start-build", json={"confirmed": True}).json["warnings"] == []
    assert client.get("/api/hitl/nobody/repository").status_code == 404


def test_the_page_of_the_card_says_it_next_to_the_repository(client: FlaskClient, tmp_path: Path) -> None:
    source = upstream(tmp_path / "source", 3)
    made = client.post("/api/hitl", json={"project_name": "P", "spec_card": {"name": "P", "features": [{"title": "F"}], "repository": str(source),
                                                                             "base_branch": "gone"}}).json
    repository(client, made["id"])
    assert "The branch gone is not there. It has: feature/a, main, old." in client.get(f"/sessions/{made['id']}").text
    source.rename(tmp_path / "elsewhere")
    found = repository(client, made["id"])
    assert found["state"] == "not_allowed" and "is not there: there is no such folder" in found["sentence"]


def test_no_page_waits_for_a_host_that_says_nothing(config: Config) -> None:
    """The host takes the connection and is silent: the look ends only when this test closes it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        app = create_app(config, testing=True)
        client = app.test_client()
        session = approved(client, repository=f"https://127.0.0.1:{silent.getsockname()[1]}/a/b.git")
        page = client.get(f"/sessions/{session}").text
        assert "Looking at the repository…" in page and f'hx-get="/sessions/{session}/look?choose=1"' in page
        assert client.get(f"/api/hitl/{session}/repository").json["state"] == "looking"
        started = client.post(f"/api/hitl/{session}/start-build", json={"confirmed": True})
        assert started.status_code == 200 and started.json["warnings"] == []
    looking = [thread for thread in threading.enumerate() if thread.name == "look"]
    for thread in looking:
        thread.join()
    assert looking, "the look went on by itself, once for all who asked"
    assert len(looking) == 1
    app.extensions["swarm"].db.close()


def test_a_result_is_shared_while_it_counts_and_a_bug_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple] = []
    looks = Looks(lambda *of: seen.append(of) or Look("usable"))
    assert looks.at("u", ("file",), None, {}, 60) == looks.at("u", ("file",), None, {}, 60) == Look("usable")
    assert len(seen) == 1 and looks.at("u", ("file",), "b", {}, 60) and len(seen) == 2
    monkeypatch.setattr("hitl.web.looks.BAD_SECONDS", -1.0)
    looks = Looks(lambda *of: seen.append(of) or Look("unreachable", "No."))
    for count in (3, 4):
        assert looks.at("u", ("file",), None, {}, 60) == Look("unreachable", "No.") and len(seen) == count
    monkeypatch.setattr("hitl.web.looks.MOST", 3)
    looks = Looks(lambda url, *of: seen.append(url) or Look("usable"))
    for url in "abcda":
        looks.at(url, ("file",), None, {}, 60)
    assert seen[-5:] == list("abcda"), "the oldest result was dropped"


def test_the_first_commit_of_an_empty_repository_is_a_choice_on_the_page_and_in_json(client: FlaskClient, app: Flask, db: Database, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk", "empty")
    session = approved(client, repository=str(tmp_path / "empty"))
    assert repository(client, session)["state"] == "empty"
    page = client.get(f"/sessions/{session}").text
    assert '<input type="checkbox" name="first_commit" value="true" form="start">' in page and '<code dir="auto" class="anywhere">trunk</code>' in page
    started = client.post(f"/api/hitl/{session}/start-build", json={"confirmed": True})
    assert "The repository is empty" in started.json["warnings"][0]["message"]
    assert not requests.may_make_first_commit(db, started.json["epic_id"]), "off, unless someone wants it"
    for post in (lambda one: client.post(f"/api/hitl/{one}/start-build", json={"confirmed": True, "first_commit": True}),
                 lambda one: client.post(f"/sessions/{one}/start", data={"confirmed": "true", "first_commit": "true"})):
        session = approved(client, repository=str(tmp_path / "empty"))
        assert post(session).status_code in (200, 303)
        epic = db.value("select id from tickets where session_id = ? and type = 'epic'", (session,))
        assert requests.may_make_first_commit(db, epic) and db.value("select count(*) from requests where state = 'open'") == 0


def test_session_board_and_inbox_say_it_after_the_first_try(client: FlaskClient, app: Flask, config: Config, db: Database) -> None:
    session = approved(client, repository="https://127.0.0.1:1/a/b.git")
    client.post(f"/api/hitl/{session}/start-build", json={"confirmed": True})
    sentence, config = "https://127.0.0.1:1/a/b.git cannot be reached now: no.", dataclasses.replace(config, backoff_seconds=60.0)

    def tried() -> None:
        db.execute("update tickets set not_before = null")
        run = next(iter(claims.claim(db, "e", 1, utc())))
        claims.begin(db, run, "process", "runbook")
        run = db.the("select * from runs where id = ?", (run["id"],), RunRow)
        finish(db, config, GitBranches(config), run, Result(run["id"], "failed", 0, failure="unreachable", reason=sentence))

    tried()
    for path in (f"/sessions/{session}", "/inbox", "/tickets/TKT-001"):
        page = client.get(path).text
        assert sentence in page and "Try again" in page and "Answer in words" not in page, path
    assert client.get(f"/api/hitl/{session}").json["requests"] == 1 and sentence in client.get("/api/requests").json["requests"][0]["body"]
    for _ in range(3):
        tried()
    board = client.get(f"/api/hitl/{session}/board").json
    mine = next(column for column in board["columns"] if column["key"] == "needs_you")["tickets"]
    assert [(card["id"], card["request"]) for card in mine] == [("TKT-001", "repository")]
    page = client.get(f"/sessions/{session}").text
    assert "is not tried again without you" in page and "This session waits for your decision" in page
    answered = client.post("/api/tickets/TKT-001/answer", json={"answer": "whatever"})
    assert answered.status_code == 400 and json.loads(answered.data)["error"].startswith("The answer must be one of")
    assert client.post("/api/tickets/TKT-001/answer", json={"answer": "Try again"}).status_code == 200
    assert db.value("select status from tickets where id = 'TKT-001'") == "ready"
