"""A repository with dependencies, and builds in it whose environment was approved."""
from pathlib import Path

from conftest import HANG, git, require, until
from real_engine import feature

from engine.config import Config
from engine.environments.steps import Steps, digest
from engine.repositories import sources, versions
from engine.repositories.rows import RepositoryRow
from engine.store.db import Database

TOOL = "mkdir -p .venv/bin && printf '#!/bin/sh\\necho tool\\n' > .venv/bin/tool && chmod +x .venv/bin/tool"
STEPS = Steps(setup=(f"echo once >> \"$HOME/count\"; {TOOL}",), env={"PATH": "$SWARM_WORK/repo/.venv/bin:$PATH"})


def in_bubblewrap(tmp_path: Path) -> Config:
    """Settings of an installation whose builds can have environments, with repositories in `tmp_path`."""
    require("bwrap")
    return Config(data=tmp_path / "data", runtime="bubblewrap", agent="runbook", slots=2, backoff_seconds=0.0, repository_roots=(tmp_path,))


def make_remote(tmp_path: Path, **files: str) -> Path:
    """A repository with dependencies, in which a build can be delivered. files: {name: text}, beside the .gitignore."""
    work, bare = tmp_path / "work", tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "-b", "main", str(work))
    for name, text in {".gitignore": ".venv\n", **(files or {"requirements.txt": ""})}.items():
        (work / name).write_text(text)
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "First")
    git(tmp_path, "clone", "-q", "--bare", str(work), str(bare))
    return bare


def card(remote: Path) -> dict:
    features = [feature(f"F{n}", f"tool > said-{n}.txt", acceptance_criteria=[{"text": "the tool works", "check": f"tool && test -e said-{n}.txt"}])
                for n in range(2)]
    return {"name": "Dependencies", "repository": str(remote), "features": features}


def approved(db: Database, config: Config, remote: Path, steps: Steps = STEPS) -> RepositoryRow:
    repository = sources.row_for(db, config, "default", str(remote))
    assert versions.propose(db, repository, steps, "page")
    versions.approve(db, repository["id"], digest(steps), "you")
    return repository


def request(db: Database) -> dict:
    return dict(until(lambda: db.one("select * from requests where state = 'open'"), HANG, "a request is open"))
