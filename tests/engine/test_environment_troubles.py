"""What people and processes do to a build's environment beside building: they cancel, edit rows by hand, let it grow old, build twice, end."""
from pathlib import Path

import pytest
from conftest import HANG, build, by_hand, git, until
from environment_side import STEPS, approved, card, in_bubblewrap, make_remote, request
from real_engine import completed, feature, running

from engine.config import Config
from engine.environments import layers
from engine.environments.steps import Steps, digest
from engine.repositories import requests, settings, sources, versions
from engine.runs import wanted
from engine.store.db import Database
from engine.tickets import answers

HANGS = Steps(setup=("sleep 1000",))


@pytest.fixture()
def config(tmp_path: Path) -> Config:
    return in_bubblewrap(tmp_path)


@pytest.fixture()
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path)


def setups(db: Database) -> list[str | None]:
    return [row[0] for row in db.all("select outcome from runs where kind = 'setup' order by seq")]


def failures(db: Database) -> int:
    return int(db.value("select sum(failures + transients) from tickets"))


def test_a_setup_that_is_cancelled_leaves_nothing_and_the_build_asks(db: Database, config: Config, remote: Path) -> None:
    approved(db, config, remote, HANGS)
    build(db, config, card(remote))
    with running(db, config):
        run = until(lambda: db.value("select id from runs where kind = 'setup' and state = 'running'"), HANG, "the setup runs")
        until(lambda: list(layers.root(config.data).glob("*.tmp")), HANG, "it makes a snapshot")
        wanted.cancel(db, "default", run)
        asked = request(db)
        assert asked["kind"] == "environment" and "It was stopped by hand." in asked["body"] and failures(db) == 0
        until(lambda: not layers.of_run(config.data, run), HANG, "what it had made is removed")


def test_a_setup_that_is_cancelled_before_it_begins_asks_too(db: Database, config: Config, remote: Path) -> None:
    repository = approved(db, config, remote)
    build(db, config, card(remote))
    run = wanted.want(db, "setup", "repository", repository["id"], "default", {})
    wanted.cancel(db, "default", run["id"])
    db.execute("update tickets set waits_for = 'environment', status = 'running' where type = 'epic'")
    sources.of_session(db, config, db.value("select id from hitl_sessions"))
    with running(db, config):
        assert "It was stopped before it began." in request(db)["body"]
    assert setups(db) == ["cancelled"]


def test_an_environment_that_is_too_old_is_made_again_once(db: Database, config: Config, remote: Path) -> None:
    approved(db, config, remote, STEPS._replace(days=7))
    with running(db, config):
        completed(db, build(db, config, card(remote)))
        by_hand(config, "update environments set built_at = '2020-01-01T00:00:00.000Z'")
        for _ in range(2):
            completed(db, build(db, config, card(remote)))
    assert setups(db) == ["done", "done"]


def test_two_repositories_with_the_same_inputs_share_one_snapshot(db: Database, config: Config, remote: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(remote), str(tmp_path / "other.git"))
    for each in (remote, tmp_path / "other.git"):
        approved(db, config, each)
    sessions = [build(db, config, card(each)) for each in (remote, tmp_path / "other.git")]
    with running(db, config):
        for session in sessions:
            completed(db, session)
    folder = layers.root(config.data) / db.value("select key from environments")
    assert (folder / "home" / "count").read_text() == "once\n"
    assert db.value("select count(distinct key) from environments") == 1 and db.value("select count(*) from environments") == 2


@pytest.mark.parametrize("nonsense", ["", "null", "[]", "{", '"x"', '{"limits": 7}', '{"limits": {"setup_seconds": "long"}, "without": "yes"}'])
def test_settings_that_are_nonsense_count_as_absent(db: Database, config: Config, remote: Path, nonsense: str) -> None:
    repository = sources.row_for(db, config, "default", str(remote))
    by_hand(config, "update repositories set settings = ?", (nonsense,))
    assert settings.settings_of(sources.get(db, "default", repository["id"])) == settings.Settings()
    settings.set_without(db, repository["id"], True)
    assert settings.settings_of(sources.get(db, "default", repository["id"])).without


