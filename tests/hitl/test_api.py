"""Every row of the API: what it answers, and that a page of JSON says what the database says."""
import io
import json
import shutil
import subprocess
import zipfile

import pytest
from conftest import git
from serving import CARD, session

from engine.config import Config
from engine.git.branches import repository_path
from hitl.views.board import board_view
from hitl.web.strict_json import sha256


@pytest.fixture
def config(tmp_path):
    return Config(data=tmp_path / "data", repository_roots=(tmp_path,))


def started(client):
    made = session(client, approved=True)
    answer = client.post(f"/api/hitl/{made['id']}/start-build", json={"confirmed": True})
    assert answer.status_code == 200, answer.json
    return made["id"]


def run(db, ticket, number, **values):
    """A row in runs, as an engine would have written it."""
    row = {"id": f"run-{ticket.lower()}-{number}", "ticket_id": ticket, "kind": "feature", "claim_token": "secret", "claimed_by": "e",
           "run_no": number, **values}
    row["session_id"] = db.value("select session_id from tickets where id = ?", (ticket,))
    db.execute(f"insert into runs ({', '.join(row)}) values ({', '.join('?' * len(row))})", tuple(row.values()))
    return row["id"]


def test_a_new_session_is_answered_with_201_and_its_id_at_top_level(client):
    answer = client.post("/api/hitl", json={"project_name": "Test", "description": "An idea", "repository": "owner/repo"})
    assert answer.status_code == 201 and answer.headers["Location"] == f"/api/hitl/{answer.json['id']}"
    assert {name: answer.json[name] for name in ("project_name", "description", "state", "progress", "spec_card", "spec_version", "paused")} == {
        "project_name": "Test", "description": "An idea", "state": "draft", "progress": 10, "spec_card": None, "spec_version": 0, "paused": False}
    assert client.get(answer.headers["Location"]).json == answer.json


def test_the_way_from_idea_to_build(client):
    made = client.post("/api/hitl", json={"project_name": "Test"}).json
    base = f"/api/hitl/{made['id']}"
    put = client.put(f"{base}/spec-card", json={**CARD, "colour": 1}).json
    assert put["version"] == 1 and put["sha256"] == sha256({**CARD, "colour": 1}) and put["warnings"][0]["path"] == "colour"
    review = client.get(base).json
    assert (review["state"], review["progress"], review["spec_card"], review["warnings"]) == ("review", 60, {**CARD, "colour": 1}, put["warnings"])
    approved = client.post(f"{base}/approve", json={"spec_sha256": put["sha256"]}).json
    assert (approved["state"], approved["progress"], approved["approved_sha256"]) == ("approved", 90, put["sha256"])
    assert client.post(f"{base}/reopen").json["state"] == "review"
    client.post(f"{base}/approve", json={"spec_sha256": put["sha256"]})
    start = client.post(f"{base}/start-build", json={"confirmed": True, "spec_sha256": put["sha256"]})
    assert (start.status_code, start.json["state"], start.json["ticket_count"]) == (200, "building", 3)
    assert start.json["ticket_ids"] == [start.json["epic_id"], "TKT-002", "TKT-003"] and start.json["success"] is True
    building = client.get(base).json
    assert (building["state"], building["progress"], building["epic_id"]) == ("building", 90, "TKT-001")
    assert building["tickets"] == {"total": 2, "by_status": {"blocked": 2}} and building["repository"] is None


def test_a_card_may_be_put_in_an_envelope(client):
    made = client.post("/api/hitl", json={"project_name": "Test"}).json
    assert client.put(f"/api/hitl/{made['id']}/spec-card", json={"spec_card": CARD}).json["sha256"] == sha256(CARD)


def test_progress_grows_as_tickets_complete(client, db):
    session_id = started(client)
    seen = []
    for ticket in ("TKT-002", "TKT-003", "TKT-001"):
        db.execute("update tickets set status = 'completed' where id = ?", (ticket,))
        seen.append(client.get(f"/api/hitl/{session_id}").json["progress"])
    db.execute("update hitl_sessions set state = 'completed'")
    seen.append(client.get(f"/api/hitl/{session_id}").json["progress"])
    assert seen == [93, 96, 99, 100]


