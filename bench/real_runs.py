"""The server as its user starts it: a build in bubblewrap, a kill -9 in the middle of one, and what it costs when nothing happens."""
import json
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from bench import bare
from bench.children import hurry, server, until
from bench.rows import Row
from bench.sizes import Size
from engine.runtimes import bwrap

STAMP = "```sh\ndate +%s.%N > started.txt\n{then}```\n"


def measure(size: Size, folder: Path) -> Iterator[Row]:
    yield from _idle(size, folder / "idle")
    if size.builds and bwrap.candidates():
        yield from _agents(size, folder / "agents")
        yield from _restart(size, folder / "restart")


def _idle(size: Size, data: Path) -> Iterator[Row]:
    with server(data, RUNTIME="fake") as process:
        url_of(process)
        time.sleep(1.0)  # what the start leaves to do
        before, since = _cpu_seconds(process.pid), time.monotonic()
        time.sleep(size.idle_seconds)
        used = (_cpu_seconds(process.pid) - before) / (time.monotonic() - since)
    yield Row(f"idle server over {size.idle_seconds:g} s", "% of a core", used * 100, target=("≤", 0.4))


def _agents(size: Size, data: Path) -> Iterator[Row]:
    """The agent's first command writes down when it ran, and the branch that was merged tells."""
    found, whole, raw = [], [], []
    with server(data, RUNTIME="bubblewrap", SLOTS="1") as process:
        url = url_of(process)
        for _ in range(size.builds):
            since = time.monotonic()
            session = _build(url, STAMP.format(then=""))
            until(lambda session=session: get(url, f"/api/hitl/{session}")["state"] == "completed", "the build", 60, 0.02)  # type: ignore[misc]
            whole.append(time.monotonic() - since)
            raw.append(bare.seconds(bwrap.candidates()[0], data / "bare"))
            run = next(run for ticket in get(url, f"/api/hitl/{session}/tickets")["tickets"] if ticket["type"] == "feature"
                       for run in get(url, f"/api/tickets/{ticket['id']}/runs")["runs"])
            launched = (data / "runs" / run["id"] / "job.json").stat().st_mtime
            found.append(stamp(data, session) - launched)
    yield Row("launch to agent started in bubblewrap, p50", "ms", statistics.median(found) * 1000, target=("≤", 150.0),
              note="from job.json: runner, clone in the sandbox, first command")
    yield Row("start-build to completed, one feature, bubblewrap, p50", "s", statistics.median(whole), statistics.median(raw),
              ratio=statistics.median(whole) / statistics.median(raw), target=("≤", 4.0), note="prepare, feature, merge; raw: git and one bwrap by hand")


def _restart(size: Size, data: Path) -> Iterator[Row]:
    """kill -9 while an agent works; the next server's log says when it found the run."""
    found = []
    for number in range(size.builds):
        place = data / str(number)
        with server(place, RUNTIME="bubblewrap", SLOTS="1") as process:
            url = url_of(process)
            _build(url, STAMP.format(then="sleep 15\n"))
            until(lambda url=url: ("feature", "running") in _live(url), "a running feature", 30, 0.02)  # type: ignore[misc]
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        (place / "server.log").write_text("")
        since = time.monotonic()
        with server(place, RUNTIME="bubblewrap", SLOTS="1") as process:
            until(lambda place=place: "event=adopted" in (place / "server.log").read_text(), "adoption", 30)  # type: ignore[misc]
            found.append(time.monotonic() - since)
            url = url_of(process)
            for session in get(url, "/api/hitl")["sessions"]:
                post(url, f"/api/hitl/{session['id']}/cancel", {})
            until(lambda url=url: not _live(url), "the end of the run", 30, 0.02)  # type: ignore[misc]
    yield Row("kill -9 to adopted, from the exec of the new server, p50", "s", statistics.median(found), target=("≤", 1.0),
              note=f"slowest {max(found):.2f} s; Python's start is in it")


def _live(url: str) -> list[tuple[str, str]]:
    """(kind, state) of the runs that are not over."""
    return [(run["kind"], run["state"]) for run in get(url, "/api/engine")["runs"]]


def _build(url: str, description: str) -> str:
    """-> the id of a session whose build has begun"""
    card = {"name": "Bench", "features": [{"title": "F", "description": description}]}
    made = post(url, "/api/hitl", {"project_name": "Bench", "spec_card": card})
    post(url, f"/api/hitl/{made['id']}/approve", {"spec_sha256": made["spec_sha256"]})
    post(url, f"/api/hitl/{made['id']}/start-build", {"confirmed": True})
    return str(made["id"])


def stamp(data: Path, session: str) -> float:
    argv = ["git", "-C", str(data / "repos" / f"{session}.git"), "show", "HEAD:started.txt"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return float(done.stdout)


def url_of(process: subprocess.Popen[str]) -> str:
    return next(word for word in hurry(process, 30).split() if word.startswith("http"))


def get(url: str, path: str) -> Any:
    with urlopen(url + path, timeout=30) as answer:
        return json.load(answer)


def post(url: str, path: str, body: dict[str, Any]) -> Any:
    with urlopen(Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}), timeout=30) as answer:
        return json.load(answer)


def _cpu_seconds(pid: int) -> float:
    """Of all its threads, to the nanosecond."""
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in Path(f"/proc/{pid}/task").iterdir()) / 1e9
