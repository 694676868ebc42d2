"""The program as its user starts it: a process, a port, curl-like requests, the sqlite3 shell, a WebSocket, kill -9."""
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HANG, git, require, until
from running import CARD, Server, free_port
from serving import websocket

from engine.config import ROOT

SLOW = {"name": "Slow", "features": [{"title": f"F{n}", "description": f"```sh\nsleep 1\necho {n} > f{n}.txt\n```"} for n in range(1, 5)],
        "checks": ["ls f1.txt f2.txt f3.txt f4.txt"]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "data")
    yield server
    if server.process.poll() is None:
        server.stop()


def test_a_card_approved_in_the_sqlite_shell_is_built_and_a_websocket_sees_every_state(server: Server) -> None:
    require("sqlite3")
    status, made = server.call("/api/hitl", {"project_name": "Test", "description": "Test project"})
    assert status == 201
    socket = websocket(server.url.replace("http", "ws") + "/ws?after=0")
    server.sqlite(f"update hitl_sessions set state = 'approved', spec_card = '{json.dumps(CARD)}' where id = '{made['id']}'")
    status, started = server.call(f"/api/hitl/{made['id']}/start-build", {"confirmed": True})
    assert (status, started["success"], started["state"], started["epic_id"], started["ticket_ids"], started["ticket_count"]) \
        == (200, True, "building", "TKT-001", ["TKT-001", "TKT-002"], 2)
    rows = server.sqlite(f"select id, type, title, parent_id from tickets where session_id = '{made['id']}'")
    assert rows == [["TKT-001", "epic", "Test", ""], ["TKT-002", "feature", "F1", "TKT-001"]]
    until(lambda: server.state(made["id"]) == "completed")
    seen: dict[str, list[str]] = {}
    while "completed" not in seen.get("session", []):
        message = json.loads(socket.receive(HANG))
        if message["kind"] in ("session", "ticket"):
            seen.setdefault(message["ticket"] or "session", []).append(message["to"])
    assert seen["session"] == ["draft", "approved", "building", "completed"]
    assert seen["TKT-001"] == ["ready", "claimed", "running", "ready", "claimed", "running", "completed"]
    assert seen["TKT-002"] == ["blocked", "ready", "claimed", "running", "completed"]
    log = server.log.read_text()
    assert re.search(r"event=claimed ticket=TKT-002 run=TKT-002-1-\w{6} attempt=1", log)
    status, notes = server.call(f"/api/hitl/{made['id']}/notes")
    assert status == 200 and b"approved in the database" in notes
    socket.close()


def test_the_result_can_be_cloned_and_downloaded(server: Server, tmp_path: Path) -> None:
    session = server.session(CARD)
    until(lambda: server.state(session) == "completed")
    line = server.call(f"/api/hitl/{session}")[1]["repository"]["clone"]
    subprocess.run([*line.split(), str(tmp_path / "clone")], check=True, capture_output=True)
    assert (tmp_path / "clone/docs/tickets/TKT-002.md").exists(), "a plain clone gives the result"
    status, body = server.call(f"/api/hitl/{session}/archive.zip")
    (tmp_path / "a.zip").write_bytes(body)
    names = subprocess.run([sys.executable, "-m", "zipfile", "-l", str(tmp_path / "a.zip")], check=True, capture_output=True, text=True).stdout
    assert status == 200 and "docs/tickets/TKT-002.md" in names


def test_kill_minus_9_in_the_middle_of_a_build_loses_nothing_and_runs_nothing_twice(server: Server) -> None:
    session = server.session(SLOW)
    for _ in range(3):
        until(lambda: server.sqlite("select 1 from runs where ended_at is null and kind = 'feature'"))
        server.stop(signal.SIGKILL)
        server.start()
    until(lambda: server.state(session) in ("completed", "failed"))
    assert server.state(session) == "completed"
    outcomes = server.sqlite("select ticket_id, group_concat(outcome) from runs where kind = 'feature' group by 1")
    assert all(row[1].split(",")[-1] == "merged" and row[1].count("merged") == 1 for row in outcomes), outcomes
    repository = server.data / "repos" / f"{session}.git"
    branch = server.sqlite("select branch_name from tickets where type = 'epic'")[0][0]
    assert sorted(git(repository, "log", "--merges", "--format=%s", branch).split("\n")[:-1]) == [f"Merge TKT-00{n + 1}: F{n}" for n in range(1, 5)]


