"""An engine as the server has it, with its thread and real runs, and what its builds are waited for."""
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import HANG, state, until

from engine.config import Config
from engine.git.branches import repository_path
from engine.loop.loop import SwarmEngine
from engine.store.db import Database


def feature(title: str, *commands: str, **more: object) -> dict:
    return {"title": title, "description": "```sh\n" + "\n".join(commands) + "\n```\n", **more}


@contextmanager
def running(db: Database, config: Config) -> Iterator[SwarmEngine]:
    engine = SwarmEngine(db, config)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def completed(db: Database, session: str, seconds: float = HANG) -> None:
    until(lambda: state(db, session) in ("completed", "failed"), seconds, "the session ends")
    assert state(db, session) == "completed", [tuple(row) for row in db.all("select ticket_id, outcome, reason, detail from runs order by seq")]


def ended(db: Database, ticket: str, seconds: float = HANG) -> dict:
    """The latest run of a ticket, once it has ended."""
    return dict(until(lambda: db.one("select * from runs where ticket_id = ? and ended_at is not null order by seq desc limit 1", (ticket,)), seconds))


def integration(db: Database, config: Config, session: str) -> tuple[Path, str]:
    return repository_path(config, session), db.value("select branch_name from tickets where session_id = ? and type = 'epic'", (session,))
