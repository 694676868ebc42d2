"""A build in a repository with dependencies against the same by hand: one clone, one install, each feature's commands and checks, one merge.

The dependencies are wheels that the bench makes itself, so no registry is asked."""
import base64
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from bench.children import server, until
from bench.host_git import ENV
from bench.real_runs import get, post, url_of
from bench.rows import Row
from bench.sizes import Size
from engine.runtimes import bwrap

WHEELS, MODULES = 12, 60  # of the dependencies: packages, and modules in each
INSTALL = "python3 -m venv .venv && .venv/bin/pip install -q --disable-pip-version-check --no-index --find-links wheels -r requirements.txt"
TEST = ".venv/bin/python -m unittest -q"
PYTHON = Path("/usr/bin/python3")
FEATURES, CRITERIA = 3, 2


def measure(size: Size, folder: Path) -> Iterator[Row]:
    if not (size.builds and bwrap.candidates() and PYTHON.exists()):
        return
    remote = _project(folder / "project")
    hand, ours, checks, tests, starts, installs = [], [], [], [], [], 0
    with server(folder / "data", RUNTIME="bubblewrap", SLOTS="2", REPOSITORY_ROOTS=str(folder)) as process:
        url = url_of(process)
        for number in range(size.builds):
            hand.append(_by_hand(remote, folder / f"hand-{number}", tests))
            # Another comment in the inputs: each build is the first one with its environment, as the install by hand is.
            _commit(remote, f"# {number}\n")
            repository = post(url, "/api/repositories", {"url": str(remote)})["id"]
            _approve(url, repository)
            since = time.monotonic()
            session = _build(url, remote)
            ours.append(time.monotonic() - since)
            found = _runs(url, session)
            checks += [check["seconds"] for run in found if run["kind"] == "feature" for check in (run["checks"] or [])[1:]]
            starts += [_stamp(folder / "data", session, run) for run in found if run["kind"] == "feature"]
        installs = sum(path.name.startswith("setup-") for path in (folder / "data" / "runs").iterdir())
    by_hand, check, test = statistics.median(hand), statistics.median(checks), statistics.median(tests)
    yield Row("second check of a project with dependencies, its own sandbox", "s", check, test, target=("≤", 1.2 * test + 1),
              note="raw: its test command in a prepared venv; target: 1.2 × that + 1 s")
    yield Row(f"{FEATURES} features × {CRITERIA} criteria with dependencies, start-build to completed", "s", statistics.median(ours), by_hand,
              ratio=statistics.median(ours) / by_hand, target=("≤", 1.5), note="raw: by hand; setup, checks at the base and prepare are in it")
    yield Row("installs for one such build", "", installs / size.builds, target=("≤", 1.0), note="each sandbox by itself would need its own")
    yield Row("launch to agent started, environment ready, p50", "s", statistics.median(starts), target=("≤", 0.5), note="from job.json to the first command")


def _project(folder: Path) -> Path:
    """A small Python project with dependencies. -> its bare repository"""
    work, bare = folder / "work", folder / "remote.git"
    (work / "wheels").mkdir(parents=True)
    for number in range(WHEELS):
        _wheel(work / "wheels", f"dep{number}")
    (work / "requirements.txt").write_text("".join(f"dep{number}==1.0\n" for number in range(WHEELS)))
    (work / ".gitignore").write_text(".venv\n__pycache__\n")
    imports = "\n".join(f"import dep{number}.m1" for number in range(WHEELS))
    (work / "test_all.py").write_text(f"import unittest\n{imports}\n\n\nclass All(unittest.TestCase):\n    def test_one(self):\n        pass\n")
    _git(folder, "init", "-q", "-b", "main", str(work))
    _git(work, "add", "-A")
    _git(work, "commit", "-q", "-m", "First")
    _git(folder, "clone", "-q", "--bare", str(work), str(bare))
    return bare


def _commit(remote: Path, text: str) -> None:
    work = remote.parent / "work"
    with open(work / "requirements.txt", "a", encoding="utf-8") as file:
        file.write(text)
    _git(work, "commit", "-q", "-a", "-m", "Next")
    _git(work, "push", "-q", str(remote), "main")