def test_sigterm_stops_within_seconds_leaves_the_run_alive_and_the_next_start_adopts_it(server: Server) -> None:
    session = server.session(SLOW)
    until(lambda: server.sqlite("select 1 from runs where state = 'running' and kind = 'feature'"))
    assert server.stop() == 0
    assert server.sqlite("select count(*) from runs where ended_at is null and kind = 'feature'")[0][0] != "0"
    server.start()
    until(lambda: server.state(session) == "completed")
    assert "event=adopted" in server.log.read_text()
    assert server.sqlite("select count(*) from runs where kind = 'feature'") == [["4"]]


def test_a_second_server_on_the_same_data_has_no_engine_and_takes_over_when_the_first_dies(server: Server, tmp_path: Path) -> None:
    second = Server(server.data)
    try:
        assert second.call("/api/health")[1]["engine"] == "elsewhere"
        assert second.call("/api/engine")[1]["elsewhere"] == {"pid": server.process.pid, "where": server.url}
        assert f"process {server.process.pid}, which serves {server.url}" in second.call("/engine")[1].decode()
        assert server.call("/api/health")[1]["engine"] == "here"
        server.stop(signal.SIGKILL)
        until(lambda: second.call("/api/health")[1]["engine"] == "here")
        session = second.session(CARD)
        until(lambda: second.state(session) == "completed")
    finally:
        second.stop()


def test_run_ticket_is_refused_while_the_engine_has_the_ticket(server: Server) -> None:
    server.session({"name": "One", "features": [{"title": "F", "description": "```sh\nsleep 3\necho 1 > f\n```"}]})
    until(lambda: server.sqlite("select 1 from runs where state = 'running' and kind = 'feature'"))
    refused = subprocess.run([sys.executable, "-m", "engine.commands.run_ticket", "TKT-002"], cwd=ROOT, capture_output=True, text=True,
                             env={**os.environ, "SWARM_DATA": str(server.data)})
    assert refused.returncode == 2 and "is already running" in refused.stderr
    unknown = subprocess.run([sys.executable, "-m", "engine.commands.run_ticket", "TKT-999"], cwd=ROOT, capture_output=True, text=True,
                             env={**os.environ, "SWARM_DATA": str(server.data)})
    assert unknown.returncode == 2 and "Ticket not found" in unknown.stderr


