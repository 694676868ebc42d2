"""Who may ask, from where, how much at once; and what every answer carries."""
import json
import socket

import pytest
from conftest import HANG
from serving import application, ask, served

from engine.config import Config

OURS = ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080", "box.example:8080", "box.example", "other.example:99"]
FOREIGN = ["evil.example", "evil.example:8080", "127.0.0.1:9999", "localhost.evil.example:8080", "127.0.0.1.nip.io:8080", "[::2]:8080",
           "::1", "localhost.:8080",
           "other.example:98", "127.0.0.1:8080@evil.example", "", "localhost:8080:1", "127.1:8080"]


@pytest.fixture
def app(tmp_path):
    app = application(Config(data=tmp_path, allowed_hosts=("box.example", "other.example:99")))
    yield app
    app.extensions["swarm"].db.close()


@pytest.fixture
def client(app):
    return app.test_client()


def refused(answer):
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden") and answer.json["error"]


@pytest.mark.parametrize("host", OURS)
def test_our_own_names_are_answered(client, host):
    assert client.get("/api/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_is_refused_as_json_on_every_path(client, host):
    for path in ("/api/health", "/", "/nothing", "/static/shared/app.css"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code in (400, 403) and set(answer.json) >= {"error", "code"}, path


def test_the_port_that_is_served_counts_even_if_the_setting_says_another(app):
    with served(app) as port:
        assert ask(port, "GET", "/api/health")[0] == 200
        assert ask(port, "GET", "/api/health", headers={"Host": f"127.0.0.1:{port + 1}"})[0] == 403


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080", "https://box.example"])
def test_a_change_from_our_own_page_is_accepted(client, origin):
    answer = client.post("/api/engine/pause", headers={"Host": "127.0.0.1:8080", "Origin": origin, "Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 200


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Origin": "http://127.0.0.1:9999"}, {"Origin": "http://127.0.0.1"},
    {"Origin": "ftp://127.0.0.1:8080"}, {"Origin": "http://127.0.0.1:8080/x"}, {"Origin": "http://127.0.0.1:8080, http://evil.example"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "cross-site"},
])
@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_a_change_from_another_site_is_refused_and_nothing_changes(client, app, method, headers):
    refused(getattr(client, method)("/api/engine/pause", base_url="http://127.0.0.1:8080", headers=headers))
    assert app.extensions["swarm"].db.value("select paused from engine_state") == 0


def test_a_program_without_an_origin_may_change_things_and_a_link_may_lead_here(client):
    assert client.post("/api/engine/pause").status_code == 200
    assert client.get("/api/health", headers={"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_a_websocket_of_another_site_is_refused_before_the_handshake(app):
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    with served(app) as port:
        status, _, body = ask(port, "GET", "/ws", headers={**upgrade, "Origin": "http://evil.example"})
    assert (status, body["code"]) == (403, "forbidden")


@pytest.mark.parametrize("path", ["/api/health", "/api/nothing", "/", "/nothing"])
def test_every_answer_carries_the_security_headers(client, path):
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin" and headers["Cache-Control"] == "no-store"


def test_a_refusal_carries_them_too_and_static_files_may_be_kept(client):
    assert "Content-Security-Policy" in client.get("/", headers={"Host": "evil.example"}).headers
    with client.get("/static/shared/app.css") as answer:
        assert answer.status_code == 200 and answer.headers.get("Cache-Control") != "no-store"


def test_an_unknown_page_is_html_and_an_unknown_api_path_is_json(client):
    assert client.get("/nothing").mimetype == "text/html" and client.get("/nothing").status_code == 404
    assert client.get("/api/nothing").json == {"error": "Not found", "code": "not_found"}


def test_a_wrong_method_names_the_right_ones(client):
    answer = client.delete("/api/health")
    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed") and "GET" in answer.headers["Allow"]


def test_a_bug_is_a_500_without_detail(app):
    app.add_url_rule("/api/bug", view_func=lambda: 1 // 0)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    answer = app.test_client().get("/api/bug")
    assert (answer.status_code, answer.json["code"]) == (500, "internal") and "ZeroDivision" not in answer.text


def test_a_broken_statement_is_a_500_and_a_busy_database_a_503_with_retry_after(app):
    db = app.extensions["swarm"].db
    app.add_url_rule("/api/broken", view_func=lambda: db.execute("select nonsense"))

    def busy():
        db.execute("pragma busy_timeout = 0")
        db.execute("begin immediate")

    app.add_url_rule("/api/busy", view_func=busy)
    client = app.test_client()
    broken = client.get("/api/broken")
    assert (broken.status_code, broken.json["code"]) == (500, "internal") and "nonsense" not in broken.text
    other = db.connect()
    other.execute("begin immediate")
    try:
        answer = client.get("/api/busy")
    finally:
        other.execute("rollback")
        other.close()
    assert (answer.status_code, answer.json["code"]) == (503, "storage_busy") and int(answer.headers["Retry-After"]) >= 1


def test_a_body_of_exactly_4_mb_is_read_and_one_byte_more_is_refused(client):
    frame = len(json.dumps({"project_name": "T", "description": ""}).encode())
    for size, status in ((4_000_000, 400), (4_000_001, 413)):
        body = json.dumps({"project_name": "T", "description": "d" * (size - frame)}).encode()
        assert len(body) == size
        answer = client.post("/api/hitl", data=body, content_type="application/json")
        assert answer.status_code == status, answer.json
    assert answer.json == {"error": "The request body is larger than 4 MB. Send less.", "code": "too_large"}


def test_a_client_that_sends_too_much_can_read_the_answer_even_in_chunks(app):
    json_type = {"Content-Type": "application/json"}
    with served(app) as port:
        status, _, body = ask(port, "POST", "/api/hitl", b"x" * 20_000_000, json_type)
        assert (status, body["code"]) == (413, "too_large")
        pieces = (b"x" * 100_000 for _ in range(200))
        status, _, body = ask(port, "POST", "/api/hitl", pieces, {**json_type, "Transfer-Encoding": "chunked"}, chunked=True)
        assert (status, body["code"]) == (413, "too_large")
        status, _, body = ask(port, "POST", "/api/hitl", b"x" * 20_000_000, {**json_type, "Origin": "http://evil.example"})
        assert (status, body["code"]) == (403, "forbidden")


def test_a_chunked_body_is_read_and_broken_chunks_are_refused(app):
    with served(app) as port:
        chunked = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        status, _, body = ask(port, "POST", "/api/hitl", iter([b'{"project_', b'name": "T"}']), chunked, chunked=True)
        assert (status, body["project_name"]) == (201, "T")
        with socket.create_connection(("127.0.0.1", port), timeout=HANG) as line:
            line.sendall(f"POST /api/hitl HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
                         "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nnonsense\r\n".encode())
            line.shutdown(socket.SHUT_WR)
            assert b" 400 " in line.makefile("rb").readline()


def test_json_with_a_suffix_type_is_json(client):
    assert client.post("/api/hitl", data=b'{"project_name": "T"}', content_type="application/merge-patch+json; charset=utf-8").status_code == 201


def test_a_thread_whose_connection_is_open_already_answers_that_the_database_is_gone(app, client):
    """Its statements would go on in the deleted file, and show what nobody can find again."""
    assert client.get("/api/hitl").status_code == 200
    path = app.extensions["swarm"].config.database
    away = path.rename(path.with_name("away"))
    path.write_bytes(away.read_bytes())
    answer = client.get("/api/hitl")
    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (503, "storage_gone", "30")
    with client.get("/static/shared/app.css") as style:
        assert style.status_code == 200
