"""Every page over a real database: what a person sees, whatever the state, and what hostile text does to it: nothing."""
import json
import re

import pytest
from paging import Page, build, checked, form, live_run, seen
from serving import session

from engine.tickets import requests

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"' javascript:alert(3)"


def test_a_first_visit_explains_the_three_steps_and_offers_the_sample(client):
    page = seen(client, "/")
    assert "How it works" in page.text and "No sessions yet" in page.text and "This installation" in page.text
    assert {"action": "/sample", "method": "post", "class": "panel-foot"} in page.all("form")


@pytest.mark.parametrize("path, words", [("/inbox", "Nothing waits for you"), ("/engine", "Nothing is running"), ("/help/keys", "Go to the inbox"),
                                         ("/?new=1", "New session")])
def test_empty_pages_say_that_they_are_empty(client, path, words):
    assert words in seen(client, path).text


def test_text_that_is_not_json_is_kept_too(client):
    path = client.post("/sessions", data={"project_name": "Reset"}).location
    answer = client.post(path + "/spec", data={"spec_card": '{"name": "Half a ca'})
    assert answer.status_code == 422 and '{"name": "Half a ca' in checked(answer).text


@pytest.mark.parametrize("state", ["draft", "clarifying", "review", "approved", "cancelled"])
def test_every_state_before_a_build_has_its_page(client, db, state):
    made = session(client)
    db.execute("update hitl_sessions set state = ?", (state,))
    seen(client, f"/sessions/{made['id']}")
    seen(client, "/")
    seen(client, "/inbox")


@pytest.mark.parametrize("state", ["building", "completed", "failed", "cancelled"])
@pytest.mark.parametrize("view", ["", "/graph", "/spec", "/notes"])
def test_every_state_of_a_build_has_its_pages(client, db, state, view):
    path = build(client)
    db.execute("update hitl_sessions set state = ?", (state,))
    seen(client, path + view)


@pytest.mark.parametrize("status", ["pending", "blocked", "ready", "needs_input", "in_review", "completed", "failed", "cancelled"])
def test_every_status_of_a_ticket_has_its_pages(client, db, status):
    path = build(client)
    db.execute("update tickets set status = ? where id = 'TKT-002'", (status,))
    for place in ("/tickets/TKT-002", "/tickets/TKT-002/changes", "/tickets/TKT-002/history", path, path + "/graph"):
        seen(client, place)


@pytest.mark.parametrize("card", ["not json", "[]", '{"name": 1}', '{"name": "x", "features": [{"title": "a", "depends_on": ["a"]}]}'])
def test_a_card_that_was_broken_by_hand_breaks_no_page(client, db, card):
    made = session(client)
    for state in ("review", "approved", "cancelled"):
        db.execute("update hitl_sessions set spec_card = ?, state = ?", (card, state))
        seen(client, f"/sessions/{made['id']}")


def test_hostile_text_is_shown_as_text_on_every_page(client, db):
    card = {"name": HOSTILE, "description": HOSTILE, "technical_requirements": [HOSTILE], "checks": [HOSTILE], "features": [
        {"title": HOSTILE, "description": f"{HOSTILE}\n```sh\n{HOSTILE}\n```", "acceptance_criteria": [HOSTILE, {"text": HOSTILE, "check": HOSTILE}]}]}
    path = client.post("/sessions", data={"project_name": HOSTILE, "description": HOSTILE, "spec_card": json.dumps(card)}).location
    assert HOSTILE in seen(client, path).text
    client.post(path + "/approve", data=form(client, path, "/approve"))
    assert HOSTILE in seen(client, path).text
    client.post(path + "/start", data=form(client, path, "/start"))
    run = live_run(db, "TKT-002", f"::phase {HOSTILE}\n{HOSTILE}\n\x1b]8;;javascript:alert(1)\x07{HOSTILE}\n".encode())
    db.execute("update tickets set reason = :x, branch_name = :x, pr_url = :x, agent = :x", {"x": HOSTILE})
    db.execute("update runs set reason = :x, runtime = :x, agent = :x, checks = :checks",
               {"x": HOSTILE, "checks": json.dumps([{"text": HOSTILE, "command": HOSTILE, "passed": False, "output": HOSTILE, "seconds": 1.0}])})
    ticket = db.one("select * from tickets where id = 'TKT-002'")
    requests.open_question(db, ticket, run, HOSTILE, [HOSTILE])
    for place in (path, path + "/graph", path + "/spec", path + "/notes", "/tickets/TKT-002", "/tickets/TKT-002/history", "/tickets/TKT-002/changes", "/",
                  "/inbox", "/engine"):
        page = seen(client, place)
        assert "onerror" in page.text, place
        assert not page.all("img") and all(attrs.get("src", "/static/").startswith("/static/") for attrs in page.all("script"))
    assert HOSTILE in Page(client.get(f"/tickets/TKT-002/log?run={run}").get_data(as_text=True)).text