@pytest.mark.parametrize("text", ['{"setup":["touch elsewhere"]}', "{", "[]", '{"setup":7}'])
def test_steps_that_were_changed_by_hand_do_not_run(db: Database, config: Config, remote: Path, text: str) -> None:
    approved(db, config, remote)
    by_hand(config, "update environment_versions set steps = ?", (text,))
    build(db, config, card(remote))
    with running(db, config):
        asked = request(db)
        assert requests.APPROVE in asked["options"] and setups(db) == []
        waiting = versions.proposed(db, db.value("select id from repositories"))
        assert waiting and waiting["sha256"] in asked["body"] and versions.steps_of(waiting) and ("elsewhere" in waiting["steps"]) == ("elsewhere" in text)


def test_a_setup_of_steps_that_were_changed_by_hand_ends_with_the_reason(db: Database, config: Config, remote: Path) -> None:
    repository = approved(db, config, remote)
    by_hand(config, "update environment_versions set steps = ?", ('{"setup":["touch elsewhere"]}',))
    wanted.want(db, "setup", "repository", repository["id"], "default", {"sha256": digest(STEPS)})
    with running(db, config):
        until(lambda: setups(db) == ["failed"], HANG, "the setup ends")
    assert "changed in the database" in db.value("select reason from runs where kind = 'setup'")
    assert versions.readable(versions.approved(db, repository["id"])).setup == ("touch elsewhere",)  # type: ignore[arg-type]


def test_a_repository_that_vanishes_from_the_database_is_known_again(db: Database, config: Config, remote: Path) -> None:
    approved(db, config, remote, HANGS)
    build(db, config, card(remote))
    with running(db, config):
        until(lambda: db.value("select 1 from runs where kind = 'setup' and state = 'running'"), HANG, "the setup runs")
        by_hand(config, "delete from repositories")
        wanted.cancel(db, "default", db.value("select id from runs where kind = 'setup'"))
        asked = request(db)
        assert requests.APPROVE in asked["options"], "nobody has approved anything for the new row"
        answers.answer_request(db, "default", asked["seq"], requests.WITHOUT)
        until(lambda: db.value("select 1 from tickets where type = 'epic' and waits_for is not 'environment'"), HANG, "the build goes on without")


def test_a_setup_whose_repository_vanished_ends_and_holds_up_nobody(db: Database, config: Config, remote: Path) -> None:
    approved(db, config, remote)
    wanted.want(db, "setup", "repository", db.value("select id from repositories"), "default", {})
    by_hand(config, "delete from repositories")
    with running(db, config) as engine:
        completed(db, build(db, config, {"name": "Fresh", "features": [feature("A", "echo a > a.txt")]}))
        until(lambda: setups(db) == ["failed"], HANG, "the setup ends")
        assert not engine.errors
    assert "Repository not found" in db.value("select reason from runs where kind = 'setup'")


def test_a_snapshot_that_was_damaged_between_builds_is_made_again(db: Database, config: Config, remote: Path) -> None:
    approved(db, config, remote)
    with running(db, config):
        completed(db, build(db, config, card(remote)))
        (layers.root(config.data) / db.value("select key from environments") / "repo" / ".venv" / "bin" / "tool").unlink()
        completed(db, build(db, config, card(remote)))
    assert setups(db) == ["done", "done"] and failures(db) == 0


def test_a_snapshot_that_is_damaged_during_a_build_is_made_again_and_uses_up_no_attempt(db: Database, config: Config, remote: Path) -> None:
    approved(db, config, remote)
    features = [feature("A", "swarm-ask 'Go on?' --option Yes || true"), feature("B", "tool > b.txt", depends_on=["A"])]
    session = build(db, config, {**card(remote), "features": features})
    with running(db, config):
        asked = request(db)
        (layers.root(config.data) / db.value("select key from environments") / "repo" / ".venv" / "bin" / "tool").unlink()
        db.execute("update tickets set description = ? where id = ?", ("```sh\ntool > a.txt\n```\n", asked["ticket_id"]))
        answers.answer_request(db, "default", asked["seq"], "Yes")
        completed(db, session)
    assert setups(db) == ["done", "done"] and db.value("select sum(failures) from tickets") == 0
