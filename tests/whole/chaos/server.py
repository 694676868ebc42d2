"""`python app.py` as a process that may be killed at any moment, and what it has running below it."""
import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.config import ROOT

START_SECONDS = 40.0
SETTINGS = {"SWARM_PORT": "0", "SWARM_RUNTIME": "bubblewrap", "SWARM_SLOTS": "4", "SWARM_BACKOFF_SECONDS": "0.02", "SWARM_POLL_SECONDS": "0.5",
            "SWARM_RUN_SECONDS": "25"}


class Server:
    """Started by the constructor, and killed `killed_after` seconds later. `url` is None where it died, or gave up, before it served."""

    def __init__(self, data: Path, environment: Mapping[str, str], killed_after: float | None = None) -> None:
        self.data = data
        with open(log_of(data), "ab") as log:
            self.process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
                                            env={**os.environ, **SETTINGS, "SWARM_DATA": str(data), **environment})
        if killed_after is not None:
            threading.Timer(killed_after, self.process.kill).start()
        self.url = self._announced()

    def _announced(self) -> str | None:
        assert self.process.stdout is not None
        poll = select.poll()
        poll.register(self.process.stdout, select.POLLIN)
        if not poll.poll(START_SECONDS * 1000):
            raise TimeoutError(f"the server said nothing within {START_SECONDS:g} seconds; see {log_of(self.data)}")
        found = re.search(rb"http://\S+", self.process.stdout.readline())
        return found[0].decode() if found else None

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def wait(self, seconds: float) -> bool:
        """True if it has ended by then."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self, with_git: bool = False) -> None:
        """SIGKILL to its process group; its git children, which have groups of their own, are killed with it or left behind."""
        children = list(self.git_children()) if with_git and self.alive else []
        if self.alive:
            os.killpg(self.process.pid, signal.SIGKILL)
        for pid, _ in children:
            kill_process(pid, str(self.data))
        self.close()

    def stop(self) -> int:
        self.process.terminate()
        code = self.process.wait(30)
        self.close()
        return code

    def close(self) -> None:
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def call(self, path: str, body: Any = None, method: str | None = None) -> tuple[int, Any] | None:
        """Status and JSON; None where the server died over it."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None

    def engine(self, wanted: str, seconds: float = START_SECONDS) -> bool:
        """Does it say within that time that the engine is `wanted` ('here', 'elsewhere')?"""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = self.call("/api/health")
            if answer is not None and answer[1].get("engine") == wanted:
                return True
            time.sleep(0.05)
        return False

    def git_children(self) -> Iterator[tuple[int, str]]:
        """Its git processes: pid and command line. Quick enough to catch one that lives for some milliseconds."""
        base = f"/proc/{self.process.pid}/task"
        for thread in read(lambda: os.listdir(base), []):
            for word in read(lambda thread=thread: Path(base, thread, "children").read_text(), "").split():
                line = command_line(int(word))
                if line.startswith(f"git --git-dir={self.data}/"):
                    yield int(word), line


def log_of(data: Path) -> Path:
    return data.with_name(data.name + ".log")


def read(look: Any, otherwise: Any) -> Any:
    """What look() gives; `otherwise` where the process or file is gone meanwhile."""
    try:
        return look()
    except OSError:
        return otherwise


def command_line(pid: int) -> str:
    return str(read(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"), ""))


def kill_process(pid: int, words: str) -> bool:
    """SIGKILL to `pid` if `words` are in its command line: first its descriptor, then the look, so that it hits nobody else."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if words not in command_line(pid):
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
