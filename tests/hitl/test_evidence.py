"""What proves each criterion, on the page of its session and in JSON: what no command checks is never counted as passed."""
import json

import pytest
from conftest import build
from flask import Flask
from flask.testing import FlaskClient
from paging import seen

from engine.config import Config
from engine.delivery import pull_request_text
from engine.repositories import sources
from engine.store.db import Database
from engine.tickets.rows import TicketRow

CARD = {"name": "E", "checks": ["make whole"], "features": [
    {"title": "One", "acceptance_criteria": [{"text": "counts <b>", "check": "test 1"}, {"text": "breaks", "check": "test 2"}, "looks good"]},
    {"title": "Two", "acceptance_criteria": [{"text": "waits", "check": "test 3"}, "reads well"]}, {"title": "None"}]}


@pytest.fixture
def session(app: Flask, db: Database, config: Config) -> str:
    made = build(db, config, CARD)
    checks = [{"text": "counts <b>", "command": "test 1", "exit": 0, "seconds": 1.5, "output": "fine", "passed": True},
              {"text": "breaks", "command": "test 2", "exit": 3, "seconds": 0.5, "output": "broken", "passed": False}]
    for number, found in enumerate((checks, []), 1):  # a later run that came to no check takes nothing away
        db.execute("insert into runs (id, ticket_id, session_id, kind, state, claim_token, claimed_by, run_no, outcome, ended_at, checks)"
                   " values (?, 'TKT-002', ?, 'feature', 'ended', 't', 'e', ?, 'failed', '2026-01-01T00:00:00.000Z', ?)",
                   (f"run-{number}", made, number, json.dumps(found)))
    return made


def test_each_criterion_stands_with_its_proof_and_all_are_counted(client: FlaskClient, session: str) -> None:
    found = client.get(f"/api/hitl/{session}/evidence").json
    assert found["counts"] == {"passed": 1, "failed": 1, "waiting": 2, "waived": 0, "unchecked": 2}
    assert [(each["ticket"], each["run"], [item["state"] for item in each["criteria"]]) for each in found["tickets"]] == [
        ("TKT-001", None, ["waiting"]), ("TKT-002", "run-1", ["passed", "failed", "unchecked"]), ("TKT-003", None, ["waiting", "unchecked"])]
    assert found["tickets"][1]["criteria"][1] == {"number": 2, "text": "breaks", "command": "test 2", "state": "failed", "exit": 3, "seconds": 0.5,
                                                  "waived": "", "former": 1, "before": None}
    seen(client, f"/sessions/{session}/evidence")
    page = client.get(f"/sessions/{session}/evidence").text
    for part in ("1 of 4 checks passed", "1 failed", "2 not checked by a command", "counts &lt;b&gt;", "test 2", "Checks on the whole", "exit 3"):
        assert part in page, part
    assert "2 criteria not checked by a command" in client.get(f"/sessions/{session}").text


def test_waived_and_dropped_criteria_are_told_apart(client: FlaskClient, db: Database, session: str) -> None:
    db.execute("update tickets set status = 'cancelled' where id = 'TKT-003'")
    assert client.post("/api/tickets/TKT-002/waive", json={"criterion": 2, "reason": "No <i>need</i>."}).status_code == 200
    assert client.post("/api/tickets/TKT-002/waive", json={"criterion": 3, "reason": "Seen."}).status_code == 200
    found = client.get(f"/api/hitl/{session}/evidence").json
    assert found["counts"] == {"passed": 1, "failed": 0, "waiting": 1, "waived": 2, "unchecked": 0}
    assert "No &lt;i&gt;need&lt;/i&gt;." in client.get(f"/sessions/{session}/evidence").text
    assert "not checked by a command" not in client.get(f"/sessions/{session}").text


