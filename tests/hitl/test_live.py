"""The WebSocket over a real server: replay after a cursor, reset, growing logs, foreign origins, clients that do not read."""
import json
import socket
import threading
import time

import pytest
from conftest import HANG, until
from live_clients import asked, connected, follows, names, started
from serving import served, session

from engine.runs import wanted
from engine.store.journal import bounds
from engine.tickets import claims


@pytest.fixture
def port(app):
    until(lambda: "broadcast" not in names(), what="the clients of an earlier test are gone")
    with served(app) as port:
        yield port


def handshake(port, path="/ws", **headers):
    """-> the status that the server answers with."""
    with socket.create_connection(("127.0.0.1", port), HANG) as raw:
        asked(raw, port, path, **headers)
        return int(raw.recv(100).split()[1])


def heard(client, count=1, seconds=HANG):
    """The next messages."""
    found = []
    end = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < end:
        text = client.receive(timeout=0.2)
        if text is not None:
            found.append(json.loads(text))
    assert len(found) == count, found
    return found


def silent(client, seconds=0.4):
    """For what must not happen there is nothing to wait for but time."""
    return client.receive(timeout=seconds) is None


def move(app, session_id, to):
    db = app.extensions["swarm"].db
    with db.transaction():
        db.execute("update hitl_sessions set state = ? where id = ?", (to, session_id))


def test_a_change_is_told_as_it_happens(app, port):
    made = session(app.test_client())
    client = connected(port)
    follows()
    assert silent(client)
    move(app, made["id"], "approved")
    [message] = heard(client)
    assert {name: message[name] for name in ("kind", "session", "ticket", "from", "to")} == {
        "kind": "session", "session": made["id"], "ticket": None, "from": "review", "to": "approved"}
    client.close()


def test_a_message_about_a_session_carries_its_progress_live_and_when_replayed(app, db, port):
    made = session(app.test_client())
    client = connected(port)
    follows()
    move(app, made["id"], "approved")
    [message] = heard(client)
    later = connected(port, f"?after={message['seq'] - 1}")
    assert message["progress"] == heard(later)[0]["progress"] == app.test_client().get(f"/api/hitl/{made['id']}").json["progress"] == 90
    client.close()
    later.close()


def test_a_client_that_comes_back_misses_nothing_and_hears_nothing_twice(app, db, port):
    made = session(app.test_client())
    client = connected(port, "?after=0")
    first = heard(client, bounds(db)[1])
    client.close()
    for state in ("approved", "review", "approved"):
        move(app, made["id"], state)
    client = connected(port, f"?after={first[-1]['seq']}")
    later = heard(client, 3)
    assert [message["to"] for message in later] == ["approved", "review", "approved"]
    seqs = [message["seq"] for message in first + later]
    assert seqs == sorted(set(seqs)) and silent(client)
    client.close()


def test_only_the_session_that_was_asked_for_is_told(app, port):
    one, other = session(app.test_client()), session(app.test_client())
    client = connected(port, f"?after=0&session={one['id']}")
    assert {message["session"] for message in heard(client)} == {one["id"]}
    move(app, other["id"], "approved")
    assert silent(client)
    client.close()


def test_a_client_for_which_the_last_changes_were_not_meant_follows_like_any_other(app, port):
    one, other = session(app.test_client()), session(app.test_client())
    client = connected(port, f"?after=0&session={one['id']}")
    follows()  # with the others: it does not look again and again
    move(app, other["id"], "approved")
    move(app, one["id"], "approved")
    until(lambda: heard(client)[0]["to"] == "approved", what="it is told of its own session")
    client.close()
    until(lambda: "broadcast" not in names(), what="the broadcast thread has ended")


@pytest.mark.parametrize("place", ["pruned", "beyond"])
def test_a_cursor_that_cannot_be_continued_gets_a_reset_and_then_what_is_new(app, db, port, place):
    made = session(app.test_client())
    for state in ("approved", "review", "approved"):
        move(app, made["id"], state)
    db.execute("delete from events where seq < ?", (bounds(db)[1],))
    client = connected(port, "?after=1" if place == "pruned" else "?after=99999")
    assert heard(client) == [{"kind": "reset"}]
    move(app, made["id"], "review")
    assert heard(client)[0]["to"] == "review"
    client.close()


@pytest.mark.parametrize("query", ["?after=-1", "?after=x", "?after=1e9", "?after=" + "9" * 30])
def test_a_cursor_that_is_no_number_is_refused_before_the_handshake(port, query):
    assert handshake(port, "/ws" + query) == 400


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_page_of_another_site_is_refused_before_the_handshake(port, headers):
    assert handshake(port, **headers) == 403


def test_a_foreign_name_for_this_host_is_refused_before_the_handshake(port):
    assert handshake(port, Host="evil.example") == 403


def test_a_program_without_an_origin_may_listen(port):
    assert handshake(port) == 101


def test_a_growing_log_of_the_watched_session_is_announced(app, db, port):
    made = session(app.test_client(), approved=True)
    app.test_client().post(f"/api/hitl/{made['id']}/start-build", json={"confirmed": True})
    [run] = claims.claim(db, "engine", 1, "2100-01-01T00:00:00.000Z")
    log = app.extensions["swarm"].config.data / "runs" / run["id"] / "log"
    log.parent.mkdir(parents=True)
    client = connected(port, f"?session={made['id']}")
    follows()
    log.write_bytes(b"12345")
    assert heard(client) == [{"kind": "log", "ticket": "TKT-001", "run": run["id"], "size": 5}]
    log.write_bytes(b"1234567")
    assert heard(client)[0]["size"] == 7
    client.close()


def test_a_growing_log_of_the_watched_repositorys_setup_is_announced_and_no_other_tenants(app, db, port):
    swarm = app.extensions["swarm"]
    runs = [wanted.want(db, "setup", "repository", owner, tenant, {}) for owner, tenant in (("r1", "default"), ("r2", "other"))]
    for run in runs:
        log = swarm.config.data / "runs" / run["id"] / "log"
        log.parent.mkdir(parents=True)
        log.write_bytes(b"12345")
    other = connected(port, "?repository=r2")
    client = connected(port, "?repository=r1")
    assert heard(client) == [{"kind": "log", "ticket": None, "run": runs[0]["id"], "size": 5}]
    assert silent(other)
    client.close()
    other.close()


def test_a_change_by_another_process_is_noticed(app, db, port):
    made = session(app.test_client())
    client = connected(port)
    follows()
    other = db.connect()  # as the sqlite3 shell would: no bell rings in this process
    other.execute("update hitl_sessions set state = 'approved' where id = ?", (made["id"],))
    other.close()
    assert heard(client)[0]["to"] == "approved"
    client.close()


def test_a_client_that_does_not_read_blocks_nobody_and_is_dropped(app, db, port):
    made = session(app.test_client())
    app.config["LIVE_SEND_SECONDS"] = 1
    before = set(threading.enumerate())
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", port))
    asked(deaf, port, "/ws?after=0")
    until(lambda: started(before))
    listening = connected(port, f"?after={bounds(db)[1]}")
    with db.transaction():
        db.connection.executemany("insert into events (kind, tenant_id, session_id, to_state) values ('session', 'default', ?, 'x')", [(made["id"],)] * 60_000)
    heard(listening, 60_000)
    listening.close()
    until(lambda: not started(before), what="the deaf client's threads are gone")
    deaf.close()