def handshake(server: Server, path: str, **headers: str) -> tuple[int, dict]:
    """What a WebSocket handshake is answered with."""
    connection = http.client.HTTPConnection(server.url.split("//")[1].strip("/"), timeout=HANG)
    connection.request("GET", path, headers={"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                                             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **headers})
    answer = connection.getresponse()
    body = json.loads(answer.read()) if answer.status != 101 else {}
    connection.close()
    return answer.status, body


def test_a_websocket_cursor_beyond_the_end_is_reset(server: Server) -> None:
    socket = websocket(server.url.replace("http", "ws") + "/ws?after=999999")
    assert json.loads(socket.receive(HANG))["kind"] == "reset"
    socket.close()


@pytest.mark.parametrize("after", ["-1", "x", "1.5"])
def test_a_websocket_cursor_that_is_none_is_refused(server: Server, after: str) -> None:
    status, body = handshake(server, f"/ws?after={after}")
    assert (status, body["code"]) == (400, "bad_request")


def test_a_websocket_of_another_site_is_refused_before_the_handshake(server: Server) -> None:
    assert handshake(server, "/ws?after=0", Origin="https://evil.example")[0] == 403
    assert handshake(server, "/ws?after=0", Host="evil.example")[0] == 403
    assert handshake(server, "/ws?after=0", Origin=server.url.rstrip("/"))[0] == 101


def holder(lock: Path) -> int | None:
    """The process that the engine's lock was last taken by, once it has said so."""
    text = lock.read_text() if lock.exists() else ""
    return int(json.loads(text)["pid"]) if text.endswith("}") else None


def test_three_gunicorn_workers_have_one_engine_and_another_takes_over_when_it_dies(tmp_path: Path) -> None:
    port = free_port()
    server = Server.__new__(Server)
    server.data, server.url, server.log = tmp_path / "data", f"http://127.0.0.1:{port}", tmp_path / "log"
    environment = {**os.environ, "SWARM_DATA": str(server.data), "SWARM_PORT": str(port), "WEB_CONCURRENCY": "3"}
    with open(server.log, "wb") as log:
        server.process = subprocess.Popen([sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "app:create_app()"], cwd=ROOT, stdout=log,
                                          stderr=log, env=environment)
    lock = server.data / "engine.lock"
    try:
        first = until(lambda: server.log.read_text().count("Booting worker") == 3 and holder(lock), what="three workers, one of them with the engine")
        os.kill(first, signal.SIGKILL)
        until(lambda: not Path("/proc", str(first)).exists(), what="gunicorn has buried it")
        until(lambda: holder(lock) not in (None, first), what="another worker has the lock and says so")
        session = server.session(CARD)
        until(lambda: server.state(session) == "completed")
        assert server.sqlite("select count(*), count(distinct claimed_by) from runs") == [["3", "1"]]
        for words in ("event=engine_started", r"event=claimed ticket=TKT-002 run=TKT-002-1-\w{6} attempt=1", "event=finished ticket=TKT-002"):
            assert re.search(r"^[-\d]+ [:,\d]+ INFO " + words, server.log.read_text(), re.M), "the documented lines of the log"
    finally:
        server.process.terminate()
        server.process.wait(HANG)


@pytest.mark.parametrize(("arguments", "settings"), [
    (["-b", "0.0.0.0:0"], {}), (["-b", "127.0.0.1:0", "--bind", "[::]:0"], {}), (["-b", ":0"], {}), ([], {"SWARM_HOST": "0.0.0.0"})])
def test_gunicorn_listens_on_no_address_that_swarm_host_may_not_have(tmp_path: Path, arguments: list[str], settings: dict[str, str]) -> None:
    ended = subprocess.run([sys.executable, "-m", "gunicorn", *arguments, "app:create_app()"], cwd=ROOT, capture_output=True, text=True, timeout=HANG,
                           env={**os.environ, "SWARM_DATA": str(tmp_path / "data"), "SWARM_PORT": "0", **settings})
    assert ended.returncode != 0 and "HITL Swarm does not start: " in ended.stderr and "a loopback address" in ended.stderr
    assert "Traceback" not in ended.stderr and "Listening at" not in ended.stderr and not (tmp_path / "data").exists()


def test_under_the_reloader_there_is_one_engine_and_a_change_of_the_program_loses_no_run(tmp_path: Path) -> None:
    (tmp_path / "program").mkdir()
    for name in ("engine", "hitl", "app.py", "schema.sql"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / "program" / name)
    port = free_port()
    server = Server.__new__(Server)
    server.data, server.url, server.log = tmp_path / "data", f"http://127.0.0.1:{port}", tmp_path / "log"
    lock = server.data / "engine.lock"
    with open(server.log, "wb") as log:
        server.process = subprocess.Popen([sys.executable, "app.py", "--reload"], cwd=tmp_path / "program", stdout=log, stderr=log, start_new_session=True,
                                          env={**os.environ, "SWARM_DATA": str(server.data), "SWARM_PORT": str(port), "SWARM_SLOTS": "1"})
    try:
        first = until(lambda: "(data in" in server.log.read_text() and holder(lock))
        assert first != server.process.pid, "the process that only watches the files has no engine"
        session = server.session(SLOW)
        until(lambda: server.sqlite("select count(*) from runs where kind = 'feature' and state = 'running'") == [["1"]])
        os.utime(tmp_path / "program" / "engine" / "loop" / "loop.py")
        until(lambda: holder(lock) not in (None, first))
        until(lambda: server.log.read_text().count("(data in") == 2)
        until(lambda: server.state(session) == "completed")
        assert server.sqlite("select distinct outcome from runs order by 1") == [["integrated"], ["merged"], ["prepared"]], "nothing was lost or begun again"
    finally:
        os.killpg(server.process.pid, signal.SIGTERM)
        server.process.wait(HANG)


@pytest.mark.parametrize(("settings", "words"), [({"SWARM_SLOTS": "many"}, "SWARM_SLOTS='many'"), ({"SWARM_HOST": "0.0.0.0"}, "loopback")])
def test_a_bad_setting_stops_the_start_with_a_clear_sentence(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    ended = subprocess.run([sys.executable, "app.py"], cwd=ROOT, capture_output=True, text=True, env={**os.environ, "SWARM_DATA": str(tmp_path), **settings})
    assert ended.returncode == 2 and words in ended.stderr and "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_a_clear_sentence(server: Server) -> None:
    ended = subprocess.run([sys.executable, "app.py"], cwd=ROOT, capture_output=True, text=True,
                           env={**os.environ, "SWARM_DATA": str(server.data) + "2", "SWARM_PORT": server.url.rsplit(":", 1)[1].strip("/")})
    assert ended.returncode == 2 and "Set SWARM_PORT" in ended.stderr
