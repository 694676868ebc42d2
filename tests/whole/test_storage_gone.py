"""The database is deleted or replaced under a server, as its user would see it."""
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import until
from running import CARD, Server

from engine.config import ROOT


def start(data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "app.py"], cwd=ROOT, env={**os.environ, "SWARM_DATA": str(data), "SWARM_PORT": "0"}, text=True,
                          capture_output=True, check=False, timeout=120)


@pytest.fixture
def server(tmp_path: Path):
    server = Server(tmp_path / "data", SWARM_RUNTIME="process")
    yield server
    if server.process.poll() is None:
        server.stop()


def remove(data: Path) -> None:
    for path in data.glob("swarm.db*"):
        path.unlink()


def replace(data: Path) -> None:
    shutil.copy(data / "swarm.db", data / "other")
    os.rename(data / "other", data / "swarm.db")


@pytest.mark.parametrize(("how", "words"), [(remove, "is gone"), (replace, "was replaced by another file")])
def test_a_server_says_that_its_database_is_gone_and_makes_no_other(server: Server, how, words: str) -> None:
    session = server.session(CARD)
    until(lambda: server.state(session) == "completed")
    how(server.data)
    for path, body in (("/api/hitl", None), (f"/api/hitl/{session}", None), ("/api/health", None), ("/api/engine", None),
                       ("/api/hitl", {"project_name": "Late", "description": "x"})):
        status, answer = server.call(path, body)
        assert (status, answer["code"]) == (503, "storage_gone") and words in answer["error"] and "Stop the server." in answer["error"], path
    page = subprocess.run(["curl", "-s", server.url + "/"], capture_output=True, text=True, check=True).stdout
    assert words in page and "nothing is lost" not in page
    assert subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", server.url + "/static/shared/app.css"],
                          capture_output=True, text=True, check=True).stdout == "200"
    until(lambda: words in server.log.read_text(), what="the engine notices by itself")
    assert server.stop() == 0
    if how is remove:
        assert not (server.data / "swarm.db").exists(), "none was made"
        refused = start(server.data)
        assert refused.returncode == 2 and "HITL Swarm does not start: The database" in refused.stderr and "1 repository" in refused.stderr
        assert not (server.data / "swarm.db").exists()


def test_a_database_that_is_put_back_is_used_again(server: Server) -> None:
    os.rename(server.data / "swarm.db", server.data / "away")
    assert server.call("/api/health")[0] == 503
    os.rename(server.data / "away", server.data / "swarm.db")
    session = server.session(CARD)
    until(lambda: server.state(session) == "completed")


def test_a_server_whose_log_was_cut_says_what_is_lost_on_its_log_its_page_and_in_health(server: Server) -> None:
    sessions = [server.call("/api/hitl", {"project_name": f"P{n}", "description": "x" * 5000})[1]["id"] for n in range(8)]
    server.stop(signal.SIGKILL)
    log = server.data / "swarm.db-wal"
    os.truncate(log, log.stat().st_size // 2)
    server.start()
    left = [each["id"] for each in server.call("/api/hitl")[1]["sessions"]]
    assert 0 < len(left) < len(sessions) and set(left) < set(sessions)
    status, health = server.call("/api/health")
    assert status == 200 and "saved pages cannot be read" in health["storage"][0] and health["storage"] == server.call("/api/engine")[1]["storage"]
    assert "event=storage_notice" in server.log.read_text() and "saved pages cannot be read" in server.log.read_text()
    page = subprocess.run(["curl", "-s", server.url + "/engine"], capture_output=True, text=True, check=True).stdout
    assert "saved pages cannot be read" in page and "see the storage notice on the engine page" in subprocess.run(
        ["curl", "-s", server.url + f"/sessions/{server.session(CARD)}"], capture_output=True, text=True, check=True).stdout