def test_many_tickets_come_in_pages_and_what_was_edited_by_hand_is_no_error(client: FlaskClient, db: Database, session: str) -> None:
    first = client.get(f"/api/hitl/{session}/evidence?limit=2").json
    second = client.get(f"/api/hitl/{session}/evidence?limit=2&after={first['next']}").json
    assert [[each["ticket"] for each in page["tickets"]] for page in (first, second)] == [["TKT-001", "TKT-002"], ["TKT-003"]]
    assert second["next"] is None and second["counts"] == first["counts"]
    db.execute("update tickets set acceptance_criteria = '[3, {\"check\": 5}, \"x\"' where id = 'TKT-003'")
    db.execute("update tickets set acceptance_criteria = '[3, {\"text\": 5}, \"x\"]' where id = 'TKT-002'")
    db.execute("update runs set checks = '[1, \"x\"]'")
    assert client.get(f"/api/hitl/{session}/evidence").json["counts"]["unchecked"] == 2
    assert client.get(f"/sessions/{session}").status_code == client.get(f"/sessions/{session}/evidence?after=-1").status_code == 200
    assert client.get("/api/hitl/unknown/evidence").status_code == 404


def test_before_the_build_there_is_no_evidence(client: FlaskClient) -> None:
    made = client.post("/api/hitl", json={"project_name": "P", "spec_card": CARD}).json["id"]
    assert client.get(f"/sessions/{made}/evidence").status_code == 302
    assert client.get(f"/api/hitl/{made}/evidence").json == {
        "counts": {"passed": 0, "failed": 0, "waiting": 0, "waived": 0, "unchecked": 0}, "tickets": [], "next": None}


def test_a_red_of_an_earlier_run_is_marked_as_that_run_s_until_the_present_one_has_checked(client: FlaskClient, db: Database, session: str) -> None:
    page, whole = client.get("/tickets/TKT-002").text, client.get(f"/sessions/{session}/evidence").text
    red = page[page.index('id="evidence-2"'):page.index("broken")]
    assert "failed, exit 3 in run 1,<br>not checked again yet" in red and " open>" not in red and "is-former" in red and "is-failed" not in red
    assert "run 1: 1 of 2 passed" in page and "failed</a>, exit 3 in run 1,<br>not checked again yet" in whole
    assert "- Failed: breaks (`test 2`)\n  - in run 1, not checked again yet\n" in client.get(f"/sessions/{session}/notes.md").text
    db.execute("update runs set checks = (select checks from runs where id = 'run-1') where id = 'run-2'")
    page = client.get("/tickets/TKT-002").text
    assert "in run 1" not in page and '<details id="evidence-2" open>' in page
    db.execute("update runs set outcome = 'merged', checks = '[]' where id = 'run-2'")  # it only merged what run 1 had checked
    assert "in run 1" not in client.get("/tickets/TKT-002").text


def test_what_was_red_before_and_green_after_is_said_everywhere(client: FlaskClient, db: Database, config: Config, session: str) -> None:
    repository = sources.row_for(db, config, "default", "https://forge.example/acme/widget")
    db.execute("update hitl_sessions set repository_id = ?", (repository["id"],))
    db.execute("update tickets set base_sha = 'b1' where type = 'epic'")
    for command, result in (("test 1", "red"), ("test 2", "green"), ("test 3", "cannot_run")):
        db.execute("insert into baselines (repository_id, base_sha, environment_key, command, result, output) values (?, 'b1', '', ?, ?, 'said at the base')",
                   (repository["id"], command, result))
    tickets = client.get(f"/api/hitl/{session}/evidence").json["tickets"]
    assert [[item["before"] for item in each["criteria"]] for each in tickets] == [["not_run"], ["red", "green", None], ["cannot_run", None]]
    page, ticket = client.get(f"/sessions/{session}/evidence").text, client.get("/tickets/TKT-002").text
    assert "Red before, green after" in page and "Green before, red after" in page and page.count(" after<") == 2, "nothing of what has not been checked"
    assert "Red before, green after" in ticket and "said at the base" in ticket
    notes = client.get(f"/sessions/{session}/notes.md").text
    assert "(`test 1`), red before, green after" in notes and "(`test 2`), green before, red after" in notes
    feature = db.one("select * from tickets where id = 'TKT-002'", (), TicketRow)
    assert feature and "s, red before, green after)" in pull_request_text.body(db, config, feature)
    db.execute("update baselines set environment_key = 'another'")
    assert {item["before"] for each in client.get(f"/api/hitl/{session}/evidence").json["tickets"] for item in each["criteria"]} == {"not_run", None}
