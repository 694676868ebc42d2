"""Every page over a real database: what a person sees, and that the whole job can be done with forms alone."""
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from serving import CARD, application, session

from engine import claims, requests
from engine.config import Config

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"' javascript:alert(3)"
VOID = {"meta", "link", "input", "img", "br", "hr", "col", "rect", "path", "use", "circle"}


class Page(HTMLParser):
    """What the tests ask of a page: its elements, and whether they are closed in order."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.text, self.title = [], [], "", ""
        self.feed(html)
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.text += " "
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]} at {self.getpos()}"
        self.open.pop()

    def handle_data(self, data):
        if "title" in self.open[-1:] and "svg" not in self.open:
            self.title += data
        elif "script" not in self.open:
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture
def app(tmp_path):
    app = application(Config(data=tmp_path / "data", runtime="fake"))
    yield app
    app.extensions["swarm"].db.close()


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def db(app):
    return app.extensions["swarm"].db


def seen(client, path, status=200):
    """The page, after the checks that hold for every page."""
    answer = client.get(path)
    assert answer.status_code == status, answer.get_data(as_text=True)[:2000]
    return checked(answer)


def checked(answer):
    html = answer.get_data(as_text=True)
    page = Page(html)
    assert html.startswith("<!doctype html>") and page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1 and len(page.all("main")) == 1 and len(page.all("header")) == 1 and len(page.all("footer")) == 1 and page.all("nav")
    assert page.title.endswith(" · HITL Swarm") and len(page.title) > len(" · HITL Swarm")
    assert page.all("a")[0] == {"class": "skip-link", "href": "#main"}
    assert all(set(script) == {"src", "defer"} and script["src"].startswith("/static/") for script in page.all("script")), "inline script"
    assert not page.all("style") and not [attrs for _, attrs in page.elements if "style" in attrs], "inline style"
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")], "inline handler"
    assert not [attrs for _, attrs in page.elements if any(str(attrs.get(name)).startswith("javascript:") for name in ("href", "src", "action"))]
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids)), f"twice: {sorted({name for name in ids if ids.count(name) > 1})}"
    named = {value for _, attrs in page.elements for name in ("aria-labelledby", "aria-describedby") for value in (attrs.get(name) or "").split()}
    assert named <= set(ids), f"named but not there: {named - set(ids)}"
    labelled = {label["for"] for label in page.all("label") if "for" in label}
    for field in page.all("textarea"):
        assert field["id"] in labelled
    headings = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert all(later <= earlier + 1 for earlier, later in pairwise(headings)), headings
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    return page


def build(client, card=CARD):
    """A session whose build has begun, by forms alone. -> its path"""
    path = client.post("/sessions", data={"project_name": card["name"], "description": "An idea", "spec_card": json.dumps(card)}).location
    client.post(path + "/approve", data=form(client, path, "/approve"))
    assert client.post(path + "/start", data=form(client, path, "/start")).status_code == 303
    return path


def form(client, path, ending):
    """The hidden fields of the form on this page that posts there: what a browser would send."""
    html = client.get(path).get_data(as_text=True)
    body = re.search(rf'<form[^>]*action="[^"]*{ending}".*?</form>', html, re.S)
    assert body, f"no form for {ending}"
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', body[0]))


def live_run(db, ticket_id, log=b""):
    """A run of this ticket, as an engine would have begun it. -> its id"""
    db.execute("update tickets set status = 'ready' where id = ?", (ticket_id,))
    run = next(each for each in claims.claim(db, "engine", 100, "2100-01-01T00:00:00.000Z") if each["ticket_id"] == ticket_id)
    folder = db.path.parent / "runs" / run["id"]
    folder.mkdir(parents=True)
    (folder / "log").write_bytes(log)
    return run["id"]


def test_a_first_visit_explains_the_three_steps_and_offers_the_sample(client):
    page = seen(client, "/")
    assert "How it works" in page.text and "No sessions yet" in page.text and "This installation" in page.text
    assert {"action": "/sample", "method": "post", "class": "panel-foot"} in page.all("form")


@pytest.mark.parametrize("path, words", [("/inbox", "Nothing waits for you"), ("/engine", "No run is live"), ("/help/keys", "Go to the inbox"),
                                         ("/?new=1", "New session")])
def test_empty_pages_say_that_they_are_empty(client, path, words):
    assert words in seen(client, path).text


def test_the_sample_stops_at_the_review_and_needs_two_more_presses(client, db):
    path = client.post("/sample").location
    assert db.value("select state from hitl_sessions") == "review"
    assert "nothing runs yet" in seen(client, path).text
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
    assert "Write the card" in page.text
    assert "disabled" in approve_button(page)
    card = json.loads(re.search(r"<textarea[^>]*>(.*?)</textarea>", client.get(path).get_data(as_text=True), re.S)[1].replace("&#34;", '"'))
    assert client.post(path + "/spec", data={"spec_card": json.dumps(card)}).status_code == 303
    assert db.value("select state from hitl_sessions") == "review"
    assert "disabled" not in approve_button(seen(client, path))


def approve_button(page):
    return next(button for button in page.all("button") if button.get("aria-describedby") == "approve-why")


def test_a_card_that_is_not_valid_is_kept_with_its_problems_under_it(client, db):
    path = client.post("/sessions", data={"project_name": "Reset"}).location
    typed = '{"name": "<Mine>", "features": [{"title": "F1", "depends_on": ["F9"]}]}'
    answer = client.post(path + "/spec", data={"spec_card": typed})
    page = checked(answer)
    assert answer.status_code == 422 and "<Mine>" in page.text and "features[0].depends_on" in page.text and "No feature is called" in page.text
    assert db.value("select count(*) from spec_versions") == 0


def test_text_that_is_not_json_is_kept_too(client):
    path = client.post("/sessions", data={"project_name": "Reset"}).location
    answer = client.post(path + "/spec", data={"spec_card": '{"name": "Half a ca'})
    assert answer.status_code == 422 and '{"name": "Half a ca' in checked(answer).text


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
    assert "Every attempt failed." in page.text and "Build TKT-003 all the same" in re.sub(r"\s+", " ", page.text)
    assert client.post("/tickets/TKT-002/retry").location == "/tickets/TKT-002"
    assert db.value("select status from tickets where id = 'TKT-002'") != "failed"
    client.post("/tickets/TKT-002/cancel", data={"go_on_without": "true"})
    assert dict(db.execute("select id, status from tickets where id > 'TKT-001'").fetchall())["TKT-002"] == "cancelled"
    assert db.value("select status from tickets where id = 'TKT-003'") != "cancelled"


def test_a_log_is_folded_into_steps_with_numbered_lines(client, db):
    build(client)
    live_run(db, "TKT-002", b"::phase clone\n::phase agent runbook\n\x1b[31mred\x1b[0m\nunfinished")
    page = seen(client, "/tickets/TKT-002")
    assert "Check out the branch" in page.text and "Agent: runbook" in page.text
    assert {"class": "ansi-red"} in page.all("span") and {"id": "L3"} in page.all("li")
    assert "unfinished" not in page.text


def test_a_log_that_is_asked_for_piece_by_piece_is_the_whole_log_once(client, db, app):
    build(client)
    run = live_run(db, "TKT-002", b"::phase clone\none\n")
    log = app.extensions["swarm"].config.data / "runs" / run / "log"
    after, line, shown = "0", "1", []
    for piece in (b"tw", b"o\n", "gr\u00fc\u00df".encode()[:-1], "\u00df".encode()[1:] + b"e\n\xff\xfe\n", b"::phase agent x\nlast\n", b""):
        log.write_bytes(log.read_bytes() + piece)
        html = client.get(f"/tickets/TKT-002/log?run={run}&after={after}&line={line}").get_data(as_text=True)
        after, line = re.search(r'data-next="(\d+)" data-line="(\d+)"', html).groups()
        shown += re.findall(r'<li id="L(\d+)">.*?<span class="log-text">(.*?)</span></li>', html)
    assert shown == [("2", "one"), ("3", "two"), ("4", "grüße"), ("5", "\ufffd\ufffd"), ("7", "last")]


def test_a_long_log_begins_near_its_end_with_the_right_numbers(client, db):
    build(client)
    live_run(db, "TKT-002", b"".join(b"line %d of many\n" % n for n in range(1, 30_001)))
    page = seen(client, "/tickets/TKT-002")
    numbers = [int(attrs["id"][1:]) for attrs in page.all("li") if re.fullmatch(r"L\d+", attrs.get("id", ""))]
    assert numbers[-1] == 30_000 and 5_000 < len(numbers) < 15_000 and numbers == list(range(numbers[0], 30_001))
    assert f"line {numbers[0]} of many" in page.text and f"line {numbers[0] - 1} of many" not in page.text and "are not shown here" in page.text


def test_criteria_stand_with_their_evidence_and_say_where_there_is_none(client, db):
    build(client, {**CARD, "features": [{"title": "F1", "acceptance_criteria": [
        "judged", {"text": "checked", "check": "make x"}, {"text": "later", "check": "y"}]}]})
    live_run(db, "TKT-002")
    check = {"text": "checked", "command": "make x", "passed": False, "output": "it broke", "seconds": 0.5}
    db.execute("update runs set checks = ?", (json.dumps([check]),))
    text = re.sub(r"\s+", " ", seen(client, "/tickets/TKT-002").text)
    assert "judged not checked by a command" in text and "checked failed" in text and "it broke" in text and "later not checked yet" in text


@pytest.mark.parametrize("url, linked", [("https://github.com/o/r/pull/1", True), ("https://evil.example/o/r/pull/1", False), ("javascript:alert(1)", False),
                                         ("https://github.com@evil.example/", False), ("https://u:p@github.com/x", False), ("//github.com/x", False)])
def test_a_pull_request_is_a_link_only_on_the_configured_host(client, db, url, linked):
    build(client)
    db.execute("update tickets set pr_url = ? where id = 'TKT-002'", (url,))
    page = seen(client, "/tickets/TKT-002")
    assert any(link.get("href") == url for link in page.all("a")) is linked and url in page.text


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


@pytest.mark.parametrize("path", ["/nothing", "/tickets/TKT-999", "/tickets/TKT-999/changes", "/sessions/none", "/sessions/none/graph",
                                  "/sessions/none/notes.md", "/tickets/TKT-999/log.txt?run=x", "/tickets/TKT-999/log?run=x"])
def test_what_is_not_there_is_a_page_that_says_so(client, path):
    page = seen(client, path, 404)
    assert "What happened" in page.text and "What to do" in page.text


def test_a_method_that_is_not_possible_is_a_page_too(client):
    assert "What to do" in checked(client.get("/theme")).text


def test_a_number_that_is_none_is_refused(client, db):
    build(client)
    run = live_run(db, "TKT-002")
    assert client.get(f"/tickets/TKT-002/log?run={run}&after=-1").status_code == 400


def test_a_form_that_meets_a_broken_store_keeps_what_was_typed(client, db):
    build(client)
    requests.open_question(db, db.one("select * from tickets where id = 'TKT-002'"), "r", "?", [])
    db.execute("pragma query_only = on")
    answer = client.post("/requests/1/answer", data={"text": "a long thought that nobody wants to type again"})
    db.execute("pragma query_only = off")
    assert answer.status_code == 503 and "a long thought that nobody wants to type again" in checked(answer).text


def test_notes_can_be_downloaded(client):
    answer = client.get(build(client) + "/notes.md")
    assert answer.mimetype == "text/markdown" and "attachment" in answer.headers["Content-Disposition"] and b"TKT-002" in answer.data


def test_a_raw_log_is_plain_text_that_no_browser_takes_for_more(client, db):
    build(client)
    run = live_run(db, "TKT-002", b"<html><script>")
    with client.get(f"/tickets/TKT-002/log.txt?run={run}") as answer:
        assert answer.data == b"<html><script>" and answer.mimetype == "text/plain" and answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_run_of_another_ticket_is_not_shown(client, db):
    build(client)
    run = live_run(db, "TKT-002")
    for path in (f"/tickets/TKT-003?run={run}", f"/tickets/TKT-003/log?run={run}", f"/tickets/TKT-003/log.txt?run={run}"):
        assert client.get(path).status_code == 404


def test_every_shortcut_of_the_table_is_on_its_page(client):
    with client.get("/static/keys.json") as answer:
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