@pytest.mark.parametrize("url, linked", [("https://github.com/o/r/pull/1", True), ("https://evil.example/o/r/pull/1", False), ("javascript:alert(1)", False),
                                         ("https://github.com@evil.example/", False), ("https://u:p@github.com/x", False), ("//github.com/x", False)])
def test_a_pull_request_is_a_link_only_on_the_configured_host(client, db, url, linked):
    build(client)
    db.execute("update tickets set pr_url = ? where id = 'TKT-002'", (url,))
    page = seen(client, "/tickets/TKT-002")
    assert any(link.get("href") == url for link in page.all("a")) is linked and url in page.text


@pytest.mark.parametrize("path", ["/nothing", "/tickets/TKT-999", "/tickets/TKT-999/changes", "/sessions/none", "/sessions/none/graph",
                                  "/sessions/none/notes.md", "/tickets/TKT-999/log.txt?run=x", "/tickets/TKT-999/log?run=x"])
def test_what_is_not_there_is_a_page_that_says_so(client, path):
    page = seen(client, path, 404)
    assert "What happened" in page.text and "What to do" in page.text


def test_a_method_that_is_not_possible_is_a_page_too(client):
    assert "What to do" in checked(client.get("/theme")).text


def test_notes_can_be_downloaded(client):
    answer = client.get(build(client) + "/notes.md")
    assert answer.mimetype == "text/markdown" and "attachment" in answer.headers["Content-Disposition"] and b"TKT-002" in answer.data


def test_every_shortcut_of_the_table_is_on_its_page(client):
    with client.get("/static/shared/keys.json") as answer:
        table = json.loads(answer.data)
    page = seen(client, "/help/keys")
    assert all(entry["label"] in page.text for entry in table)


def test_a_board_of_many_tickets_is_one_page(client):
    card = {"name": "Many", "features": [{"title": f"F{n}", "depends_on": [f"F{n - 1}"] if n > 1 else []} for n in range(1, 301)]}
    path = build(client, card)
    page = seen(client, path)
    assert "TKT-301" in page.text and "Show 240 more" in page.text
    assert len([attrs for attrs in seen(client, path + "/graph").all("path") if attrs.get("class") == "edge"]) == 299


def test_a_page_fetches_itself_anew_but_not_while_it_shows_an_error(client, db):
    path = build(client)
    region = next(attrs for attrs in seen(client, path + "/graph").all("div") if attrs.get("id") == "live")
    assert (region["hx-get"], region["hx-select"]) == (path + "/graph", "#live") and "journal from:body" in region["hx-trigger"]
    refused = checked(client.post("/tickets/TKT-002/request-changes", data={"text": "what I typed"}))
    assert "hx-get" not in next(attrs for attrs in refused.all("div") if attrs.get("id") == "live")


def test_every_place_counts_the_features_and_a_cancelled_one_is_not_done(client, db):
    path = build(client, {"name": "Count", "features": [{"title": f"F{n}"} for n in range(1, 5)]})
    db.execute("update tickets set base_sha = 'b', status = 'running' where type = 'epic'")
    db.execute("update tickets set status = 'completed', merged_sha = 'm' where id = 'TKT-002'")
    db.execute("update tickets set status = 'completed' where id = 'TKT-003'")
    db.execute("update tickets set status = 'cancelled' where id = 'TKT-004'")
    page = seen(client, path)
    columns = dict(re.findall(r'<h2 id="column-(\w+)">.*?</h2><span class="muted">(\d+)</span>', client.get(path).text))
    assert columns == {"queued": "1", "running": "0", "needs_you": "0", "in_review": "0", "done": "2", "cancelled": "1"}
    assert "2 of 4 features done" in page.text and "1 cancelled" in page.text and page.title == "Count: building, 2 of 4 done · HITL Swarm"
    cards = re.sub(r"<[^>]+>", " ", client.get(path).text)
    assert re.search(r"F1\s+Merged", cards) and re.search(r"F2\s+Done", cards) and re.search(r"F3\s+Cancelled", cards)
    assert "2 of 4" in seen(client, "/").text and 'aria-label="2 of 4 features done, 1 cancelled, 1 queued"' in client.get("/").text
    assert "- Progress: 2 of 4 features done, 1 cancelled, 1 queued" in client.get(f"{path}/notes.md").text
    whole, board = (client.get(f"/api/hitl/{path.split('/')[-1]}{part}").json for part in ("", "/board"))
    assert whole["tickets"] == {"total": 4, "by_status": {"blocked": 1, "cancelled": 1, "completed": 2}} and (board["total"], board["done"]) == (4, 2)
    assert client.get("/api/hitl").json["sessions"][0]["tickets"] == whole["tickets"]
    db.execute("update tickets set status = 'completed' where id = 'TKT-004'")
    assert 'id="column-cancelled"' not in client.get(path).text


def test_the_inbox_counts_in_its_title(client):
    assert seen(client, "/inbox").title == "Inbox · HITL Swarm"
    client.post("/api/hitl", json={"project_name": "Waits"})
    assert seen(client, "/inbox").title == "(1) Inbox · HITL Swarm"