def test_a_card_that_was_broken_by_hand_is_shown_with_the_reason(client, db):
    made = session(client)
    db.execute("update hitl_sessions set spec_card = '{broken'")
    shown = client.get(f"/api/hitl/{made['id']}").json
    assert shown["spec_card"] is None and "not valid JSON" in shown["warnings"][0]["message"]


def test_sessions_are_listed_newest_first_page_by_page_and_by_state(client):
    ids = [session(client)["id"] for _ in range(3)] + [client.post("/api/hitl", json={"project_name": "Idea"}).json["id"]]
    first = client.get("/api/hitl?limit=3").json
    second = client.get(f"/api/hitl?limit=3&after={first['next']}").json
    assert [each["id"] for each in first["sessions"] + second["sessions"]] == ids[::-1] and second["next"] is None
    assert [each["id"] for each in client.get("/api/hitl?state=draft").json["sessions"]] == ids[3:]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "limit=", "limit=1e2", "limit=-1", "after=-1", "after=x",
                                   "after=" + "9" * 40, "state=open", "limit=%D9%A3"])
def test_a_wrong_number_in_a_query_is_refused_with_what_is_allowed(client, query):
    answer = client.get(f"/api/hitl?{query}")
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request") and query.partition("=")[0] in answer.json["error"]


def test_pause_resume_and_cancel(client, db):
    session_id = started(client)
    assert client.post(f"/api/hitl/{session_id}/pause", json={}).json["paused"] is True
    assert client.post(f"/api/hitl/{session_id}/resume").json["paused"] is False
    cancelled = client.post(f"/api/hitl/{session_id}/cancel", json={"reason": "No longer wanted."}).json
    assert (cancelled["state"], cancelled["reason"]) == ("cancelled", "No longer wanted.")
    assert client.post(f"/api/hitl/{session_id}/cancel").json == cancelled
    assert cancelled["tickets"]["by_status"] == {"cancelled": 2}


def test_tickets_are_shown_without_the_claims_token(client, db):
    session_id = started(client)
    db.execute("update tickets set claim_token = 'secret', claimed_by = 'engine'")
    run(db, "TKT-002", 1, checks=json.dumps([{"text": "t", "passed": True}]), phases='{"clone": 5}')
    listed = client.get(f"/api/hitl/{session_id}/tickets").json["tickets"]
    assert [each["id"] for each in listed] == ["TKT-001", "TKT-002", "TKT-003"] and listed[2]["depends_on"] == ["TKT-002"]
    one = client.get("/api/tickets/TKT-002").json
    assert (one["dependents"], one["depends_on"], one["parent_id"], one["session_id"]) == (["TKT-003"], [], "TKT-001", session_id)
    assert one["run"]["id"] == "run-tkt-002-1" and one["checks"] == [{"text": "t", "passed": True}] and one["run"]["phases"] == {"clone": 5}
    runs = client.get("/api/tickets/TKT-002/runs").json["runs"]
    assert len(runs) == 1
    for shown in (listed, one, runs):
        assert "claim_token" not in json.dumps(shown) and "secret" not in json.dumps(shown)


def test_criteria_that_were_broken_by_hand_do_not_break_the_page(client, db):
    started(client)
    db.execute("update tickets set acceptance_criteria = '{broken'")
    assert client.get("/api/tickets/TKT-002").json["acceptance_criteria"] == []


def test_events_come_after_the_cursor(client):
    session_id = started(client)
    all_of_them = client.get(f"/api/hitl/{session_id}/events").json
    assert [each["to"] for each in all_of_them["events"] if each["kind"] == "session"] == ["review", "approved", "building"]
    after = all_of_them["events"][2]["seq"]
    rest = client.get(f"/api/hitl/{session_id}/events?after={after}&limit=2").json
    assert rest["events"] == all_of_them["events"][3:5] and rest["next"] == rest["events"][-1]["seq"]


