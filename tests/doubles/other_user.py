"""Another user of the machine: programs that run with a uid of their own, and ask the server."""
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from conftest import HANG

OTHER = 12345  # no account is needed for it
# It becomes another user once Python is loaded, which may stand where only we can read.
BECOME = """
import encodings.idna, http.client, json, os, socket, struct, sys
uid = int(sys.argv.pop(1))
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
"""

ASK = """
host, port, requests = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
connection, answers = http.client.HTTPConnection(host, port, timeout=120), []
for method, path, body, headers in requests:
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode() if answer.status != 101 else ""
    answers.append([answer.status, json.loads(text) if "json" in answer.headers.get("Content-Type", "") else text])
print(json.dumps(answers))
"""

HOLD = """
with socket.create_connection((sys.argv[1], int(sys.argv[2]))):
    sys.stdin.read()
"""

HIT_AND_RUN = """
port, times, request = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()
for n in range(times):
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(request)
        if n % 2:  # it goes with a reset
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""


def require_other_user() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can run programs as another user")


def program(uid: int, script: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python program of this user, with the standard library alone. It has a pipe for stdin, stdout and stderr."""
    return subprocess.Popen([sys.executable, "-I", "-c", BECOME + script, str(uid), *map(str, arguments)], cwd="/", text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def as_user(uid: int, script: str, *arguments: object) -> str:
    """What a program of this user prints."""
    running = program(uid, script, *arguments)
    out, errors = running.communicate(timeout=HANG)
    assert running.returncode == 0, errors
    return out


def asked_by(uid: int, port: int, *requests: tuple[str, str], host: str = "127.0.0.1", body: str | None = None,
             headers: dict[str, str] | None = None) -> list[tuple[int, Any]]:
    """The answers to (method, path), … of this user, on one connection as long as it is kept: [(status, JSON or text)]."""
    wanted = [(method, path, body if method != "GET" else None, {"Content-Type": "application/json", **(headers or {})}) for method, path in requests]
    return [(status, answer) for status, answer in json.loads(as_user(uid, ASK, host, port, json.dumps(wanted)))]
