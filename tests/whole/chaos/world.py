"""A data folder, the server on it that lives at the moment, builds in progress, and a book of what was done to them."""
import collections
import os
import random
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.crash import VARIABLE
from tests.whole.chaos.card import make_card
from tests.whole.chaos.server import Server, log_of

if TYPE_CHECKING:
    from tests.whole.chaos.forge import Forge
    from tests.whole.chaos.provider import Provider

GIT = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent", "LC_ALL": "C"}
FEW = 6  # open features, below which the next build is started


class World:
    """At most one server is here, unless a round starts a second.

    killable: runs whose runner was killed, or may have been. disk_failed: runs that lived while the disk failed. half_done: runs found
    merged in the branch and not in the database. cancelled: tickets whose cancellation was granted. odd: kinds of odd features that were merged."""

    def __init__(self, data: Path, rng: random.Random, features: int, provider: "Provider", forge: "Forge", environment: dict[str, str]) -> None:
        self.data, self.rng, self.features = data, rng, features
        self.provider, self.forge, self.environment = provider, forge, environment
        self.server: Server | None = None
        self.crash = ""
        self.counts: collections.Counter[str] = collections.Counter()
        self.killable: set[str] = set()
        self.git_kills = 0
        self.disk_failed: set[str] = set()
        self.half_done: set[str] = set()
        self.cancelled: set[str] = set()
        self.odd: collections.Counter[str] = collections.Counter()
        self.problems: list[str] = []

    def start(self, crash: str = "", killed_after: float | None = None, **environment: str) -> Server:
        """A server, in place of the one that lives; crash: a point with its count; killed_after: seconds."""
        self.kill()
        self.counts["starts"] += 1
        self.crash = crash
        self.server = Server(self.data, {**self.environment, **({VARIABLE: crash} if crash else {}), **environment}, killed_after)
        return self.server

    def plain(self) -> Server:
        """The server that lives, if nothing is switched on in it; else a new one."""
        if self.server is None or not self.server.alive or self.server.url is None or self.crash:
            self.start()
            assert self.server is not None
            if self.server.url is None:
                self.problems.append(f"the server did not start: exit code {self.server.process.poll()}")
                raise RuntimeError(self.problems[-1])
        return self.server

    def kill(self, with_git: bool = False) -> None:
        if self.server is not None:
            if self.server.alive:
                self.counts["kills"] += 1
            self.server.kill(with_git)
            self.server = None
            self.note_half_done()

    def died(self) -> None:
        """The server ended by itself, at its point."""
        self.counts["kills"] += 1
        if self.server is not None and self.server.process.poll() != -9:
            self.problems.append(f"the server ended with exit code {self.server.process.poll()} at {self.crash or 'no point'}")
        self.note_half_done()

    def need_work(self) -> None:
        """Enough open features for a round: otherwise one more build is begun."""
        if not (self.data / "swarm.db").exists() or self.value(
                "select count(*) from tickets where type = 'feature' and status in ('blocked', 'ready', 'claimed', 'running')") < FEW:
            self.begin_build()

    def begin_build(self) -> None:
        self.counts["builds"] += 1
        if self.counts["builds"] % 4 == 1:
            self._build(self.provider.make_card(f"Models {self.counts['builds']}"))
        if self.counts["builds"] == 1:
            self._build(self.forge.make_card())
        if self.counts["builds"] % 4 == 1:
            self.begin_environment()
        self._build(make_card(self.rng, f"Build {self.counts['builds']}", self.features, checks=self.counts["builds"] % 2 == 1))

    def begin_environment(self) -> None:
        from tests.whole.chaos import environments  # which needs a world

        self.counts["environments"] += 1
        self._build(environments.begin_build(self, environments.make(self.rng, self.counts["environments"])))

    def _build(self, card: dict[str, Any]) -> None:
        server = self.plain()
        made = answered(server.call("/api/hitl", {"project_name": card["name"], "spec_card": card}), 201)
        answered(server.call(f"/api/hitl/{made['id']}/approve", {"spec_sha256": made["spec_sha256"]}), 200)
        answered(server.call(f"/api/hitl/{made['id']}/start-build", {"confirmed": True}), 200)

    def rows(self, sql: str, *parameters: Any) -> list[sqlite3.Row]:
        """A connection for each question: one that stays open would keep a killed server's log of writes from being recovered."""
        connection = sqlite3.connect(f"{(self.data / 'swarm.db').as_uri()}?mode=ro", uri=True, timeout=20)
        connection.row_factory = sqlite3.Row
        try:
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()

    def value(self, sql: str, *parameters: Any) -> Any:
        found = self.rows(sql, *parameters)
        return found[0][0] if found else None

    def note_half_done(self) -> None:
        """Runs whose merge is in the branch and not yet in the database: the next engine must find that out."""
        if not (self.data / "swarm.db").exists():
            return
        for row in self.rows("select r.id, r.tip_sha, r.session_id, e.branch_name from runs r join tickets t on t.id = r.ticket_id"
                             " join tickets e on e.id = t.parent_id where r.state = 'merging'"):
            if self.git(row["session_id"], "merge-base", "--is-ancestor", row["tip_sha"], row["branch_name"]).returncode == 0:
                self.half_done.add(row["id"])

    def git(self, session: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", f"--git-dir={self.data / 'repos' / session}.git", *arguments], capture_output=True, text=True, env=GIT)

    def runs_since(self, engine_count: int) -> set[str]:
        """Runs claimed by the engines that started after that many others."""
        return {row["id"] for engine in self.engine_ids()[engine_count:] for row in self.rows("select id from runs where claimed_by = ?", engine)}

    def engine_ids(self) -> list[str]:
        """Of all engines so far, in order."""
        return re.findall(r"event=engine_started engine=(\w+)", log_of(self.data).read_text(errors="replace"))


def answered(answer: tuple[int, Any] | None, status: int) -> Any:
    if answer is None or answer[0] != status:
        raise RuntimeError(f"the server answered {answer}, not {status}")
    return answer[1]


def until(condition: Callable[[], Any], seconds: float, pause: float = 0.02) -> Any:
    """The first true value of condition(), or the last one after that time."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(pause)
    return value
