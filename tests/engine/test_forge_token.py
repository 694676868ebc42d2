"""A token file that is being renewed when a build begins: its prepare run waits, uses up no attempt, and leaves nothing that looks alive."""
import dataclasses

import pytest
from conftest import build, until
from delivery_side import PROJECT, for_forge, served
from forge_http import TOKEN
from github_double import GitHubDouble

from engine.host.processes import is_held
from engine.loop.loop import SwarmEngine


@pytest.fixture
def double(tmp_path):
    with GitHubDouble(served(tmp_path)) as server:
        yield server
        assert server.faults == []


def test_a_private_repository_is_fetched_once_the_token_is_there(db, config, double, tmp_path):
    file = tmp_path / "token"
    file.write_text("")
    config = dataclasses.replace(for_forge(config, double.url), forge_token="", forge_token_file=file, runtime="process", poll_seconds=0.2)
    session = build(db, config, {"name": "Private", "repository": f"{double.url}/{PROJECT}.git", "features": [{"title": "F1"}]})
    engine = SwarmEngine(db, config)
    engine.start()
    try:
        until(lambda: db.value("select count(*) from runs where outcome = 'transient' and reason like '%is empty%'"))
        waiting = db.value("select id from runs where outcome = 'transient'")
        assert not is_held(config.data / "runs" / waiting / "lock")
        file.write_text(TOKEN)
        until(lambda: db.value("select base_sha is not null from tickets where session_id = ? and type = 'epic'", (session,)))
        assert db.value("select failures from tickets where session_id = ? and type = 'epic'", (session,)) == 0 and list(engine.errors) == []
    finally:
        engine.stop()
