"""A delivery that is killed at any of its steps goes on with the next start: one branch, one pull request, one run for a fact."""
import signal

import pytest
from delivery_side import PROJECT, Built, for_forge, process, served
from github_double import GitHubDouble

from engine.crash import DELIVERY_POINTS

COMING_BACK = ("before-act", "after-act")


@pytest.fixture
def double(tmp_path):
    with GitHubDouble(served(tmp_path)) as server:
        yield server
        assert server.faults == []


@pytest.fixture
def built(db, config, double, tmp_path):
    return Built(db, for_forge(config, double.url), tmp_path, f"{double.url}/{PROJECT}.git", double.repository(PROJECT))


@pytest.mark.parametrize("point", [name for name in DELIVERY_POINTS if name not in COMING_BACK])
def test_killed_on_the_way_out_it_gives_exactly_one_pull_request(built, double, point):
    assert process(built, double.url, point) == -signal.SIGKILL, "the point is on the way"
    assert process(built, double.url) == 0
    assert (built.state(), built.row()["state"], len(double.pulls)) == ("completed", "watched", 1)
    assert built.remote_head() == built.tip and built.row()["number"] == 1 and not double.pulls[0]["draft"]


@pytest.mark.parametrize("point", COMING_BACK)
@pytest.mark.parametrize("what", ["merged", "closed", "ci", "remark"])
def test_killed_on_the_way_back_it_acts_once(built, double, point, what):
    built.go()
    {"merged": lambda: double.merge(1), "closed": lambda: double.close(1), "ci": lambda: double.check(built.tip, "build", "failure"),
     "remark": lambda: double.say(1, "ann", "Rename it.")}[what]()
    assert process(built, double.url, point) == -signal.SIGKILL
    assert process(built, double.url) == 0
    assert built.db.value("select count(*) from forge_facts") == 1
    if what in ("ci", "remark"):
        assert built.state() == "building" and built.ticket("TKT-002")["status"] == "ready" and built.row()["rounds"] == (what == "ci")
    else:
        assert built.row()["state"] == what and built.db.value("select count(*) from requests where kind = 'delivery'") == (what == "closed")
