"""The whole job in the browser by forms alone, without JavaScript: what is pressed, what happens, what is kept when it fails."""
import json
import re
from html import unescape

import pytest
from paging import build, checked, form, live_run, seen
from serving import CARD, session

from engine.tickets import requests


def test_the_sample_stops_at_the_review_and_needs_two_more_presses(client, db):
    path = client.post("/sample").location
    assert db.value("select state from hitl_sessions") == "review"
    assert "Nothing runs yet" in seen(client, path).text
    assert client.post(path + "/approve", data=form(client, path, "/approve")).location == path
    assert "Nothing runs yet" in seen(client, path).text and db.value("select count(*) from tickets") == 0
    assert client.post(path + "/start", data=form(client, path, "/start")).location == path
    assert db.value("select state from hitl_sessions") == "building"
    assert "Queued" in seen(client, path).text


def test_start_without_the_confirmation_of_its_form_starts_nothing(client, db):
    made = session(client, approved=True)
    answer = client.post(f"/sessions/{made['id']}/start")
    assert answer.status_code == 400 and "User confirmation required" in checked(answer).text
    assert db.value("select count(*) from tickets") == 0


def test_an_idea_becomes_a_card_that_can_be_saved_as_it_is(client, db):
    path = client.post("/sessions", data={"project_name": "Reset", "description": "Customers reset their passwords."}).location
    page = seen(client, path)
    assert "Question 1 of at most 5" in page.text and "Question 1 is open" in page.text
    assert "disabled" in approve_button(page)
    html = client.get(path + "/json").get_data(as_text=True)
    card = json.loads(unescape(re.search(r'<textarea[^>]*name="spec_card"[^>]*>(.*?)</textarea>', html, re.S)[1]))
    while (number := db.value("select number from questions where state = 'open'")) is not None:
        assert client.post(f"{path}/questions/{number}/answer", data={"skip": "one"}).status_code == 303
    assert db.value("select state from hitl_sessions") == "review"
    assert "disabled" not in approve_button(seen(client, path))
    assert client.post(path + "/spec", data={"spec_card": json.dumps(card)}).status_code == 303
    assert json.loads(db.value("select spec_card from hitl_sessions")) == card and "disabled" not in approve_button(seen(client, path))


def approve_button(page):
    return next(button for button in page.all("button") if button.get("aria-describedby") == "approve-why")


def test_a_card_that_is_not_valid_is_kept_with_its_problems_under_it(client, db):
    path = client.post("/sessions", data={"project_name": "Reset"}).location
    typed = '{"name": "<Mine>", "features": [{"title": "F1", "depends_on": ["F9"]}]}'
    answer = client.post(path + "/spec", data={"spec_card": typed})
    page = checked(answer)
    assert answer.status_code == 422 and "<Mine>" in page.text and "features[0].depends_on" in page.text and "No feature is called" in page.text
    assert db.value("select count(*) from spec_versions") == 0


def test_a_new_session_that_is_refused_keeps_what_was_typed(client, db):
    answer = client.post("/sessions", data={"project_name": "Kept name", "description": "Kept idea", "repository": "-oProxyCommand=x", "spec_card": ""})
    page = checked(answer)
    assert answer.status_code == 400 and "Kept idea" in page.text and any(field.get("value") == "Kept name" for field in page.all("input"))
    assert db.value("select count(*) from hitl_sessions") == 0


def test_reopen_pause_resume_and_cancel_are_buttons(client, db):
    made = session(client, approved=True)
    path = f"/sessions/{made['id']}"
    assert client.post(path + "/reopen").status_code == 303 and db.value("select state from hitl_sessions") == "review"
    client.post(path + "/approve", data=form(client, path, "/approve"))
    client.post(path + "/start", data=form(client, path, "/start"))
    assert client.post(path + "/pause").status_code == 303
    assert "Paused." in seen(client, path).text and "Resume" in seen(client, path).text
    assert client.post(path + "/resume").status_code == 303 and db.value("select paused from hitl_sessions") == 0
    assert "cannot be undone" in seen(client, path).text
    assert client.post(path + "/cancel").status_code == 303
    assert "This session was cancelled" in seen(client, path).text


def test_a_second_approval_says_what_is_the_case(client):
    made = session(client, approved=True)
    answer = client.post(f"/sessions/{made['id']}/approve", data={"spec_sha256": made["spec_sha256"]})
    assert answer.status_code == 409 and "approved since" in checked(answer).text


def test_a_question_is_answered_on_the_ticket_the_board_and_the_inbox(client, db):
    build(client)
    run = live_run(db, "TKT-002")
    requests.open_question(db, db.one("select * from tickets where id = 'TKT-002'"), run, "Red or blue?", ["red", "blue"])
    for path in ("/tickets/TKT-002", "/inbox"):
        page = seen(client, path)
        assert "Red or blue?" in page.text
        assert [button["value"] for button in page.all("button") if button.get("name") == "option"] == ["red", "blue"]
    answer = client.post("/requests/1/answer", data={"text": "green, please"}, headers={"Referer": "http://localhost/tickets/TKT-002"})
    assert (answer.status_code, answer.location) == (303, "/tickets/TKT-002")
    assert db.one("select state, answer from requests")[:] == ("answered", "green, please")
    late = client.post("/requests/1/answer", data={"text": "too late"})
    assert late.status_code == 409 and "answered" in checked(late).text


