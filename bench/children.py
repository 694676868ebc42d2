"""Processes beside this one: what must not share its interpreter lock with what is measured."""
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.config import ROOT

SECONDS = 120.0  # the longest that any answer may take


def child(module: str, *arguments: str) -> subprocess.Popen[str]:
    """`python -m <module> …`, spoken to by lines."""
    argv = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=ROOT)


def hurry(process: subprocess.Popen[str], seconds: float = SECONDS) -> str:
    """The next line that it says. Raises TimeoutError, and EOFError when it has ended."""
    assert process.stdout is not None
    poll = select.poll()  # select() knows no descriptor above 1,023, and this process may have more open
    poll.register(process.stdout, select.POLLIN)
    if not poll.poll(seconds * 1000):
        raise TimeoutError(f"{process.args!r} said nothing for {seconds:g} s")
    line = process.stdout.readline()
    if not line:
        raise EOFError(f"{process.args!r} ended with {process.wait()}")
    return line.rstrip("\n")


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def until(condition: Callable[[], Any], what: str, seconds: float = SECONDS, pause: float = 0.002) -> Any:
    """The first true value. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(pause)
    raise TimeoutError(f"not within {seconds:g} s: {what}")


@contextmanager
def server(data: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """`python app.py` on a free port, from its exec; stderr goes to data/server.log. Ended with SIGTERM."""
    data.mkdir(parents=True, exist_ok=True)
    wanted = {f"SWARM_{name}": value for name, value in settings.items()}
    environment = {"PATH": os.environ["PATH"], "SWARM_DATA": str(data), "SWARM_PORT": "0", **wanted}
    with open(data / "server.log", "ab") as log:
        process = subprocess.Popen([sys.executable, str(ROOT / "app.py")], stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