def _wheel(folder: Path, name: str) -> None:
    """A wheel as the format is specified: modules, METADATA, WHEEL, and RECORD with each file's hash."""
    about = f"{name}-1.0.dist-info"
    files = {f"{name}/__init__.py": "", **{f"{name}/m{number}.py": f"VALUE = {number}\n" * 40 for number in range(MODULES)},
             f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
             f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    lines = [f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
             for path, text in files.items()]
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{about}/RECORD": "\n".join([*lines, f"{about}/RECORD,,"]) + "\n"}.items():
            wheel.writestr(path, text)


def _by_hand(remote: Path, place: Path, tests: list[float]) -> float:
    """Seconds of the whole; those of each further run of the test command go to `tests`."""
    since = time.monotonic()
    _git(place.parent, "clone", "-q", str(remote), str(place))
    _sh(place, INSTALL)
    for number in range(FEATURES):
        _git(place, "checkout", "-q", "-b", f"f{number}", "main")
        _sh(place, f"date > f{number}.txt")
        _git(place, "add", "-A")
        _git(place, "commit", "-q", "-m", "Work")
        for _ in range(CRITERIA):
            began = time.monotonic()
            _sh(place, TEST)
            tests.append(time.monotonic() - began)
        _git(place, "checkout", "-q", "main")
        _git(place, "merge", "-q", "--no-ff", "-m", "Merge", f"f{number}")
    for _ in range(CRITERIA):
        _sh(place, TEST)
    seconds = time.monotonic() - since
    shutil.rmtree(place)
    return seconds


def _approve(url: str, repository: str) -> None:
    path = f"/api/repositories/{repository}"
    if not get(url, f"{path}/environment").get("sha256"):
        body = json.dumps({"environment": {"setup": [INSTALL]}}).encode()
        urlopen(Request(url + path, body, {"Content-Type": "application/json"}, method="PATCH"), timeout=30).close()
    found = get(url, f"{path}/environment")
    if not found["approved"]:
        post(url, f"{path}/environment/approve", {"sha256": found["sha256"]})


def _build(url: str, remote: Path) -> str:
    """A build to its end. -> the session's id"""
    criteria = [{"text": f"The tests are green, {n}.", "check": TEST} for n in range(CRITERIA)]
    features = [{"title": f"F{n}", "description": f"```sh\ndate +%s.%N > started-{n}.txt\n```\n", "acceptance_criteria": criteria} for n in range(FEATURES)]
    card = {"name": "Bench", "repository": str(remote), "features": features, "checks": [TEST] * CRITERIA}
    made = post(url, "/api/hitl", {"project_name": "Bench", "spec_card": card})
    post(url, f"/api/hitl/{made['id']}/approve", {"spec_sha256": made["spec_sha256"]})
    post(url, f"/api/hitl/{made['id']}/start-build", {"confirmed": True})
    until(lambda: _is_completed(url, made["id"]), "the build", 120, 0.02)
    return str(made["id"])


def _is_completed(url: str, session: str) -> bool:
    asked = get(url, "/api/requests")["requests"]
    if asked:
        raise RuntimeError(f"the build asks: {asked[0]['body']}")
    return bool(get(url, f"/api/hitl/{session}")["state"] == "completed")


def _runs(url: str, session: str) -> list[dict[str, Any]]:
    return [run for ticket in get(url, f"/api/hitl/{session}/tickets")["tickets"] for run in get(url, f"/api/tickets/{ticket['id']}/runs")["runs"]]


def _stamp(data: Path, session: str, run: dict[str, Any]) -> float:
    """Seconds from the launch of a run to its agent's first command, which wrote down when it ran."""
    argv = ["git", "-C", str(data / "repos" / f"{session}.git"), "show", "--format=", f"{run['tip_sha']}"]
    shown = subprocess.run(argv, check=True, capture_output=True, text=True, env=ENV).stdout
    said = next(line[1:] for line in shown.splitlines() if line.startswith("+1"))
    return float(said) - (data / "runs" / run["id"] / "job.json").stat().st_mtime


def _sh(folder: Path, command: str) -> None:
    subprocess.run(["sh", "-c", command], cwd=folder, check=True, capture_output=True, env={**ENV, "PATH": "/usr/local/bin:/usr/bin:/bin"})


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", os.fspath(folder), *arguments], check=True, capture_output=True, env=ENV)
