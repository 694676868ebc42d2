"""An engine whose runs leave what a test says, in real folders and without a process, and the pages that show it."""
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from engine.config import Config
from engine.jobs import Job, Result
from engine.loop.fakes import FakeBranches
from engine.loop.launch import ProcessLauncher
from engine.loop.loop import SwarmEngine
from engine.runtimes import Choice, Fake
from engine.store.db import Database

Leave = Callable[[Job, Path], None]


class LeftLauncher(ProcessLauncher):
    inline = True

    def __init__(self, config: Config, leave: Leave) -> None:
        super().__init__(config)
        self.leave = leave

    def launch(self, job: Job) -> None:
        folder = self.folder(job.run)
        folder.mkdir(parents=True)
        job.write(folder)
        (folder / "started.json").write_text('{"pid": 1}')
        if job.kind == "feature":
            self.leave(job, folder)
        elif job.kind == "recheck":
            Result(job.run, "failed", 0, failure="agent", reason="The checks failed.").write(folder)
        else:
            Result(job.run, "ok", 0, base=sha("base"), tip=sha(job.run)).write(folder)

    def stop(self, run_id: str) -> None:
        """There is nothing to stop."""


def sha(text: str) -> str:
    return sha1(text.encode()).hexdigest()


@contextmanager
def left_engine(db: Database, config: Config, leave: Leave) -> Iterator[tuple[SwarmEngine, LeftLauncher]]:
    launcher = LeftLauncher(config, leave)
    engine = SwarmEngine(db, config, launcher, FakeBranches(), Choice(Fake(), [], False))
    try:
        yield engine, launcher
    finally:
        engine.stop()


def look_at_all(client: FlaskClient, session: str, ticket: str) -> None:
    """Every page and every JSON answer of the session and the ticket: no failure, UTF-8, and JSON that is JSON."""
    for rule in client.application.url_map.iter_rules():
        if "GET" not in rule.methods or not rule.arguments or not rule.arguments <= {"session_id", "ticket_id"} or str(rule).endswith(".zip"):
            continue
        path = str(rule).replace("<session_id>", session).replace("<ticket_id>", ticket)
        answer = client.get(path)
        assert answer.status_code < 500, (path, answer.text)
        text = answer.data.decode("utf-8") if not path.endswith("log.txt") else ""
        if answer.is_json:
            assert json.dumps(json.loads(text, parse_constant=refuse), ensure_ascii=False).encode("utf-8"), path
    for path in (f"/tickets/{ticket}", f"/sessions/{session}", f"/sessions/{session}/notes", f"/api/tickets/{ticket}", f"/api/hitl/{session}", "/", "/inbox"):
        assert client.get(path).status_code == 200, path


def refuse(name: str) -> Any:
    raise ValueError(name)
