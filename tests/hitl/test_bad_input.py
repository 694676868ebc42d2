"""What is not accepted is refused in the right order, with one envelope, and changes nothing."""
import json
import threading

import pytest
from conftest import HANG
from serving import CARD, session

from engine.store.db import Database

JSON = {"content_type": "application/json"}


@pytest.fixture
def approved(client):
    return session(client, approved=True)


def rows(db: Database):
    return [[tuple(row) for row in db.all(f"select * from {table}")] for table in ("hitl_sessions", "spec_versions", "tickets", "requests",
                                                                                   "counters")]


def refused(answer, status, code):
    """One envelope for every failure, and nothing of the machinery in it."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/json" and answer.json["code"] == code
    assert isinstance(answer.json["error"], str) and answer.json["error"] and "Traceback" not in answer.text
    return answer.json


BODIES = {
    "no body": ({}, 400, "bad_request"),
    "an empty body": ({"data": b"", **JSON}, 400, "bad_request"),
    "white space": ({"data": b" \n ", **JSON}, 400, "bad_request"),
    "text/plain": ({"data": b'{"confirmed": true}', "content_type": "text/plain"}, 415, "not_json"),
    "a form": ({"data": {"confirmed": "true"}}, 415, "not_json"),
    "no type": ({"data": b'{"confirmed": true}'}, 415, "not_json"),
    "broken JSON": ({"data": b'{"confirmed": true', **JSON}, 400, "bad_request"),
    "a list": ({"data": b"[]", **JSON}, 400, "bad_request"),
    "a text": ({"data": b'"confirmed"', **JSON}, 400, "bad_request"),
    "null": ({"data": b"null", **JSON}, 400, "bad_request"),
    "NaN": ({"data": b'{"confirmed": NaN}', **JSON}, 400, "bad_request"),
    "duplicate keys": ({"data": b'{"confirmed": false, "confirmed": true}', **JSON}, 400, "bad_request"),
    "not UTF-8": ({"data": b'{"confirmed": "\xff"}', **JSON}, 400, "bad_request"),
    "a lone surrogate": ({"data": b'{"confirmed": "\\ud800"}', **JSON}, 400, "bad_request"),
    "NUL": ({"data": b'{"confirmed": "\\u0000"}', **JSON}, 400, "bad_request"),
    "4 MB and a byte": ({"data": b'"' + b"x" * 3_999_999 + b'"', **JSON}, 413, "too_large"),
    "4 MB and a byte as text/plain": ({"data": b"x" * 4_000_001, "content_type": "text/plain"}, 413, "too_large"),
    "101 levels": ({"data": b'{"a":' * 101 + b"1" + b"}" * 101, **JSON}, 400, "bad_request"),
    "100,000 levels": ({"data": b"[" * 100_000, **JSON}, 400, "bad_request"),
    "6,000 digits": ({"data": b'{"confirmed": ' + b"1" * 6000 + b"}", **JSON}, 400, "bad_request"),
}
READ_A_BODY = [("post", "/api/hitl"), ("post", "/api/hitl/{id}/start-build"), ("put", "/api/hitl/{id}/spec-card"), ("post", "/api/hitl/{id}/approve"),
               ("post", "/api/tickets/TKT-001/answer"), ("post", "/api/tickets/TKT-001/request-changes"), ("patch", "/api/hitl/{id}/spec-card"),
               ("post", "/api/hitl/{id}/spec-card/import"), ("post", "/api/hitl/{id}/questions/1/answer"), ("post", "/api/hitl/{id}/amend"),
               ("post", "/api/hitl/{id}/amendment/approve")]
NEED_NO_BODY = [("post", f"/api/hitl/{{id}}/{what}")
                for what in ("reopen", "cancel", "pause", "resume", "messages", "draft", "amendment/discard")]
NEED_NO_BODY += [("post", f"/api/{what}") for what in ("engine/pause", "engine/resume", "tickets/TKT-001/retry", "tickets/TKT-001/cancel")]


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused_everywhere_and_changes_nothing(app, client, approved, name):
    values, status, code = BODIES[name]
    before = rows(app.extensions["swarm"].db)
    optional = NEED_NO_BODY if name not in ("no body", "an empty body") else []
    for method, path in READ_A_BODY + optional:
        refused(getattr(client, method)(path.format(id=approved["id"]), **values), status, code)
    assert rows(app.extensions["swarm"].db) == before


@pytest.mark.parametrize("confirmed", ['"true"', "1", "[true]", "null", "false", "{}", "0"])
def test_only_true_confirms(client, approved, confirmed):
    answer = client.post(f"/api/hitl/{approved['id']}/start-build", data=f'{{"confirmed": {confirmed}}}', **JSON)
    assert refused(answer, 400, "not_confirmed")["error"] == "User confirmation required"


IDS = ["unknown", "x" * 300, "..%2f..%2fswarm.db", "..", "%00", "%ff", "1' or '1'='1", "TKT-001%0a", "ü", "%2e%2e%2f", "*", "-1"]


@pytest.mark.parametrize("name", IDS)
def test_an_unknown_or_strange_id_is_not_found(client, approved, name):
    for method, path in [("get", ""), ("get", "/tickets"), ("get", "/notes"), ("post", "/reopen"), ("post", "/cancel"), ("post", "/pause")]:
        refused(getattr(client, method)(f"/api/hitl/{name}{path}"), 404, "not_found")
    for method, path in [("get", ""), ("get", "/runs"), ("get", "/log"), ("get", "/diff"), ("post", "/retry"), ("post", "/cancel")]:
        refused(getattr(client, method)(f"/api/tickets/{name}{path}"), 404, "not_found")
    refused(client.put(f"/api/hitl/{name}/spec-card", json=CARD), 404, "not_found")
    refused(client.post(f"/api/hitl/{name}/approve", json={"spec_sha256": "a" * 64}), 404, "not_found")
    answer = client.post(f"/api/hitl/{name}/start-build", json={"confirmed": True})
    assert refused(answer, 404, "not_found")["error"] in ("Session not found", "Not found")


def test_start_build_refuses_in_the_order_of_the_contract(app, client):
    made = session(client)
    path, db = f"/api/hitl/{made['id']}/start-build", app.extensions["swarm"].db
    wrong = {"spec_sha256": "0" * 64}
    db.execute("update hitl_sessions set spec_card = '{\"name\": \"\", \"features\": [{\"title\": \"F\", \"depends_on\": [\"F\"]}]}'")
    refused(client.post("/api/hitl/unknown/start-build", data=b"x" * 4_000_001, content_type="text/plain"), 413, "too_large")
    refused(client.post("/api/hitl/unknown/start-build", data=b"{", content_type="text/plain"), 415, "not_json")
    refused(client.post("/api/hitl/unknown/start-build", data=b"{", **JSON), 400, "bad_request")
    refused(client.post("/api/hitl/unknown/start-build", json=wrong), 400, "not_confirmed")
    refused(client.post("/api/hitl/unknown/start-build", json={"confirmed": True, **wrong}), 404, "not_found")
    body = refused(client.post(path, json={"confirmed": True, **wrong}), 400, "not_approved")
    assert (body["error"], body["currentState"]) == ("Session must be approved", "review")
    db.execute("update hitl_sessions set state = 'approved'")
    body = refused(client.post(path, json={"confirmed": True, **wrong}), 422, "invalid_card")
    assert [detail["path"] for detail in body["details"]] == ["name", "features[0].depends_on"]
    db.execute("update hitl_sessions set spec_card = ?", (json.dumps(CARD),))
    body = refused(client.post(path, json={"confirmed": True, **wrong}), 409, "wrong_state")
    assert body["given_sha256"] == wrong["spec_sha256"] and body["spec_sha256"] == made["spec_sha256"]
    assert client.post(path, json={"confirmed": True, "spec_sha256": made["spec_sha256"]}).status_code == 200
    assert refused(client.post(path, json={"confirmed": True}), 400, "not_approved")["currentState"] == "building"


def test_a_card_that_does_not_validate_is_refused_with_every_path(client, approved):
    card = {"name": "T", "features": [{"title": "A", "depends_on": ["C"]}, {"title": "B", "depends_on": ["nowhere"]},
                                      {"title": "C", "depends_on": ["A"]}]}
    for answer in (client.post("/api/hitl", json={"project_name": "T", "spec_card": card}),
                   client.put(f"/api/hitl/{session(client)['id']}/spec-card", json=card)):
        details = refused(answer, 422, "invalid_card")["details"]
        assert details == [{"path": "features[1].depends_on", "message": "No feature is called “nowhere”."},
                           {"path": "features[2].depends_on", "message": "cycle A → C → A"}]


@pytest.mark.parametrize("card", [[], "card", 5, True, {}])
def test_a_card_of_another_kind_is_refused(client, card):
    refused(client.post("/api/hitl", json={"project_name": "T", "spec_card": card}), 422, "invalid_card")


@pytest.mark.parametrize("body", [{}, {"project_name": 5}, {"project_name": ""}, {"project_name": "T", "description": []},
                                  {"project_name": "T", "repository": "ext::sh"}, {"project_name": "T", "repository": {"a": 1}}])
def test_a_session_with_a_bad_field_is_refused(client, body):
    refused(client.post("/api/hitl", json=body), 400, "bad_request")


@pytest.mark.parametrize("move", ["reopen", "pause", "resume"])
def test_a_wrong_state_says_which_and_since_when(client, move):
    made = session(client)
    body = refused(client.post(f"/api/hitl/{made['id']}/{move}"), 409, "wrong_state")
    assert body["currentState"] == "review" and body["since"].startswith("20")


@pytest.mark.parametrize(("method", "path"), [("delete", "/api/hitl"), ("patch", "/api/hitl/x"), ("get", "/api/hitl/x/start-build"),
                                              ("put", "/api/health"),
                                              ("post", "/api/tickets/TKT-001"), ("delete", "/api/engine")])
def test_an_unknown_method_is_a_405_as_json_with_the_allowed_ones(client, method, path):
    answer = getattr(client, method)(path)
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/hitl/", "/api/hitl/x/y/z", "/api/tickets"])
def test_an_unknown_path_is_a_404_as_json(client, path):
    refused(client.get(path), 404, "not_found")


def test_a_foreign_host_and_a_foreign_page_are_refused(app, client, approved):
    before = rows(app.extensions["swarm"].db)
    path = f"/api/hitl/{approved['id']}/start-build"
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        refused(client.post(path, json={"confirmed": True}, headers=headers), 403, "forbidden")
    refused(client.get("/api/hitl", headers={"Host": "evil.example"}), 403, "forbidden")
    assert rows(app.extensions["swarm"].db) == before


def test_of_twenty_parallel_start_builds_one_is_200_and_nineteen_are_400(app, client, approved):
    db, answers, barrier = app.extensions["swarm"].db, [], threading.Barrier(20)

    def start():
        barrier.wait(HANG)
        answers.append(app.test_client().post(f"/api/hitl/{approved['id']}/start-build", json={"confirmed": True}))
        db.close()

    threads = [threading.Thread(target=start) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    for answer in answers:
        if answer.status_code == 400:
            assert refused(answer, 400, "not_approved")["currentState"] == "building"
    assert db.value("select count(*) from tickets where type = 'epic'") == 1
