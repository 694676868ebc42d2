"""The host's side of a finish: harvest through the quarantine, policy, merge, in a repository of many files; against the least that git can do."""
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.rows import Row, interleaved
from bench.sizes import Size
from engine.config import Config
from engine.git.branches import GitBranches, HandOver, repository_path
from engine.git.repository import Repository
from engine.jobs import Result

ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "Bench",
       "GIT_AUTHOR_EMAIL": "bench@localhost", "GIT_COMMITTER_NAME": "Bench", "GIT_COMMITTER_EMAIL": "bench@localhost"}
WHEN = 1_700_000_000
OUT = "refs/heads/swarm-out"


def measure(size: Size, folder: Path) -> Iterator[Row]:
    config = Config(data=folder / "git")
    repository = Repository(repository_path(config, "s"))
    with repository.locked():
        repository.create()
    _git(repository.path, "fast-import", "--quiet", stdin=_history(size.files))
    base = _git(repository.path, "rev-parse", "main")
    rounds = size.times * 2 + 1
    bundles = [_change(folder / "git", repository.path, base, number) for number in range(2 * rounds)]
    for branch in ("ours", "raw"):
        _git(repository.path, "update-ref", f"refs/heads/{branch}", base)
    numbers = iter(range(2 * rounds))
    subjects = {"ours": lambda: _ours(config, base, bundles, next(numbers)), "raw": lambda: _raw(repository.path, bundles, next(numbers))}
    found = interleaved(subjects, rounds)
    yield Row(f"host side of a finish, {size.files:,} files: harvest, policy, merge", "ms", found["ours"], found["raw"], target=("≤", 100.0),
              note="raw: git fetch, merge-tree, commit-tree, update-ref, nothing checked")


def _ours(config: Config, base: str, bundles: list[tuple[Path, str]], number: int) -> float:
    bundle, tip = bundles[number]
    out = config.data / "runs" / f"r{number}" / "out"
    out.mkdir(parents=True)
    os.replace(bundle, out / "out.bundle")
    branches = GitBranches(config)
    result = Result(f"r{number}", "ok", WHEN, base=base, tip=tip)
    work = HandOver(f"r{number}", f"TKT-{number:03d}", "A small change", "s", f"swarm/t{number}", "ours", result)
    since = time.perf_counter()
    branches.merge(work, branches.keep(work))
    return (time.perf_counter() - since) * 1000


def _raw(path: Path, bundles: list[tuple[Path, str]], number: int) -> float:
    bundle, tip = bundles[number]
    since = time.perf_counter()
    _git(path, "fetch", "--quiet", "--no-write-fetch-head", "--no-auto-maintenance", str(bundle), f"{OUT}:refs/heads/raw-{number}")
    head = _git(path, "rev-parse", "raw")
    tree = _git(path, "merge-tree", "--write-tree", head, tip)
    _git(path, "update-ref", "refs/heads/raw", _git(path, "commit-tree", "-p", head, "-p", tip, "-m", "Merge", tree), head)
    return (time.perf_counter() - since) * 1000


def _history(files: int) -> str:
    """For fast-import: one commit on main with so many files, fifty in a folder."""
    head = f"commit refs/heads/main\ncommitter Bench <bench@localhost> {WHEN} +0000\ndata 4\nBase\n"
    return head + "".join(f"M 644 inline d{n // 1000}/e{n // 50}/f{n}.txt\ndata {len(str(n)) + 1}\n{n}\n\n" for n in range(files)) + "\n"


def _change(folder: Path, repository: Path, base: str, number: int) -> tuple[Path, str]:
    """A bundle with one commit on the base that adds one file, made by git in the repository's objects of another place. -> it and its tip"""
    place, bundle = folder / "agent.git", folder / f"{number}.bundle"
    if not place.exists():
        _git(folder, "clone", "--quiet", "--bare", "--shared", str(repository), str(place))
    text = (f"commit {OUT}\ncommitter Bench <bench@localhost> {WHEN + number} +0000\ndata 6\nChange\nfrom {base}\n"
            f"M 644 inline d0/e0/new{number}.txt\ndata 4\nnew\n\n")
    _git(place, "fast-import", "--quiet", "--force", stdin=text)
    _git(place, "bundle", "create", "--quiet", str(bundle), f"{base}..{OUT}")
    return bundle, _git(place, "rev-parse", OUT)


def _git(folder: Path, *arguments: str, stdin: str | None = None) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], input=stdin, check=True, capture_output=True, text=True, env=ENV).stdout.strip()
