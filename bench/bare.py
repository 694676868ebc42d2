"""A one-feature build in an empty repository, by hand: the git commands and the one sandbox that it cannot do without, and nothing checked."""
import shutil
import subprocess
import time
from pathlib import Path

from bench.host_git import ENV

INSIDE = """git clone -q -b main /in/in.bundle repo && cd repo && date +%s.%N > started.txt && git add -A && git commit -q -m Work &&
git bundle create -q /out/out.bundle origin/main..main"""


def seconds(program: str, place: Path) -> float:
    """program: a bwrap. Works in `place`, which is removed again."""
    since = time.monotonic()
    for name in ("in", "out"):
        (place / name).mkdir(parents=True)
    _git(place, "init", "-q", "--bare", "-b", "main", "repo.git")
    repository = place / "repo.git"
    tree = _git(repository, "mktree", stdin="")
    _git(repository, "update-ref", "refs/heads/main", _git(repository, "commit-tree", "-m", "Start", tree))
    _git(repository, "bundle", "create", "-q", str(place / "in" / "in.bundle"), "main")
    usual = [word for path in ("/usr", "/bin", "/lib", "/lib64", "/etc") if Path(path).exists() for word in ("--ro-bind", path, path)]
    subprocess.run([program, "--unshare-all", "--die-with-parent", *usual, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/work",
                    "--ro-bind", str(place / "in"), "/in", "--bind", str(place / "out"), "/out", "--chdir", "/work", "--setenv", "HOME", "/work",
                    "/bin/sh", "-c", INSIDE], check=True, capture_output=True, env={**ENV, "PATH": "/usr/local/bin:/usr/bin:/bin"})
    _git(repository, "fetch", "-q", str(place / "out" / "out.bundle"), "main:work")
    head, tip = _git(repository, "rev-parse", "main"), _git(repository, "rev-parse", "work")
    tree = _git(repository, "merge-tree", "--write-tree", head, tip)
    _git(repository, "update-ref", "refs/heads/main", _git(repository, "commit-tree", "-p", head, "-p", tip, "-m", "Merge", tree), head)
    took = time.monotonic() - since
    shutil.rmtree(place)
    return took


def _git(folder: Path, *arguments: str, stdin: str | None = None) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], input=stdin, check=True, capture_output=True, text=True, env=ENV).stdout.strip()
