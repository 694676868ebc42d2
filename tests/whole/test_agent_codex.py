"""One real coding agent, unmodified, from the button to the merge: Codex, the quickest to start."""
import json
from pathlib import Path

import pytest
from agent_bench import built
from agent_model import Script
from conftest import git, state, until
from gateway_side import KEY

from engine.config import Config
from engine.git.branches import repository_path
from engine.store.db import Database

pytestmark = pytest.mark.agents
HELLO = [{"shell": "echo hello > hello.txt"}, {"say": "I wrote hello.txt."}]


def test_codex_builds_a_ticket_which_is_checked_and_merged(db: Database, config: Config) -> None:
    with built(db, config, "codex", Script(HELLO), check="grep -q hello hello.txt") as build:
        build.wait("completed")
        until(lambda: state(db, build.session) == "completed")
        run = build.runs()[0]
        assert git(repository_path(build.config, build.session), "show", f"{run['tip_sha']}:hello.txt") == "hello\n"
        assert git(repository_path(build.config, build.session), "log", "-1", "--format=%an", run["tip_sha"]) == "Codex\n"
        said, usage = json.loads(run["said"]), json.loads(run["usage"])
        assert said["message"] == "I wrote hello.txt." and said["session"] and said["tokens"]["output"] == 20
        assert usage["requests"] == 2 and usage["total"] == 220
        assert build.upstream.seen[0].headers["authorization"] == f"Bearer {KEY}" and KEY not in build.log()
        assert "Write hello.txt." in build.script.prompts[0]
        assert not list(Path(build.config.data / "runs" / run["id"]).glob("out/session.tar"))