@pytest.mark.parametrize("referer", ["http://evil.example/tickets/x", "http://localhost//evil.example", "http://localhost/\\evil", "javascript:alert(1)", ""])
def test_an_answer_never_leads_to_another_site(client, db, referer):
    build(client)
    requests.open_question(db, db.one("select * from tickets where id = 'TKT-002'"), "r", "?", [])
    assert client.post("/requests/1/answer", data={"text": "x"}, headers={"Referer": referer}).location == "/inbox"


def test_a_request_for_isolation_offers_its_two_ways_out(client, db):
    path = build(client)
    requests.open_isolation(db, db.one("select * from tickets where id = 'TKT-002'"), "bubblewrap is not installed.")
    for place in ("/inbox", path):
        buttons = [button.get("value") for button in seen(client, place).all("button") if button.get("name") == "option"]
        assert buttons == ["Try again", "Run this session without isolation"]
    client.post("/requests/1/answer", data={"option": "Run this session without isolation"})
    assert db.value("select isolation from hitl_sessions") == "waived"


def test_a_failed_ticket_is_retried_or_dropped_from_the_inbox(client, db):
    build(client)
    db.execute("update tickets set status = 'running' where id = 'TKT-001'")
    db.execute("update tickets set status = 'failed', failures = 3 where id = 'TKT-002'")
    requests.open_failed(db, db.one("select * from tickets where id = 'TKT-002'"), None, "Every attempt failed.")
    page = seen(client, "/inbox")
    assert "Every attempt failed." in page.text and "Build TKT-003 anyway" in re.sub(r"\s+", " ", page.text)
    assert client.post("/tickets/TKT-002/retry").location == "/tickets/TKT-002"
    assert db.value("select status from tickets where id = 'TKT-002'") != "failed"
    client.post("/tickets/TKT-002/cancel", data={"go_on_without": "true"})
    assert dict(db.execute("select id, status from tickets where id > 'TKT-001'").fetchall())["TKT-002"] == "cancelled"
    assert db.value("select status from tickets where id = 'TKT-003'") != "cancelled"


def test_the_engine_is_paused_and_resumed_by_a_button(client, db):
    assert client.post("/engine/pause").location == "/engine" and db.value("select paused from engine_state") == 1
    assert "Resume" in seen(client, "/engine").text
    assert client.post("/engine/resume").location == "/engine" and db.value("select paused from engine_state") == 0


def test_the_theme_is_kept_in_a_cookie_and_leads_back(client):
    answer = client.post("/theme", data={"theme": "dark", "next": "/inbox"})
    assert answer.location == "/inbox" and seen(client, "/inbox").all("html")[0]["data-theme"] == "dark"
    client.post("/theme", data={"theme": "system", "next": "/"})
    assert "data-theme" not in seen(client, "/").all("html")[0]


@pytest.mark.parametrize("where", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", ""])
def test_the_theme_never_leads_to_another_site(client, where):
    assert client.post("/theme", data={"theme": "dark", "next": where}).location == "/"


def test_shortcuts_can_be_turned_off(client):
    client.post("/help/keys", data={})
    assert seen(client, "/").all("html")[0]["data-shortcuts"] == "off"
    client.post("/help/keys", data={"shortcuts": "on"})
    assert "data-shortcuts" not in seen(client, "/").all("html")[0]


def test_a_form_that_meets_a_broken_store_keeps_what_was_typed(client, db):
    build(client)
    requests.open_question(db, db.one("select * from tickets where id = 'TKT-002'"), "r", "?", [])
    db.execute("pragma query_only = on")
    answer = client.post("/requests/1/answer", data={"text": "a long thought that nobody wants to type again"})
    db.execute("pragma query_only = off")
    assert answer.status_code == 503 and "a long thought that nobody wants to type again" in checked(answer).text


def test_changes_are_approved_or_sent_back_by_a_form(client, db):
    build(client, {**CARD, "review": True})
    db.execute("update tickets set status = 'running' where id = 'TKT-001'")
    for press in ("approve", "request-changes"):
        db.execute("update tickets set status = 'in_review' where id = 'TKT-002'")
        db.execute("insert into requests (tenant_id, session_id, ticket_id, kind, body) select tenant_id, session_id, id, 'review', 'Look.' from tickets"
                   " where id = 'TKT-002'")
        assert "waits for your review" in seen(client, "/tickets/TKT-002/changes").text and "Approve and merge" in seen(client, "/inbox").text
        assert client.post(f"/tickets/TKT-002/{press}", data={"text": "Rename it."}).location == "/tickets/TKT-002"
        assert db.value("select state from requests order by seq desc limit 1") == "answered"
    assert db.value("select answer from requests order by seq desc limit 1") == "Rename it."
