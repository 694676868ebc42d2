"""The server is killed between any two steps of bringing what was checked on the merged head into the branch: the next one goes on."""
import signal
from pathlib import Path

import pytest
from conftest import HANG, git, until
from running import Server

CARD = {"name": "Two", "features": [
    {"title": "a", "description": "```sh\necho a > a\n```", "acceptance_criteria": [{"text": "a", "check": "test -e a"}]},
    {"title": "b", "description": "```sh\nuntil test -e GO; do sleep 0.05; done\necho b > b\n```",
     "acceptance_criteria": [{"text": "b", "check": "test -e b"}]}]}
# Of each point, the passage that belongs to the landing: before it come the epic's preparation, a's merge, and b, which finds that the branch has moved.
POINTS = ("after-merging:3", "after-update-ref:2", "before-finish:3", "after-finish:3")


@pytest.mark.parametrize("point", POINTS)
def test_a_change_that_passed_on_the_merged_head_lands_once(tmp_path: Path, point: str) -> None:
    go = tmp_path / "go"
    card = {**CARD, "features": [{**each, "description": each["description"].replace("GO", str(go))} for each in CARD["features"]]}
    settings = {"SWARM_RUNTIME": "process", "SWARM_SLOTS": "2"}
    server = Server(tmp_path / "data", SWARM_CRASH=point, **settings)
    session = server.session(card)
    until(lambda: server.call("/api/tickets/TKT-002")[1]["status"] == "completed")
    go.touch()
    assert server.process.wait(HANG) == -signal.SIGKILL, "the point is on the way"
    server.process.stdout.close()
    assert server.sqlite("select count(*) from runs where kind = 'recheck'") == [["1"]]
    server.settings = settings
    server.start()
    try:
        until(lambda: server.state(session) == "completed")
        assert server.sqlite("select kind, outcome from runs order by seq") == [
            ["prepare", "prepared"], ["feature", "merged"], ["feature", "merged"], ["recheck", "merged"], ["integrate", "integrated"]]
        repository = tmp_path / "data" / "repos" / f"{session}.git"
        branch = server.sqlite("select branch_name from tickets where id = 'TKT-001'")[0][0]
        assert git(repository, "log", "--first-parent", "--merges", "--format=%s", branch).splitlines() == ["Merge TKT-003: b", "Merge TKT-002: a"]
        assert git(repository, "rev-parse", branch).split() == server.sqlite("select merged_sha from tickets where id = 'TKT-003'")[0]
    finally:
        server.stop()
