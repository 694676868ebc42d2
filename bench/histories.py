"""What a long history costs: the start of a run in a repository with many commits against one with a single commit, and the disk of ten sessions."""
import random
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.children import server, until
from bench.real_runs import STAMP, get, post, stamp, url_of
from bench.rows import Row
from bench.sizes import Size
from engine.runtimes import bwrap

FILES = 5000
SESSIONS = 10  # of the figure about the disk


def measure(size: Size, folder: Path) -> Iterator[Row]:
    if not size.commits or not bwrap.candidates():
        return
    remotes = {"long": _generated(folder / "long.git", size.commits, size.megabytes), "short": _generated(folder / "short.git", 1, 0)}
    data, times = folder / "data", max(size.builds, SESSIONS)
    found: dict[str, list[float]] = {name: [] for name in remotes}
    whole: dict[str, list[float]] = {name: [] for name in remotes}
    with server(data, RUNTIME="bubblewrap", SLOTS="1", REPOSITORY_ROOTS=str(folder)) as process:
        url = url_of(process)
        for _ in range(times):
            for name, remote in remotes.items():
                since = time.monotonic()
                session = _build(url, str(remote))
                until(lambda session=session: get(url, f"/api/hitl/{session}")["state"] == "completed", "the build", 300, 0.02)  # type: ignore[misc]
                whole[name].append(time.monotonic() - since)
                found[name].append(_start(url, data, session))
    # The first build fetches, and makes what the later ones share.
    start = {name: statistics.median(values[1:]) for name, values in found.items()}
    mark = f"{size.commits:,} commits, {_bytes(remotes['long']) / 1e6:.0f} MB, {FILES:,} files"
    yield Row("launch to agent started in a long history, against a single commit, p50", "ms", start["long"] * 1000, raw=start["short"] * 1000,
              ratio=start["long"] / start["short"], target=("≤", 2.0), note=mark)
    yield Row("one build in a long history, against a single commit, p50", "s", statistics.median(whole["long"][1:]),
              raw=statistics.median(whole["short"][1:]), ratio=statistics.median(whole["long"][1:]) / statistics.median(whole["short"][1:]),
              note=f"the first, with its fetch: {whole['long'][0]:.1f} s")
    kept = sum(_bytes(data / part) for part in ("repos", "stores", "trees", "runs") if (data / part).is_dir())
    yield Row(f"disk of {times} sessions in a long history, against the repository", "MB", kept / 1e6, raw=_bytes(remotes["long"]) / 1e6,
              ratio=kept / _bytes(remotes["long"]), target=("≤", 1.3), note="repositories, stores, trees and runs")


def _generated(path: Path, commits: int, megabytes: int) -> Path:
    """A bare repository whose commits change one file each; the content cannot be compressed."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True)
    chance, size = random.Random(1), max(10, megabytes * 860_000 // commits)
    with subprocess.Popen(["git", "-C", str(path), "fast-import", "--quiet"], stdin=subprocess.PIPE) as importer:
        assert importer.stdin is not None
        for number in range(commits):
            file, data = number % FILES, chance.randbytes(size)
            importer.stdin.write(b"commit refs/heads/main\ncommitter A <a@b> %d +0000\ndata 2\nc\nM 100644 inline src/d%d/f%d.bin\ndata %d\n%b\n"
                                 % (1_600_000_000 + number, file % 200, file, size, data))
        importer.stdin.close()
    assert importer.returncode == 0
    return path


def _build(url: str, remote: str) -> str:
    card = {"name": "Bench", "repository": remote, "features": [{"title": "F", "description": STAMP.format(then="")}]}
    made = post(url, "/api/hitl", {"project_name": "Bench", "spec_card": card})
    post(url, f"/api/hitl/{made['id']}/approve", {"spec_sha256": made["spec_sha256"]})
    post(url, f"/api/hitl/{made['id']}/start-build", {"confirmed": True})
    return str(made["id"])


def _start(url: str, data: Path, session: str) -> float:
    """Seconds from the job of the feature's run to its agent's first command."""
    run = next(run for ticket in get(url, f"/api/hitl/{session}/tickets")["tickets"] if ticket["type"] == "feature"
               for run in get(url, f"/api/tickets/{ticket['id']}/runs")["runs"])
    return stamp(data, session) - (data / "runs" / run["id"] / "job.json").stat().st_mtime


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