def test_the_board_has_a_column_for_each_who_acts_next(client, db):
    session_id = started(client)
    board = client.get(f"/api/hitl/{session_id}/board").json
    assert [column["key"] for column in board["columns"]] == ["queued", "running", "needs_you", "in_review", "done", "cancelled"]
    assert [card["id"] for card in board["columns"][0]["tickets"]] == ["TKT-002", "TKT-003"] and board["epic"]["id"] == "TKT-001"
    assert board["columns"][0]["tickets"][1]["waits_for"] == ["TKT-002"]
    db.execute("update tickets set status = 'failed' where id in ('TKT-001', 'TKT-002')")
    run(db, "TKT-002", 1, state="running", runtime="fake")
    needs = client.get(f"/api/hitl/{session_id}/board").json["columns"][2]
    assert [card["id"] for card in needs["tickets"]] == ["TKT-001", "TKT-002"] and needs["mine"] and needs["tickets"][1]["runtime"] == "fake"


def test_the_board_of_500_tickets_takes_two_queries(client, app, db):
    made = session(client, {"name": "Many", "features": [{"title": f"F{n}", "depends_on": [n] if n else []} for n in range(500)]}, approved=True)
    client.post(f"/api/hitl/{made['id']}/start-build", json={"confirmed": True})
    statements = []
    db.connection.set_trace_callback(statements.append)
    try:
        board = board_view(db, "default", made["id"])
    finally:
        db.connection.set_trace_callback(None)
    assert len(statements) == 2 and board["total"] == 500


def test_notes_tell_the_story_as_markdown_that_foreign_text_cannot_change(client, db):
    card = {"name": "Test", "features": [{"title": "F1 <script> # [x](y)"}]}
    made = session(client, card, approved=True)
    client.post(f"/api/hitl/{made['id']}/start-build", json={"confirmed": True})
    db.execute("update hitl_sessions set description = ? where id = ?", ("An idea\n# Not a heading", made["id"]))
    run(db, "TKT-002", 1, state="ended", outcome="merged", started_at="2026-01-01T00:00:00.000Z", ended_at="2026-01-01T00:00:02.500Z", runtime="fake",
        agent="runbook", checks=json.dumps([{"text": "works", "command": "true", "passed": True},
                                            {"text": "fails", "command": "false", "passed": False}]))
    db.execute("update tickets set branch_name = 'swarm/x', merged_sha = ? where id = 'TKT-002'", ("a" * 40,))
    db.execute("insert into requests (tenant_id, session_id, ticket_id, kind, body, state, answer, answered_by, answered_at)"
               " values ('default', ?, 'TKT-002', 'question', 'Which?\n# one', 'answered', 'This', 'you', '2026-01-01T00:00:00.000Z')", (made["id"],))
    answer = client.get(f"/api/hitl/{made['id']}/notes")
    assert answer.content_type == "text/markdown; charset=utf-8"
    text = answer.text
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Test", "## Spec card", "## Tickets", "### TKT-001 Test", "### TKT-002 F1 \\<script\\> \\# \\[x\\](y)", "## Requests"]
    for part in ("Version 1", "Approved", "Run 1 (feature in fake by runbook): merged after 2.5 s", "passed: works (`true`)", "failed: fails",
                 "`swarm/x`, merged as `aaaaaaaaaaaa`", "answered by you"):
        assert part in text, part


def test_a_log_is_read_from_an_offset_in_bounded_pieces_and_no_character_is_cut(client, app, db):
    started(client)
    assert client.get("/api/tickets/TKT-002/log").json == {"run": None, "text": "", "size": 0, "next": 0}
    run_id = run(db, "TKT-002", 1)
    assert client.get("/api/tickets/TKT-002/log").json == {"run": run_id, "text": "", "size": 0, "next": 0}
    folder = app.extensions["swarm"].config.data / "runs" / run_id
    folder.mkdir(parents=True)
    whole = "a" + "ü😀" * 100_000
    (folder / "log").write_text(whole, encoding="utf-8")
    size, text, after = len(whole.encode()), "", 0
    while after < size:
        piece = client.get(f"/api/tickets/TKT-002/log?after={after}").json
        assert piece["size"] == size and after < piece["next"] <= after + 256_000
        text, after = text + piece["text"], piece["next"]
    assert text == whole
    assert client.get(f"/api/tickets/TKT-002/log?after={size + 5}").json["next"] == size
    (folder / "log").write_bytes(b"ok \xff\xfe \xf0\x9f")
    piece = client.get("/api/tickets/TKT-002/log?after=0").json
    assert piece["text"] == "ok \ufffd\ufffd " and piece["next"] == 6
    assert client.get("/api/tickets/TKT-002/log?after=6").json == {"run": run_id, "text": "\ufffd", "size": 8, "next": 8}


