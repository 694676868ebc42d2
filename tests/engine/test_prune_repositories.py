"""Which of our own repositories go: those whose result is elsewhere. What is the only copy of a result stays for ever."""
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import build, git
from delivery_side import PROJECT, Built, served

from app import create_app
from engine.config import Config
from engine.git.branches import repository_path
from engine.git.repository import Repository
from engine.loop.prune.repositories import prune_repositories
from engine.store.db import Database
from engine.tickets import answers, states
from engine.tickets.delivery_answers import WITHOUT


@pytest.fixture
def config(config: Config, tmp_path: Path) -> Config:
    served(tmp_path)
    return dataclasses.replace(config, repository_roots=(tmp_path,), keep_repository_days=30)


@pytest.fixture
def built(db: Database, config: Config, tmp_path: Path) -> Built:
    bare = tmp_path / "served" / f"{PROJECT}.git"
    return Built(db, config, tmp_path, str(bare), bare)


def age(db: Database, session: str, days: int) -> None:
    db.execute("update hitl_sessions set updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?) where id = ?", (f"-{days} days", session))


def test_a_delivered_result_goes_after_its_days_and_its_page_says_where_it_is(db: Database, config: Config, built: Built) -> None:
    built.go()
    age(db, built.session, 29)
    assert prune_repositories(db, config) == 0 and built.repository.path.is_dir()
    age(db, built.session, 31)
    assert prune_repositories(db, config) > 0
    assert [path.name for path in (config.data / "repos").iterdir()] == []
    app = create_app(config, testing=True)
    client = app.test_client()
    page, archive = client.get(f"/sessions/{built.session}"), client.get(f"/api/hitl/{built.session}/archive.zip")
    assert 'notice is-cancelled gap-below' in page.text and 'notice is-failed' not in page.text
    assert f"The result was delivered to {built.bare}. This installation&#39;s own copy of it was removed since" in page.text
    assert archive.status_code == 410 and "get it there" in archive.json["error"]
    for path in (f"/sessions/{built.session}/evidence", "/tickets/TKT-002", "/tickets/TKT-002/changes", "/api/tickets/TKT-002/diff",
                 f"/api/hitl/{built.session}/notes"):
        assert client.get(path).status_code in (200, 404, 410), path
    app.extensions["swarm"].db.close()


def test_what_is_the_only_copy_of_a_result_stays(db: Database, config: Config, built: Built, tmp_path: Path) -> None:
    def stays(session: str) -> bool:
        age(db, session, 5000)
        assert prune_repositories(db, dataclasses.replace(config, keep_repository_mb=0)) == 0
        return repository_path(config, session).is_dir()

    assert stays(built.session), "it is not delivered yet"
    fresh = build(db, config, {"name": "Own", "features": [{"title": "F"}]})
    own = Repository(repository_path(config, fresh))
    own.create()
    own.start_fresh("Own", 0)
    for status in ("completed", "failed", "cancelled"):
        states.change(db, status, "session_id = :id", {"id": fresh})
        db.execute("update hitl_sessions set state = ? where id = ?", (status, fresh))
        assert stays(fresh), "nobody else has it"
    built.go()
    git(built.bare, "update-ref", "-d", f"refs/heads/{built.branch}")
    assert stays(built.session), "the branch was deleted there"
    git(built.bare, "fetch", "-q", str(built.repository.path), f"{built.base}:refs/heads/{built.branch}")
    assert stays(built.session), "the branch is there without the result"
    built.bare.rename(tmp_path / "away")
    assert stays(built.session), "the repository is not there now"
    (tmp_path / "away").rename(built.bare)
    git(built.bare, "update-ref", "-d", f"refs/heads/{built.branch}")
    git(built.bare, "fetch", "-q", str(built.repository.path), f"{built.tip}:refs/heads/{built.branch}")
    for column, value in (("state", "watched"), ("state", "closed"), ("state", "dropped"), ("pushed_sha", built.base)):
        before = db.value(f"select {column} from deliveries")
        db.execute(f"update deliveries set {column} = ?", (value,))
        assert stays(built.session), (column, value)
        db.execute(f"update deliveries set {column} = ?", (before,))
    db.execute("update hitl_sessions set state = 'failed' where id = ?", (built.session,))
    assert stays(built.session), "it failed afterwards"
    db.execute("update hitl_sessions set state = 'completed' where id = ?", (built.session,))
    age(db, built.session, 5000)
    assert prune_repositories(db, config) > 0 and not built.repository.path.exists()


def test_a_build_that_was_finished_without_delivery_keeps_its_only_copy(db: Database, config: Config, built: Built) -> None:
    shutil.rmtree(built.bare)
    built.go()
    assert "is not there" in built.asked()["body"]
    answers.answer(db, "default", built.epic, WITHOUT)
    assert built.state() == "completed"
    age(db, built.session, 5000)
    assert prune_repositories(db, config) == 0 and built.repository.path.is_dir()


def test_more_go_the_oldest_first_while_they_are_larger_than_allowed(db: Database, config: Config, built: Built, tmp_path: Path) -> None:
    more: list[Any] = [built, *(Built(db, config, tmp_path, str(built.bare), built.bare) for _ in range(2))]
    for days, each in zip((1, 3, 2), more, strict=True):
        each.go()
        (each.repository.path / "big").write_bytes(b"x" * 600_000)
        age(db, each.session, days)
    prune_repositories(db, dataclasses.replace(config, keep_repository_mb=2))
    assert [each.repository.path.exists() for each in more] == [True, True, True]
    prune_repositories(db, dataclasses.replace(config, keep_repository_mb=1))
    assert [each.repository.path.exists() for each in more] == [True, False, False]


def test_a_repository_in_use_stays_and_what_a_kill_left_goes(db: Database, config: Config, built: Built) -> None:
    built.go()
    age(db, built.session, 31)
    other = Repository(built.repository.path)
    with other.locked():
        assert prune_repositories(db, config) == 0 and built.repository.path.is_dir()
    left = config.data / "repos" / "x.git.removed"
    left.mkdir()
    assert prune_repositories(db, config) > 0 and not left.exists()
