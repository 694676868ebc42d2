"""While a real engine fetches a repository, the pages and JSON say how far it is; cancelling there stops it, and the next session builds."""
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HANG, git, require, until
from flask.testing import FlaskClient
from held_fetch import HeldRemote
from paging import seen
from real_engine import completed, feature, running
from serving import session

from engine.config import Config
from engine.host.processes import is_held, members
from engine.store.db import Database
from engine.stores import store as stores

PREPARES = "The other side prepares what will be fetched."
WAITS = "Another build fetches this repository now. This one waits for it."


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data=tmp_path / "data", runtime="bubblewrap", agent="runbook", slots=2, poll_seconds=0.2, backoff_seconds=0.0,
                  repository_roots=(tmp_path,))


@pytest.fixture
def remote(tmp_path: Path) -> HeldRemote:
    return HeldRemote(tmp_path)


@pytest.fixture
def engine(db: Database, config: Config, remote: HeldRemote) -> Iterator[None]:
    require("bwrap")
    with running(db, config):
        yield


def started(client: FlaskClient, remote: HeldRemote) -> str:
    """The address of a session that builds in the repository."""
    made = session(client, {"name": "Greet", "repository": str(remote.path), "features": [feature("Greet", "echo hello > hello.txt")]}, approved=True)
    answer = client.post(f"/api/hitl/{made['id']}/start-build", json={"confirmed": True})
    assert answer.status_code == 200, answer.json
    return f"/api/hitl/{made['id']}"


def says(client: FlaskClient, address: str, sentence: str | None) -> None:
    until(lambda: client.get(address).json["fetching"] == sentence, HANG, f"{address} says {sentence}")


def run_folders(config: Config) -> list[Path]:
    return list((config.data / "runs").glob("*"))


def test_a_fetch_is_seen_on_the_pages_and_its_cancelled_session_leaves_the_store_to_the_next(
        client: FlaskClient, db: Database, config: Config, remote: HeldRemote, engine: None) -> None:
    remote.hold()
    one = started(client, remote)
    says(client, one, PREPARES)
    two = started(client, remote)
    says(client, two, WAITS)
    repository = db.one("select id, name from repositories")
    assert repository is not None
    known = f"/api/repositories/{repository['id']}"
    assert client.get(known).json["fetching"] == PREPARES
    page = seen(client, one.replace("/api/hitl", "/sessions"))
    assert PREPARES in page.text and "Cancel the build" in page.text
    page = seen(client, known.removeprefix("/api"))
    assert PREPARES in page.text and WAITS in page.text
    assert {each.get("href") for each in page.all("a")} >= {address.replace("/api/hitl", "/sessions") for address in (one, two)}
    for address in (two, one):
        assert client.post(f"{address}/cancel", json={}).status_code == 200
    until(lambda: db.value("select count(*) from runs where ended_at is null") == 0, HANG, "the runs end")
    until(lambda: not any(members(folder.name, folder) for folder in run_folders(config)), HANG, "no process is left")
    store = stores.store_path(config.data, repository["id"])
    assert not is_held(store.with_name(f"{store.name}.lock"))
    for address in (one, two, known):
        assert client.get(address).json["fetching"] is None
    assert PREPARES not in seen(client, known.removeprefix("/api")).text
    remote.let_go()
    completed(db, started(client, remote).rpartition("/")[2])
    git(store, "fsck", "--full")
    assert not list(store.rglob("tmp_*")) and not list((config.data / "runs").glob("*/fetch.messages"))


def test_the_fetch_of_a_setup_is_seen_on_its_repositorys_page_and_cancelled_there(
        client: FlaskClient, db: Database, config: Config, remote: HeldRemote, engine: None) -> None:
    known = client.post("/api/repositories", json={"url": str(remote.path)}).headers["Location"]
    remote.hold()
    client.patch(known, json={"environment": {"setup": ["true"]}})
    sha256 = client.get(f"{known}/environment").json["sha256"]
    assert client.post(f"{known}/environment/approve", json={"sha256": sha256}).status_code == 200
    says(client, known, PREPARES)
    page, run = known.removeprefix("/api"), client.get(known).json["environment"]["run"]
    assert PREPARES in client.get(f"{page}/fetching").text
    cancel = f"{page}/runs/{run}/cancel"
    assert PREPARES in seen(client, page).text and any(each.get("action") == cancel for each in seen(client, page).all("form"))
    assert client.post(cancel).status_code == 303
    says(client, known, None)
    until(lambda: db.value("select ended_at from runs where id = ?", (run,)), HANG, "the run ends")
    until(lambda: not members(run, config.data / "runs" / run), HANG, "no process is left")
    remote.let_go()
    client.post(f"{known}/environment/build", json={})
    until(lambda: client.get(f"{known}/environment").json["state"] == "ready", HANG, "it is made")


def test_what_the_setup_of_a_fetched_repository_prints_is_no_progress_of_a_fetch(
        client: FlaskClient, config: Config, remote: HeldRemote, engine: None) -> None:
    known = client.post("/api/repositories", json={"url": str(remote.path)}).headers["Location"]
    client.patch(known, json={"environment": {"setup": ["echo Fetching 1 of 2 MB.; exec sleep 600"]}})
    client.post(f"{known}/environment/approve", json={"sha256": client.get(f"{known}/environment").json["sha256"]})
    run = until(lambda: client.get(f"{known}/environment").json["run"], HANG, "it is started")
    log = config.data / "runs" / run / "log"
    until(lambda: log.exists() and b"\nFetching 1 of 2 MB." in log.read_bytes(), HANG, "the setup prints")
    assert client.get(known).json["fetching"] is None
    assert client.post(f"/api/runs/{run}/cancel", json={}).status_code == 200
    until(lambda: client.get(f"/api/runs/{run}").json["ended_at"], HANG, "the run ends")