def test_a_log_of_another_tickets_run_is_not_found(client, db):
    started(client)
    run_id = run(db, "TKT-003", 1)
    assert client.get(f"/api/tickets/TKT-002/log?run={run_id}").status_code == 404
    assert client.get("/api/tickets/TKT-002/log?run=../../swarm.db").status_code == 404


@pytest.fixture
def built(client, app, db, tmp_path):
    """A session whose repository has a branch with one changed file, as after a prepare and a feature run."""
    session_id = started(client)
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    (work / "a.txt").write_text("one\n")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "first")
    base = git(work, "rev-parse", "HEAD").strip()
    (work / "a.txt").write_text("one\ntwo\n")
    git(work, "commit", "-qam", "second")
    tip = git(work, "rev-parse", "HEAD").strip()
    git(work, "branch", "swarm/tkt-001-test")
    path = repository_path(app.extensions["swarm"].config, session_id)
    subprocess.run(["git", "clone", "-q", "--bare", work, path], check=True, capture_output=True)
    db.execute("update tickets set base_sha = ?, branch_name = 'swarm/tkt-001-test' where id = 'TKT-001'", (base,))
    run(db, "TKT-002", 1, base_sha=base, tip_sha=tip)
    return session_id, base, tip


def test_the_diff_of_a_ticket_and_of_the_whole_build(client, built):
    _, base, tip = built
    for ticket in ("TKT-002", "TKT-001"):
        answer = client.get(f"/api/tickets/{ticket}/diff").json
        assert (answer["base"], answer["tip"]) == (base, tip) and "\n+two\n" in answer["diff"]
        assert answer["files"] == [{"path": "a.txt", "added": 1, "removed": 0}]
    assert client.get("/api/tickets/TKT-003/diff").json == {"ticket": "TKT-003", "base": None, "tip": None, "diff": "", "files": []}


def test_a_diff_of_commits_that_are_gone_is_not_found_and_says_why(client, built, db):
    db.execute("update runs set tip_sha = ?", ("1" * 40,))
    answer = client.get("/api/tickets/TKT-002/diff")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found") and "cannot be shown" in answer.json["error"]


def test_what_is_built_can_be_cloned_and_downloaded(client, built, tmp_path):
    session_id, _, tip = built
    repository = client.get(f"/api/hitl/{session_id}").json["repository"]
    assert repository["branch"] == "swarm/tkt-001-test" and repository["clone"].startswith("git clone /")
    subprocess.run([*repository["clone"].split(), str(tmp_path / "clone"), "-q", "-b", repository["branch"]], check=True, capture_output=True)
    assert git(tmp_path / "clone", "rev-parse", "HEAD").strip() == tip
    with client.get(f"/api/hitl/{session_id}/archive.zip") as answer:
        assert answer.mimetype == "application/zip" and "tkt-001-test.zip" in answer.headers["Content-Disposition"]
        with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
            assert archive.read("tkt-001-test/a.txt") == b"one\ntwo\n"


def test_a_result_whose_branch_or_repository_was_removed_is_gone(client, app, built, db):
    session_id, _, _ = built
    path = repository_path(app.extensions["swarm"].config, session_id)
    db.execute("update tickets set status = 'completed' where id = 'TKT-002'")
    assert "archive.zip" in client.get(f"/sessions/{session_id}").text and client.get(f"/api/hitl/{session_id}").json["repository"]["gone"] is None
    git(path, "branch", "-D", "swarm/tkt-001-test")
    answer = client.get(f"/api/hitl/{session_id}/archive.zip")
    assert (answer.status_code, answer.json["code"]) == (410, "gone") and "The branch swarm/tkt-001-test was removed" in answer.json["error"]
    shutil.rmtree(path)
    answer = client.get(f"/api/hitl/{session_id}/archive.zip")
    assert (answer.status_code, answer.json["code"]) == (410, "gone") and f"there is no {path}" in answer.json["error"]
    assert client.get(f"/api/hitl/{session_id}").json["repository"]["gone"] == answer.json["error"]
    page = client.get(f"/sessions/{session_id}").text
    assert "The repository of this session was removed" in page and "archive.zip" not in page and "git clone" not in page


