"""A remote with a history, sessions that borrow from its store, and runs whose work is merged."""
import subprocess
from pathlib import Path
from typing import Any

from conftest import GIT_ENV, git
from runner_bench import BRANCH, INTEGRATION, Bench, log_of

from engine.config import Config
from engine.git.branches import GitBranches, HandOver
from engine.git.repository import Repository
from engine.jobs import Result, Source


def filled(folder: Path, commits: int, files: int) -> Path:
    git(folder.parent, "init", "-q", "-b", "main", folder.name)
    stream = "".join(f"commit refs/heads/main\ncommitter A <a@b> {1700000000 + n} +0000\ndata 2\nc\nM 100644 inline f{n % files}\ndata {len(str(n))}\n{n}\n"
                     for n in range(commits))
    subprocess.run(["git", "-C", str(folder), "fast-import", "--quiet"], input=stream.encode(), check=True, env=GIT_ENV)
    return folder


def prepared(bench: Bench, remote: Path, name: str) -> Repository:
    """The repository of a session, after its prepare run."""
    bench.repository = Repository(bench.folder / "repos" / f"{name}.git")
    result, _ = bench.run(kind="prepare", source=Source(str(remote), None, ("file",), store=str(bench.folder / "stores" / "REPO-1.git")))
    assert (result.outcome, result.reason, result.base) == ("ok", None, git(remote, "rev-parse", "main").strip())
    return bench.repository


def merged(bench: Bench, script: str, **values: Any) -> Result:
    """A feature run whose work is taken in and merged."""
    result, folder = bench.run(script, **values)
    assert (result.outcome, result.reason) == ("ok", None), f"{result.reason} {log_of(folder)}"
    work = HandOver(result.run, "TKT-002", "Greet", bench.repository.path.stem, BRANCH, INTEGRATION, result)
    branches = GitBranches(Config(data=bench.folder))
    assert branches.merge(work, branches.keep(work))
    return result
