"""The checks of a card at its base, before the build: by one press, in JSON and on the card's page."""
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HANG, git, until
from environment_side import in_bubblewrap
from flask.testing import FlaskClient
from real_engine import running

from engine.config import Config
from engine.environments.steps import Steps, digest
from engine.repositories import sources, versions
from engine.runs import wanted
from engine.store.db import Database

CARD = {"name": "Base", "checks": ["sh guard.sh"], "features": [{"title": "A", "acceptance_criteria": [
    {"text": "a is there", "check": "test -e a.txt"}, {"text": "the tool works", "check": "no-such-tool"}, "looks good"]}]}


@pytest.fixture()
def config(tmp_path: Path) -> Config:
    return in_bubblewrap(tmp_path)


@pytest.fixture()
def remote(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "remote"
    git(tmp_path, "init", "-q", "-b", "main", str(folder))
    (folder / "guard.sh").write_text("test -z \"${TOOL:-}\" || exit 5\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "First")
    yield folder


def made(client: FlaskClient, repository: Path | None, **card: object) -> str:
    given = {**CARD, **card, **({"repository": str(repository)} if repository else {})}
    return str(client.post("/api/hitl", json={"project_name": "Base", "spec_card": given}).json["id"])


def results(client: FlaskClient, session: str) -> dict[str, str]:
    return {each["command"]: each["result"] for each in client.get(f"/api/hitl/{session}/baseline").json["checks"]}


def ended(db: Database, session: str) -> None:
    until(lambda: wanted.current(db, "baseline", "session", session) is None and wanted.latest(db, "baseline", "session", session), HANG, "the baseline ends")


def test_one_press_says_what_is_red_what_is_green_and_what_cannot_run(client: FlaskClient, db: Database, config: Config, remote: Path) -> None:
    session = made(client, remote)
    before = client.get(f"/api/hitl/{session}/baseline").json
    assert (before["state"], before["base_sha"], set(results(client, session).values())) == ("not_run", None, {"not_run"})
    assert "Press Run to see" in client.get(f"/sessions/{session}").text and db.value("select count(*) from repositories") == 0
    with running(db, config):
        assert client.post(f"/api/hitl/{session}/baseline").json["state"] in ("waiting", "running")
        assert 'hx-get="/sessions/' in client.get(f"/sessions/{session}/baseline").text and "Cancel" in client.get(f"/sessions/{session}").text
        ended(db, session)
    found = client.get(f"/api/hitl/{session}/baseline").json
    assert (found["state"], found["base_sha"], found["done"], found["total"]) == ("done", git(remote, "rev-parse", "main").strip(), 3, 3)
    assert results(client, session) == {"test -e a.txt": "red", "no-such-tool": "cannot_run", "sh guard.sh": "green"}
    red = next(each for each in found["checks"] if each["result"] == "red")
    assert (red["text"], red["exit"], red["path"]) == ("a is there", 1, "features[0].acceptance_criteria[0]")
    page = client.get(f"/sessions/{session}").text
    for words in ("As it should be: the work has to turn it green.", "Guards what is there and proves nothing new.",
                  "The program no-such-tool is not in the sandbox (exit 127).", "Run again"):
        assert words in page
    assert db.value("select count(*) from tickets") == 0 and client.get(f"/api/hitl/{session}").json["state"] == "review"
    client.post(f"/api/hitl/{session}/approve", json={"spec_sha256": client.get(f"/api/hitl/{session}").json["spec_sha256"]})
    assert "Checks at the base" in client.get(f"/sessions/{session}").text
    started = client.post(f"/api/hitl/{session}/start-build", json={"confirmed": True})
    assert started.status_code == 200 and any("“no-such-tool” cannot run at the base" in each["message"] for each in started.json["warnings"])


def test_only_what_is_not_known_runs_and_asked_again_all_of_it(client: FlaskClient, db: Database, config: Config, remote: Path) -> None:
    first, second = made(client, remote), made(client, remote, checks=["test -e b.txt"])
    with running(db, config):
        for session, body in ((first, {}), (second, {}), (second, {"again": True}), (second, {"times": 2})):
            client.post(f"/api/hitl/{session}/baseline", json=body)
            ended(db, session)
    ran = [len(json.loads(row[0])) for row in db.all("select checks from runs where kind = 'baseline' order by seq")]
    assert ran == [3, 1, 3, 3] and results(client, second)["test -e a.txt"] == "red"


def test_a_check_that_does_not_always_say_the_same_is_flaky(client: FlaskClient, db: Database, config: Config, remote: Path, tmp_path: Path) -> None:
    """Sandboxes keep nothing, so the clock decides."""
    odd = "test $(( $(date +%s%N) / 1000 % 2 )) = 0"
    session = made(client, remote, checks=[], features=[{"title": "A", "acceptance_criteria": [{"text": "odd", "check": odd}]}])
    with running(db, config):
        for _ in range(20):
            client.post(f"/api/hitl/{session}/baseline", json={"times": 10})
            ended(db, session)
            if results(client, session)[odd] == "flaky":
                break
    found = client.get(f"/api/hitl/{session}/baseline").json["checks"][0]
    assert found["result"] == "flaky" and "of 10 runs failed." in found["output"]


def test_it_stands_on_the_environment_which_is_made_first(client: FlaskClient, db: Database, config: Config, remote: Path) -> None:
    steps = Steps(setup=("mkdir -p .venv/bin; printf '#!/bin/sh\\n' > .venv/bin/no-such-tool; chmod +x .venv/bin/no-such-tool",),
                  env={"PATH": "$SWARM_WORK/repo/.venv/bin:$PATH"})
    repository = sources.row_for(db, config, "default", str(remote))
    versions.propose(db, repository, steps, "page")
    versions.approve(db, repository["id"], digest(steps), "you")
    session = made(client, remote)
    with running(db, config):
        client.post(f"/api/hitl/{session}/baseline")
        until(lambda: client.get(f"/api/hitl/{session}/baseline").json["state"] in ("done", "failed"), HANG, "it is done")
    found = client.get(f"/api/hitl/{session}/baseline").json
    assert found["state"] == "done" and found["environment"] == db.value("select key from environments"), found
    assert results(client, session)["no-such-tool"] == "green"
    assert [row[0] for row in db.all("select kind from runs order by seq")] == ["baseline", "setup", "baseline"]


def test_it_can_be_stopped_and_says_what_went_wrong(client: FlaskClient, db: Database, config: Config, remote: Path) -> None:
    session = made(client, remote, checks=["sleep 600"])
    with running(db, config):
        client.post(f"/sessions/{session}/baseline")
        until(lambda: client.get(f"/api/hitl/{session}/baseline").json["done"] == 2, HANG, "what is known so far is shown")
        assert client.post(f"/sessions/{session}/baseline/cancel").status_code == 303
        ended(db, session)
        found = client.get(f"/api/hitl/{session}/baseline").json
        assert (found["state"], found["reason"]) == ("failed", "It was stopped by hand.")
        assert "It was stopped by hand." in client.get(f"/sessions/{session}").text
        git(remote, "branch", "-m", "main", "other")
        gone = made(client, remote, base_branch="main")
        client.post(f"/api/hitl/{gone}/baseline")
        ended(db, gone)
    found = client.get(f"/api/hitl/{gone}/baseline").json
    assert found["state"] == "failed" and "main" in found["reason"]
    assert client.post(f"/sessions/{session}/baseline/cancel").status_code == 409


def test_what_has_no_base_or_no_check_is_refused_with_a_sentence(client: FlaskClient, db: Database, remote: Path) -> None:
    own, bare = made(client, None), made(client, remote, checks=[], features=[{"title": "A"}])
    for session, words in ((own, "a new repository of its own"), (bare, "has no check to run")):
        answer = client.post(f"/api/hitl/{session}/baseline")
        assert answer.status_code == 409 and words in answer.json["error"], answer.json
        assert client.get(f"/api/hitl/{session}/baseline").json["state"] == "none" and "Checks at the base" not in client.get(f"/sessions/{session}").text
    good = made(client, remote)
    for body in ({"times": 0}, {"times": 11}, {"times": True}, {"times": "2"}, {"again": 1}):
        assert client.post(f"/api/hitl/{good}/baseline", json=body).status_code == 400
    assert client.post("/api/hitl/unknown/baseline").status_code == client.get("/api/hitl/unknown/baseline").status_code == 404
    assert db.value("select count(*) from runs") == 0
