"""`python app.py` as its user starts it: a process, a port, requests, the sqlite3 shell."""
import json
import os
import re
import signal
import socket as socketlib
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from conftest import HANG

from engine.config import ROOT

CARD = {"name": "Test", "features": [{"title": "F1", "description": "Feature 1"}]}


def free_port() -> int:
    with socketlib.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Server:
    """`python app.py` on a free port. before: shell commands for its own shell, such as a limit."""

    def __init__(self, data: Path, before: str = "", **settings: str) -> None:
        self.data, self.before, self.settings = data, before, settings
        self.url = ""
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "SWARM_DATA": str(self.data), "SWARM_PORT": "0", "SWARM_BACKOFF_SECONDS": "0.2", **self.settings}
        self.log = self.data.with_name(self.data.name + ".log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["sh", "-c", f'{self.before} exec "$0" app.py', sys.executable], cwd=ROOT, stdout=subprocess.PIPE, stderr=log,
                                            text=True, env=environment)
        self.url = re.findall(r"https?://\S+", self.process.stdout.readline())[0]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(HANG)
        self.process.stdout.close()
        return code

    def call(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **headers}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=HANG) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if "json" in answer.headers["Content-Type"] else text
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def sqlite(self, sql: str) -> list[list[str]]:
        """By the sqlite3 shell, as a person would."""
        out = subprocess.run(["sqlite3", str(self.data / "swarm.db"), sql], check=True, capture_output=True, text=True).stdout
        return [line.split("|") for line in out.splitlines()]

    def session(self, card: dict) -> str:
        """A session whose build of `card` has begun."""
        made = self.call("/api/hitl", {"project_name": card["name"], "spec_card": card})[1]
        assert self.call(f"/api/hitl/{made['id']}/approve", {"spec_sha256": made["spec_sha256"]})[0] == 200
        assert self.call(f"/api/hitl/{made['id']}/start-build", {"confirmed": True})[0] == 200
        return str(made["id"])

    def state(self, session: str) -> str:
        return str(self.call(f"/api/hitl/{session}")[1]["state"])
