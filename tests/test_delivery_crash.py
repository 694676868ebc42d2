"""A delivery that is killed at any of its steps goes on with the next start: one branch, one pull request, one run for a fact."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from delivery_side import PROJECT, Built, for_forge, served
from github_double import GitHubDouble

from engine.crash import DELIVERY_POINTS

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import sys
from engine import deliveries
from engine.config import Config
from engine.db import open_database
from engine.deliver import Deliverer
config = Config.from_env()
db = open_database(config.database, "NORMAL")
for _ in range(int(sys.argv[1])):
    for row in deliveries.due(db, "9999"):
        Deliverer(db, config).step(row)
"""
COMING_BACK = ("before-act", "after-act")


@pytest.fixture
def double(tmp_path):
    with GitHubDouble(served(tmp_path)) as server:
        yield server
        assert server.faults == []


@pytest.fixture
def built(db, config, double, tmp_path):
    return Built(db, for_forge(config, double.url), tmp_path, f"{double.url}/{PROJECT}.git", double.repository(PROJECT))


def process(built: Built, double: GitHubDouble, crash: str = "", rounds: int = 4) -> int:
    """All that is due, by a process of its own. -> its exit code"""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SWARM_DATA": str(built.config.data), "SWARM_FORGE": "github", "SWARM_FORGE_URL": double.url,
           "SWARM_FORGE_TOKEN": double.token, "SWARM_REPOSITORY_PROTOCOLS": "http", "SWARM_BACKOFF_SECONDS": "0", "SWARM_FORGE_POLL_SECONDS": "0.05",
           **({"SWARM_CRASH": crash} if crash else {})}
    return subprocess.run([sys.executable, "-c", PROGRAM, str(rounds)], env=env, check=False, stderr=subprocess.DEVNULL).returncode


@pytest.mark.parametrize("point", [name for name in DELIVERY_POINTS if name not in COMING_BACK])
def test_killed_on_the_way_out_it_gives_exactly_one_pull_request(built, double, point):
    assert process(built, double, point) == -signal.SIGKILL, "the point is on the way"
    assert process(built, double) == 0
    assert (built.state(), built.row()["state"], len(double.pulls)) == ("completed", "watched", 1)
    assert built.remote_head() == built.tip and built.row()["number"] == 1 and not double.pulls[0]["draft"]


@pytest.mark.parametrize("point", COMING_BACK)
@pytest.mark.parametrize("what", ["merged", "closed", "ci", "remark"])
def test_killed_on_the_way_back_it_acts_once(built, double, point, what):
    built.go()
    {"merged": lambda: double.merge(1), "closed": lambda: double.close(1), "ci": lambda: double.check(built.tip, "build", "failure"),
     "remark": lambda: double.say(1, "ann", "Rename it.")}[what]()
    assert process(built, double, point) == -signal.SIGKILL
    assert process(built, double) == 0
    assert built.db.value("select count(*) from forge_facts") == 1
    if what in ("ci", "remark"):
        assert built.state() == "building" and built.ticket("TKT-002")["status"] == "ready" and built.row()["rounds"] == (what == "ci")
    else:
        assert built.row()["state"] == what and built.db.value("select count(*) from requests where kind = 'delivery'") == (what == "closed")
