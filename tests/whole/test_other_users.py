"""A machine with several users, for real: a service user, gunicorn, a tunnel by ssh."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import HANG, require, until
from other_user import HIT_AND_RUN, OTHER, as_user, asked_by, require_other_user
from running import CARD, Server, free_port

from engine.config import ROOT

NOBODY = 65534


@pytest.fixture(autouse=True)
def other_users() -> None:
    require_other_user()


@contextmanager
def process(*command: str, log: Path, **settings: str) -> Iterator[subprocess.Popen]:
    with open(log, "ab") as out:
        running = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, **settings})
    try:
        yield running
    finally:
        running.terminate()
        running.wait(HANG)


def said(log: Path, pattern: str, running: subprocess.Popen) -> re.Match[str]:
    """Waits until the log has it."""
    found = until(lambda: re.search(pattern, log.read_text()) or (running.poll() is not None and log.read_text()), what=pattern)
    assert isinstance(found, re.Match), found
    return found


def test_a_service_user_is_answered_and_root_and_nobody_else_who_learns_the_setting(tmp_path: Path) -> None:
    require("setpriv")
    data, log = tmp_path / "data", tmp_path / "log"
    data.mkdir()
    shutil.chown(data, OTHER, OTHER)
    # The program and its data stand where only root can read; that right is all that the service keeps of root.
    service = ("setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    with process(*service, sys.executable, "app.py", log=log, SWARM_DATA=str(data), SWARM_PORT="0", SWARM_RUNTIME="process") as running:
        port = int(said(log, r"HITL Swarm \S+ http://127\.0\.0\.1:(\d+)", running)[1])
        said(log, rf"It answers its own user \(uid {OTHER}\) and root alone; for other users set SWARM_LOCAL_USERS\.", running)
        for uid in (OTHER, 0):
            assert [status for status, _ in asked_by(uid, port, ("GET", "/api/health"), ("POST", "/api/engine/pause"), body="{}")] == [200, 200]
        sentence = f"This server answers its own user (uid {OTHER}) alone; the request came from uid 1000: SWARM_LOCAL_USERS=1000."
        assert asked_by(1000, port, ("GET", "/")) == [(403, {"code": "forbidden", "error": sentence})]
        said(log, 'event=refused uid=1000 setting="SWARM_LOCAL_USERS=1000"', running)


def test_under_gunicorn_it_is_the_same(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    port, log = free_port(), tmp_path / "log"
    settings = {"SWARM_DATA": str(tmp_path / "data"), "SWARM_PORT": str(port), "WEB_CONCURRENCY": "2"}
    with process(sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "app:create_app()", log=log, **settings) as running:
        said(log, "Booting worker", running)
        status, made = asked_by(0, port, ("POST", "/api/hitl"), body=f'{{"project_name": "Test", "spec_card": {{"name": "{CARD["name"]}",'
                                ' "features": [{"title": "F1"}]}}')[0]
        assert status == 201
        path = f"/api/hitl/{made['id']}"
        assert asked_by(0, port, ("POST", f"{path}/approve"), body=f'{{"spec_sha256": "{made["spec_sha256"]}"}}')[0][0] == 200
        assert [status for status, _ in asked_by(OTHER, port, ("GET", "/"), ("POST", f"{path}/start-build"), body='{"confirmed": true}')] == [403, 403]
        as_user(OTHER, HIT_AND_RUN, port, 200, f"POST {path}/start-build HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
                'Content-Length: 19\r\n\r\n{"confirmed": true}')
        assert [answer["state"] for _, answer in asked_by(0, port, ("GET", path))] == ["approved"]


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that every user can read; pytest's are closed to others."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_tunnel_by_ssh_counts_as_the_user_who_logged_in(tmp_path: Path, readable: Path) -> None:
    """sshd opens the forwarded connection after it has become that user; who uses the near end of the tunnel does not count."""
    for program in ("ssh", "ssh-keygen", "sshd"):
        require(program)
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    door, log = free_port(), tmp_path / "log"
    keys = shutil.copy(tmp_path / "key.pub", readable / "keys")
    options = (f"ListenAddress 127.0.0.1:{door}\nHostKey {tmp_path}/host\nAuthorizedKeysFile {keys}\nStrictModes no\nUsePAM no\nPidFile none\n"
               "PermitRootLogin yes\nAllowTcpForwarding yes\n")
    (tmp_path / "sshd.conf").write_text(options)
    Path("/run/sshd").mkdir(exist_ok=True)
    server = Server(tmp_path / "data")
    port = int(server.url.rpartition(":")[2])
    ssh = ("ssh", "-F", "none", "-i", f"{tmp_path}/key", "-p", str(door), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
           "-o", "ExitOnForwardFailure=yes", "-N", "-v")
    try:
        with process(str(shutil.which("sshd")), "-D", "-e", "-f", f"{tmp_path}/sshd.conf", log=log) as daemon:
            said(log, "Server listening", daemon)
            for user, status in (("nobody", 403), ("root", 200)):
                near, words = free_port(), tmp_path / user
                with process(*ssh, "-L", f"{near}:127.0.0.1:{port}", f"{user}@127.0.0.1", log=words) as tunnel:
                    said(words, "Entering interactive session", tunnel)
                    found, answer = asked_by(0, near, ("GET", "/api/health"), headers={"Host": f"127.0.0.1:{port}"})[0]
                    assert found == status, (user, answer)
                    if status == 403:
                        assert answer["error"].endswith(f"the request came from uid {NOBODY}: SWARM_LOCAL_USERS={NOBODY}.")
    finally:
        server.stop()
