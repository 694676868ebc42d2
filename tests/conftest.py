"""Fixtures and helpers that several test files share. Real parts only: a temporary database, real git, real processes."""
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app import create_app
from engine.config import Config
from engine.runtimes import bwrap
from engine.store.db import Database, open_database

HANG = 120.0  # seconds: whoever waits gives up here, so that what hangs ends; how fast the product is on a busy machine is no test's subject
GIT_ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
           "GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000",  # the same commit makes the same object
           "GIT_AUTHOR_NAME": "A Tester", "GIT_AUTHOR_EMAIL": "tester@localhost", "GIT_COMMITTER_NAME": "A Tester",
           "GIT_COMMITTER_EMAIL": "tester@localhost"}


class CompiledTemplates(BytecodeCache):
    """In memory, for all applications of this process: nearly every test makes one, and each would compile the same templates anew."""

    def __init__(self) -> None:
        self.code: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self.code.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.code[bucket.key, bucket.checksum] = bucket.code


Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": CompiledTemplates()}


def require(program: str) -> None:
    """Skips a test that needs an absent program; with SWARM_REQUIRE_ALL=1 that is a failure."""
    if shutil.which(program) or (program == "bwrap" and bwrap.candidates()):
        return
    reason = f"{program} is not installed: make system-deps"
    if os.environ.get("SWARM_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def until(condition: Callable[[], Any], seconds: float = HANG, what: str = "") -> Any:
    """The first true value of condition(). `seconds` only ends what hangs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what or condition}")


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is promised in seconds is promised for a machine with a processor to spare: the time in which somebody waited for one is not counted."""
    began, starved = time.monotonic(), _starved()
    yield
    assert time.monotonic() - began - (_starved() - starved) < seconds


def _starved() -> float:
    """Seconds, since the machine started, in which some process waited for a processor or a disk."""
    try:
        lines = [Path("/proc/pressure", of).read_text().splitlines()[0] for of in ("cpu", "io")]
    except OSError:  # this kernel does not count it, so nothing can be said
        return time.monotonic()
    return sum(int(line.rpartition("total=")[2]) for line in lines) / 1e6


def git(folder: Path, *arguments: str, **kwargs: Any) -> str:
    """Output of git in a test's own repository, free of this machine's configuration."""
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True, env=GIT_ENV, **kwargs).stdout


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data=tmp_path / "data", runtime="fake", slots=4, backoff_seconds=0.0)


@pytest.fixture
def app(config: Config) -> Iterator[Flask]:
    """The whole application, without its engine."""
    app = create_app(config, testing=True)
    yield app
    app.extensions["swarm"].db.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def db(request: pytest.FixtureRequest, config: Config) -> Iterator[Database]:
    """The application's database where the test has one, else a new one."""
    if "app" in request.fixturenames:
        yield request.getfixturevalue("app").extensions["swarm"].db
        return
    database = open_database(config.database, "NORMAL")
    yield database
    database.close()


def build(db: Database, config: Config, card: dict, tenant: str = "default", session: str | None = None) -> str:
    """A session whose build of `card` has just begun. -> its id."""
    from hitl import ticket_generator
    from hitl.session import sessions
    session = sessions.create(db, config, tenant, project_name=card["name"], spec_card=card)
    sessions.approve(db, tenant, session, db.value("select spec_sha256 from hitl_sessions where id = ?", (session,)))
    ticket_generator.start_build(db, config, tenant, session, {"confirmed": True})
    return session


def by_hand(config: Config, sql: str, parameters: tuple = ()) -> None:
    """What a person does in the sqlite3 shell: another connection, no code of ours."""
    import sqlite3
    connection = sqlite3.connect(config.database, timeout=HANG)
    with connection:
        connection.execute(sql, parameters)
    connection.close()


def statuses(db: Database, session: str) -> dict[str, str]:
    """{ticket id: status} in order."""
    return {row["id"]: row["status"] for row in db.all("select id, status from tickets where session_id = ? order by seq", (session,))}


def state(db: Database, session: str) -> str:
    return str(db.value("select state from hitl_sessions where id = ?", (session,)))


@pytest.fixture
def work(client: Any, db: Database, config: Config, tmp_path: Path) -> Any:
    """A ticket that can be put in review."""
    from reviewing import Review  # which has need of this module

    return Review(client, db, config, tmp_path)
