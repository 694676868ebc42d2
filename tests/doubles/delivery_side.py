"""Builds that have passed their checks and wait to be delivered, made by hand: the rows and the repository as a real build leaves them."""
import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import build, git
from forge_http import TOKEN, head_of

from engine.config import ROOT, Config
from engine.delivery.steps import Deliverer
from engine.git.branch_names import branch_name
from engine.git.branches import repository_path
from engine.git.repository import Repository
from engine.store.db import Database
from engine.tickets import deliveries
from engine.times import utc

PROJECT = "acme/widget"
PROGRAM = """
import sys
from engine.tickets import deliveries
from engine.config import Config
from engine.store.db import open_database
from engine.delivery.steps import Deliverer
config = Config.from_env()
db = open_database(config.database, "NORMAL")
for _ in range(int(sys.argv[1])):
    for row in deliveries.due(db, "9999"):
        Deliverer(db, config).step(row)
"""


def served(folder: Path) -> Path:
    """A bare repository with one commit on main, to be served as acme/widget; it takes pushes over http. -> the folder to serve"""
    bare = folder / "served" / f"{PROJECT}.git"
    git(folder, "init", "-q", "--bare", "-b", "main", str(bare))
    git(bare, "config", "http.receivepack", "true")
    git(folder, "init", "-q", "-b", "main", "origin-work")
    (folder / "origin-work" / "README.md").write_text("# Widget\n")
    git(folder / "origin-work", "add", "-A")
    git(folder / "origin-work", "commit", "-q", "-m", "Begin")
    git(folder / "origin-work", "push", "-q", str(bare), "main")
    return folder / "served"


def for_forge(config: Config, url: str, **more: Any) -> Config:
    return dataclasses.replace(config, forge="github", forge_url=url, forge_token=TOKEN, repository_protocols=("http",), backoff_seconds=0.0,
                               forge_poll_seconds=0.05, **more)


def process(built: "Built", url: str, crash: str = "", rounds: int = 4) -> int:
    """All that is due, by a process of its own, which is killed at the point `crash`. -> its exit code"""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SWARM_DATA": str(built.config.data), "SWARM_FORGE": built.config.forge, "SWARM_FORGE_URL": url,
           "SWARM_FORGE_TOKEN": TOKEN, "SWARM_REPOSITORY_PROTOCOLS": "http", "SWARM_BACKOFF_SECONDS": "0", "SWARM_FORGE_POLL_SECONDS": "0.05",
           **({"SWARM_CRASH": crash} if crash else {})}
    return subprocess.run([sys.executable, "-c", PROGRAM, str(rounds)], env=env, check=False, stderr=subprocess.DEVNULL).returncode


class Built:
    """A session with an epic whose features are merged: `tips` of the features, `tip` of the whole. Pending, as after its integrate run."""

    def __init__(self, db: Database, config: Config, folder: Path, repository: str, bare: Path, features: int = 1, files: dict[str, str] | None = None,
                 depends: dict[int, list[int]] | None = None, **card: Any) -> None:
        self.db, self.config, self.bare = db, config, bare
        self.session = build(db, config, {"name": "Widget", "description": "Make it better, @team.", "repository": repository, "features": [
            {"title": f"Part {n}", "depends_on": [f"Part {other}" for other in (depends or {}).get(n, [])], "acceptance_criteria": [
                {"text": "It works", "check": "true"}, "It looks good"]} for n in range(1, features + 1)], **card})
        self.epic = db.value("select id from tickets where session_id = ? and type = 'epic'", (self.session,))
        self.repository = Repository(repository_path(config, self.session))
        self.repository.create()
        git(self.repository.path, "fetch", "-q", str(bare), "main:refs/heads/main")
        self.base = git(self.repository.path, "rev-parse", "main").strip()
        self.branch = branch_name(self.session, self.epic, "Widget")
        self.work = folder / f"work-{self.session[:8]}"
        git(folder, "clone", "-q", "-b", "main", str(self.repository.path), str(self.work))
        db.execute("update tickets set status = 'running', base_sha = ?, branch_name = ? where id = ?", (self.base, self.branch, self.epic))
        for number, row in enumerate(db.all("select * from tickets where parent_id = ? order by seq", (self.epic,)), 1):
            self.merged(row["id"], row["title"], {f"part{number}.txt": f"{number}\n", **(files or {})})
        self.intend()

    def merged(self, ticket: str, title: str, files: dict[str, str]) -> None:
        """The next commit, as this ticket's: on its own branch and in the integration branch."""
        branch = branch_name(self.session, ticket, title)
        for name, text in files.items():
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            (self.work / name).write_text(text)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "--allow-empty", "-m", f"{title}\n\nTicket: {ticket}")
        tip = git(self.work, "rev-parse", "HEAD").strip()
        git(self.work, "push", "-q", str(self.repository.path), f"HEAD:refs/heads/{branch}", f"HEAD:refs/heads/{self.branch}")
        run = f"{ticket}-{tip[:6]}"
        self.db.execute("insert into runs (id, ticket_id, session_id, kind, state, claim_token, claimed_by, run_no, agent, base_sha, tip_sha, outcome,"
                        " ended_at, checks) values (?, ?, ?, 'feature', 'ended', ?, 'x', 1, 'runbook', ?, ?, 'merged', ?, ?)",
                        (run, ticket, self.session, run, self.base, tip, utc(), '[{"text": "It works", "command": "true", "passed": true, "seconds": 0.1}]'))
        self.db.execute("update tickets set status = 'completed', branch_name = ?, merged_sha = ?, claim_token = null where id = ?", (branch, tip, ticket))

    @property
    def tip(self) -> str:
        return git(self.repository.path, "rev-parse", self.branch).strip()

    def intend(self) -> None:
        with self.db.transaction():
            self.db.execute("update tickets set status = 'running', claim_token = null where id = ?", (self.epic,))
            deliveries.intend(self.db, self.db.one("select * from tickets where id = ?", (self.epic,)), self.tip)

    def go(self, rounds: int = 6, config: Config | None = None) -> None:
        """All that is due now, and now again: waiting times are passed over."""
        deliverer = Deliverer(self.db, config or self.config)
        for _ in range(rounds):
            for row in deliveries.due(self.db, "9999"):
                deliverer.step(row)

    def row(self, ticket: str | None = None) -> Any:
        return self.db.one("select * from deliveries where ticket_id = ?", (ticket or self.epic,))

    def ticket(self, ticket: str | None = None) -> Any:
        return self.db.one("select * from tickets where id = ?", (ticket or self.epic,))

    def asked(self) -> Any:
        return self.db.one("select * from requests where session_id = ? and kind = 'delivery' and state = 'open'", (self.session,))

    def state(self) -> str:
        return str(self.db.value("select state from hitl_sessions where id = ?", (self.session,)))

    def remote_head(self, branch: str | None = None) -> str | None:
        return head_of(self.bare, branch or self.branch)