def test_there_is_no_archive_before_the_build_is_prepared(client):
    assert client.get(f"/api/hitl/{started(client)}/archive.zip").json["code"] == "not_found"


def test_a_failed_ticket_is_retried_and_an_open_one_cancelled(client, db):
    session_id = started(client)
    db.execute("update tickets set base_sha = 'b', status = 'running' where id = 'TKT-001'")
    db.execute("update tickets set status = 'failed', failures = 3 where id = 'TKT-002'")
    answer = client.post("/api/tickets/TKT-002/retry")
    assert (answer.status_code, answer.json["status"], answer.json["failures"]) == (200, "ready", 0)
    assert client.post("/api/tickets/TKT-002/retry").json["code"] == "wrong_state"
    assert client.post("/api/tickets/TKT-002/cancel", json={"go_on_without": True}).json["status"] == "cancelled"
    assert client.get("/api/tickets/TKT-003").json["status"] == "ready" and client.get(f"/api/hitl/{session_id}").json["state"] == "building"


def test_a_question_is_listed_answered_once_and_then_says_by_whom(client, db):
    session_id = started(client)
    db.execute("update tickets set status = 'needs_input' where id = 'TKT-002'")
    db.execute("insert into requests (tenant_id, session_id, ticket_id, kind, body, options)"
               " values ('default', ?, 'TKT-002', 'question', 'Which?', '[\"A\"]')", (session_id,))
    waiting = client.get("/api/requests").json["requests"]
    assert [(each["ticket_id"], each["options"], each["project_name"]) for each in waiting] == [("TKT-002", ["A"], "Test")]
    assert client.get(f"/api/hitl/{session_id}").json["requests"] == 1
    assert client.post("/api/tickets/TKT-002/answer", json={"answer": ""}).status_code == 400
    assert client.post("/api/tickets/TKT-002/answer", json={"answer": 5}).status_code == 400
    assert client.post("/api/tickets/TKT-002/answer", json={"answer": "A"}).json["requests"][0]["answer"] == "A"
    again = client.post("/api/tickets/TKT-002/answer", json={"answer": "B"})
    assert (again.status_code, again.json["answer"]) == (409, "A") and again.json["answered_by"] and again.json["answered_at"]
    assert client.get("/api/requests").json["requests"] == []


def test_the_engine_is_paused_and_resumed_and_says_what_it_is(client, app):
    assert client.get("/api/health").json == {"status": "ok", "engine": "off", "last_tick_age": None, "storage": [], "waiting": None}
    paused = client.post("/api/engine/pause", json={"reason": "Updating."}).json
    assert (paused["paused"], paused["reason"], paused["engine"]) == (True, "Updating.", "off")
    resumed = client.post("/api/engine/resume").json
    assert (resumed["paused"], resumed["reason"]) == (False, None)
    assert {"slots", "busy", "runtimes", "agents", "settings", "errors", "runs"} <= set(resumed)
    assert {"runbook"} <= {agent["name"] for agent in resumed["agents"]} and all(runtime["isolation"] for runtime in resumed["runtimes"])
    assert {setting["name"] for setting in resumed["settings"]} >= {"SWARM_PORT", "SWARM_DATA"}


def test_another_tenants_things_are_the_same_404_as_unknown_ones(client, db):
    session_id = started(client)
    db.execute("update hitl_sessions set tenant_id = 'somebody'")
    db.execute("update tickets set tenant_id = 'somebody'")
    for path in ("", "/tickets", "/events", "/notes", "/board", "/archive.zip"):
        theirs, unknown = client.get(f"/api/hitl/{session_id}{path}"), client.get(f"/api/hitl/unknown{path}")
        assert theirs.status_code == 404 and theirs.json == unknown.json == {"error": "Session not found", "code": "not_found"}
    for path in ("", "/runs", "/log", "/diff"):
        theirs, unknown = client.get(f"/api/tickets/TKT-002{path}"), client.get(f"/api/tickets/unknown{path}")
        assert theirs.status_code == 404 and theirs.json == unknown.json
    for what in ("retry", "cancel", "approve"):
        assert client.post(f"/api/tickets/TKT-002/{what}").status_code == 404
    assert client.get("/api/hitl").json["sessions"] == []
