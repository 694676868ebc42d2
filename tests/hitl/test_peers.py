"""Which users of the machine the server answers: its own and root, and whom SWARM_LOCAL_USERS names."""
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import HANG, require
from flask import Flask
from other_user import HIT_AND_RUN, OTHER, as_user, asked_by, program, require_other_user
from sandbox_bench import Bench
from serving import application, ask, served, serving, session
from werkzeug.serving import make_server

from app import create_app, http_server
from engine.config import Config
from engine.errors import Forbidden, Refused
from hitl.server.admission import ENVIRON, Connection
from hitl.server.peers import Peers

REFUSED = {"code": "forbidden", "error": f"This server answers its own user (uid 0) alone; the request came from uid {OTHER}: SWARM_LOCAL_USERS={OTHER}."}
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}


@contextmanager
def served_by_another_server(app: Flask) -> Iterator[int]:
    """As `flask run` and --reload serve: nothing is asked at accept, so each request asks."""
    with serving(make_server("127.0.0.1", 0, app, threaded=True)) as server:
        yield server.server_port
    server.server_close()


SERVERS = pytest.mark.parametrize("serve", [served, served_by_another_server])


@SERVERS
def test_another_user_is_refused_whatever_he_asks_and_is_told_the_setting(app: Flask, serve) -> None:
    require_other_user()
    with serve(app) as port:
        for method, path in (("GET", "/"), ("GET", "/api/health"), ("GET", "/static/shared/app.css"), ("GET", "/nothing"), ("POST", "/api/engine/pause")):
            assert asked_by(OTHER, port, (method, path), body="{}") == [(403, REFUSED)], path
        assert ask(port, "GET", "/api/health")[0] == 200
    assert app.extensions["swarm"].db.value("select paused from engine_state") == 0


@SERVERS
def test_what_another_user_sends_and_leaves_behind_starts_no_build(app: Flask, client, serve) -> None:
    """Of a connection whose program has closed it the kernel says uid 0, which is root's."""
    require_other_user()
    made = session(client, approved=True)
    body = json.dumps({"confirmed": True})
    with serve(app) as port:
        as_user(OTHER, HIT_AND_RUN, port, 200, f"POST /api/hitl/{made['id']}/start-build HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")
        assert ask(port, "GET", "/api/health")[0] == 200  # it has accepted them all before this one
        assert client.get(f"/api/hitl/{made['id']}").json["state"] == "approved"
        assert ask(port, "POST", f"/api/hitl/{made['id']}/start-build", body, {"Content-Type": "application/json"})[0] == 200


def test_a_kept_connection_answers_its_own_user_again_and_again_and_another_one_never(app: Flask) -> None:
    require_other_user()
    asks = [("GET", "/api/health"), ("POST", "/api/engine/pause"), ("POST", "/api/engine/resume"), ("GET", "/api/health")]
    with served(app) as port:
        assert [status for status, _ in asked_by(0, port, *asks, body="{}")] == [200] * 4
        assert asked_by(OTHER, port, *asks, body="{}") == [(403, REFUSED)] * 4


def test_what_changes_something_is_asked_again_when_the_request_is_read(app: Flask) -> None:
    """Admitted at accept, and gone since."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, address = listener.accept()
        with accepted:
            connection = Connection(accepted, address[:2], listener.getsockname()[:2])
            peers: Peers = app.extensions["peers"]
            assert peers.admit(connection) is None and connection.uid == os.geteuid()
            with app.test_request_context("/api/engine/pause", method="POST", environ_overrides={ENVIRON: connection}):
                peers.check()
                client.close()
                with pytest.raises(Forbidden, match="its program has closed it or is in another network namespace"):
                    peers.check()


def test_a_websocket_of_another_user_is_refused_before_the_handshake(app: Flask) -> None:
    require_other_user()
    with served(app) as port:
        assert asked_by(OTHER, port, ("GET", "/ws"), headers=UPGRADE) == [(403, REFUSED)]
        assert [status for status, _ in asked_by(0, port, ("GET", "/ws"), headers=UPGRADE)] == [101]


def test_over_ipv6_it_is_the_same(config: Config) -> None:
    require_other_user()
    app = application(replace(config, host="::1"))
    server = http_server(app, socket.create_server(("::1", 0), family=socket.AF_INET6))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    assert asked_by(OTHER, server.port, ("GET", "/api/health"), host="::1") == [(403, REFUSED)]
    assert asked_by(0, server.port, ("GET", "/api/health"), host="::1")[0][0] == 200
    server.shutdown()
    thread.join(HANG)


PROXY = """
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    line, _ = listener.accept()
    request = line.recv(65536).replace(b"\\r\\n\\r\\n", b"\\r\\nX-Forwarded-For: 127.0.0.1\\r\\nX-Real-IP: 127.0.0.1\\r\\nConnection: close\\r\\n\\r\\n", 1)
    with line, socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
        server.sendall(request)
        while piece := server.recv(65536):
            line.sendall(piece)
"""


@pytest.mark.parametrize(("local_users", "status"), [((), 403), ((str(OTHER),), 200)])
def test_of_a_reverse_proxy_its_own_user_counts_and_no_header(config: Config, local_users: tuple[str, ...], status: int) -> None:
    require_other_user()
    app = application(replace(config, local_users=local_users))
    with served(app) as port, program(OTHER, PROXY, port) as proxy:
        at = int(proxy.stdout.readline())
        for headers in ({}, {"X-Forwarded-For": "::1"}):
            assert ask(at, "GET", "/api/health", headers={"Host": f"127.0.0.1:{port}", **headers})[0] == status
        proxy.kill()


@pytest.mark.parametrize(("local_users", "uid", "status"), [
    (str(OTHER), OTHER, 200), (f"7, {OTHER}", OTHER, 200), ("daemon", 1, 200), ("*", OTHER, 200), ("7", OTHER, 403), (str(OTHER), OTHER + 1, 403)])
def test_the_setting_lets_users_in_by_uid_by_name_or_all(config: Config, local_users: str, uid: int, status: int) -> None:
    require_other_user()
    app = application(replace(config, local_users=Config.from_env({"SWARM_LOCAL_USERS": local_users}).local_users))
    with served(app) as port:
        assert [found for found, _ in asked_by(uid, port, ("GET", "/api/health"), ("POST", "/api/engine/pause"), body="{}")] == [status] * 2


def test_who_called_sudo_counts_as_the_servers_own_user_only_where_it_runs_as_root(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    require_other_user()
    monkeypatch.setenv("SUDO_UID", str(OTHER))
    peers: Peers = app.extensions["peers"]
    with served(app) as port:
        assert asked_by(OTHER, port, ("GET", "/api/health"))[0][0] == 200
        status, answer = asked_by(OTHER + 1, port, ("GET", "/api/health"))[0]
        assert status == 403 and answer["error"].startswith(f"This server answers its own user (uid 0 and uid {OTHER}) alone; the request came from")
    monkeypatch.setattr(os, "geteuid", lambda: 998)
    assert peers.allow(998) is None and peers.allow(0) is None
    assert peers.allow(OTHER) == f"This server answers its own user (uid 998) alone; the request came from uid {OTHER}: SWARM_LOCAL_USERS={OTHER}."


@pytest.mark.parametrize("value", ["1000;1001", "nobody-of-this-name", "-1", "4294967295", "1000, x y"])
def test_a_user_that_is_none_stops_the_start(value: str) -> None:
    with pytest.raises(Refused, match=r"SWARM_LOCAL_USERS=.*uids or names of users of this machine"):
        Config.from_env({"SWARM_LOCAL_USERS": value})


def test_flasks_test_client_is_answered_only_where_the_app_was_made_for_it(config: Config) -> None:
    assert create_app(config, testing=True).test_client().get("/api/health").status_code == 200
    app = create_app(config)
    answer = app.test_client().get("/api/health")
    assert answer.status_code == 403 and "does not show whose a connection is" in answer.json["error"]
    with served(app) as port:
        assert ask(port, "GET", "/api/health")[0] == 200
    assert create_app(replace(config, local_users=("*",))).test_client().get("/api/health").status_code == 200


def test_the_log_names_each_refused_user_once(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    peers: Peers = app.extensions["peers"]
    caplog.set_level("INFO", logger="swarm")
    for uid in (OTHER, OTHER, None, OTHER + 1, None):
        assert peers.allow(uid)
    assert [record.message for record in caplog.records] == [
        f'event=refused uid={OTHER} setting="SWARM_LOCAL_USERS={OTHER}"', "event=refused uid=unknown",
        f'event=refused uid={OTHER + 1} setting="SWARM_LOCAL_USERS={OTHER + 1}"']


def test_a_sandboxed_run_does_not_reach_the_server(app: Flask, tmp_path: Path) -> None:
    require("bwrap")
    with served(app) as port:
        assert ask(port, "GET", "/api/health")[0] == 200
        code, said = Bench("bubblewrap", tmp_path).run(f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'")
    assert code != 0 and "Connection refused" in said
