"""From an idea to a card on the session's page, by forms alone: what is asked, answered, skipped, revised, said and drafted."""
from dataclasses import replace

import pytest
from model_server import fails, model_server
from paging import checked, seen

from app import create_app

IDEA = "Customers forget their passwords. They want to reset them."
DOCUMENT = """# Password reset

It is for customers, written in Python. Out of scope: logins. No personal data is kept.

1. Issue tokens
   - A token works once (check: `pytest -q tests/test_token.py`)
2. Send the mail (depends on 1)
   - The mail is plain text
"""
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def path(client):
    """A session that has its first question."""
    return client.post("/sessions", data={"kind": "words", "description": IDEA}).location


def answer(client, path, db, **data):
    number = db.value("select number from questions where state = 'open'")
    return client.post(f"{path}/questions/{number}/answer", data=data)


def test_a_session_begins_with_the_idea_and_takes_its_name_from_it(client, db, path):
    page = seen(client, path)
    assert db.value("select project_name from hitl_sessions") == "Customers forget their passwords"
    assert IDEA in page.text and "Question 1 of at most 5" in page.text and "Questions" in page.text
    assert db.value("select state from hitl_sessions") == "clarifying"


def test_a_document_becomes_features_and_only_what_it_lacks_is_asked(client, db):
    path = client.post("/sessions", data={"kind": "markdown", "markdown": DOCUMENT, "description": "not this"}).location
    assert db.value("select project_name from hitl_sessions") == "Password reset"
    page = seen(client, path)
    assert "Issue tokens" in page.text and "pytest -q tests/test_token.py" in page.text and "After 1 Issue tokens" in page.text
    assert [row[0] for row in db.all("select topic from questions")] == ["repository"]


def test_a_card_goes_straight_to_the_review(client, db):
    client.post("/sessions", data={"kind": "card", "spec_card": '{"name": "Mine", "features": [{"title": "F"}]}'})
    assert db.one("select project_name, state from hitl_sessions")[:] == ("Mine", "review")


@pytest.mark.parametrize("data, kept", [({"kind": "words"}, "What do you want to build?"), ({"kind": "card", "spec_card": "{half"}, "{half"),
                                        ({"kind": "markdown", "markdown": "a\u200bb"}, "a\u200bb")])
def test_what_cannot_begin_a_session_makes_none_and_is_kept(client, db, data, kept):
    answered = client.post("/sessions", data=data)
    assert answered.status_code in (400, 422) and kept in checked(answered).text
    assert db.value("select count(*) from hitl_sessions") == 0
    assert next(field for field in checked(answered).all("input") if field.get("id") == f"kind-{data['kind']}").get("checked", "no") is None


def test_the_recommended_answer_comes_first_and_each_has_its_key(client, path):
    page = seen(client, path)
    choices = [button for button in page.all("button") if button.get("name") == "choice"]
    assert [button["value"] for button in choices] == [button["data-answer"] for button in choices] == [str(n + 1) for n in range(len(choices))]
    html = client.get(path).get_data(as_text=True)
    assert html.index("Recommended") < html.index('data-answer="2"') and html.count("Recommended") == 1
    assert {"skip", "words"} <= {attrs.get("id") for _, attrs in page.elements}


def test_an_answer_is_written_into_the_card_and_shown_with_what_it_changed(client, db, path):
    assert answer(client, path, db, text="Ask for a link\nSet a new password").location == f"{path}#ask"
    assert answer(client, path, db, text="It is quick.\r\nIt is plain.").status_code == 303
    page = seen(client, path)
    assert "Question 3 of at most 5" in page.text and "Since v2" in page.text and "criteria added" in page.text
    assert "It is plain." in db.value("select spec_card from hitl_sessions")


def test_what_is_skipped_is_an_assumption_that_is_revised_by_one_press(client, db, path):
    answer(client, path, db, skip="all")
    page = seen(client, path)
    assert db.value("select state from hitl_sessions") == "review" and "Assumed" in page.text
    assumed = db.all("select number, topic, options from questions where state = 'assumed'")
    forms = [attrs["action"] for attrs in page.all("form") if "/questions/" in attrs["action"]]
    assert {f"{path}/questions/{row['number']}/answer" for row in assumed} == set(forms)
    scope = next(row["number"] for row in assumed if row["topic"] == "scope")
    assert client.post(f"{path}/questions/{scope}/answer", data={"choice": "2"}).status_code == 303
    assert "Out of scope: Accounts" in db.value("select spec_card from hitl_sessions")
    assert db.value("select state from questions where number = ?", (scope,)) == "answered"


def test_an_answer_that_cannot_be_read_is_kept_under_its_reason(client, db, path):
    answered = answer(client, path, db, text="a\u202eb")
    page = checked(answered)
    assert answered.status_code == 400 and "U+202E" in page.text and "a\u202eb" in page.text
    field = next(attrs for attrs in page.all("textarea") if attrs.get("id") == "words")
    assert field["aria-invalid"] == "true" and field["aria-describedby"] == "words-problem"


def test_a_question_that_was_answered_already_says_so(client, db, path):
    answer(client, path, db, choice="1")
    late = client.post(f"{path}/questions/1/answer", data={"choice": "2"})
    assert late.status_code == 409 and "Question 1 was answered at" in checked(late).text


@pytest.mark.parametrize("data", [{}, {"choice": "9"}, {"choice": "x"}])
def test_no_answer_is_no_answer(client, db, path, data):
    assert answer(client, path, db, **data).status_code == 400
    assert db.value("select number from questions where state = 'open'") == 1


def test_more_can_be_said_and_is_added_to_the_card(client, db, path):
    assert client.post(path + "/messages", data={"text": "1. Say hello\n2. Say goodbye"}).location == f"{path}#ask"
    assert "Say goodbye" in seen(client, path).text
    refused = client.post(path + "/messages", data={"text": "kept\u200b"})
    assert refused.status_code == 400 and "kept\u200b" in checked(refused).text and "U+200B" in checked(refused).text


def test_a_draft_without_an_idea_asks_for_one_and_one_with_an_idea_is_begun_by_a_press(client, db):
    bare = client.post("/sessions", data={"project_name": "Bare"}).location
    assert "What do you want to build?" in seen(client, bare).text and "Say what to build first." in seen(client, bare).text
    made = client.post("/api/hitl", json={"project_name": "Idea", "description": IDEA}).json["id"]
    assert "Ask me about it" in seen(client, f"/sessions/{made}").text
    assert client.post(f"/sessions/{made}/messages", data={"begin": "1"}).status_code == 303
    assert "Question 1 of at most 5" in seen(client, f"/sessions/{made}").text


def test_the_template_drafts_where_no_model_is_configured_and_the_page_says_so(client, db, path):
    assert "No model is configured" in seen(client, path).text
    version = db.value("select spec_version from hitl_sessions")
    drafted = client.post(path + "/draft", data={"base_version": str(version)})
    assert drafted.status_code == 303 and "was drafted by the template" in seen(client, path).text
    client.post(path + "/messages", data={"text": "1. More\n2. And more"})
    assert "was drafted by" not in seen(client, path).text, "that was another version"


def test_a_draft_of_a_card_that_somebody_changed_meanwhile_changes_nothing(client, db, path):
    answer(client, path, db, text="Ask for a link\nSet a new password")
    late = client.post(path + "/draft", data={"base_version": "1"})
    assert late.status_code == 409 and "Someone else has changed the card" in checked(late).text


@pytest.fixture
def asking(config):
    """A client of an application whose model refuses the key."""
    with model_server() as server:
        server.steps = [fails(401)]
        app = create_app(replace(config, model_url=server.url, model="small", model_key="k", model_seconds=5.0), testing=True)
        yield app.test_client()
        app.extensions["swarm"].db.close()


def test_the_reason_is_shown_when_the_model_did_not_draft(asking):
    path = asking.post("/sessions", data={"description": IDEA}).location
    assert "by the model small" in seen(asking, path).text
    asking.post(path + "/draft", data={"drafter": "model"})
    text = seen(asking, path).text
    assert "drafted by the template" in text and "The model did not draft it" in text and "refused the key" in text


@pytest.mark.parametrize("cookie", ["x", "AAAA", "MSBldmlsIHg=", "é"])
def test_a_cookie_of_somebody_else_tells_nothing(client, path, cookie):
    client.set_cookie("drafted", cookie, path=path)
    assert "was drafted by" not in seen(client, path).text


def test_hostile_text_is_text_in_the_whole_conversation(client, db):
    path = client.post("/sessions", data={"project_name": HOSTILE, "description": f"Greet {HOSTILE}."}).location
    answer(client, path, db, text=HOSTILE)
    answer(client, path, db, skip="all")
    client.post(path + "/messages", data={"text": f"1. {HOSTILE} one\n2. {HOSTILE} two"})
    for place in (path, path + "/versions", path + "/versions?from=0&to=1", path + "/json", path + "/notes", path + "?edit=0", path + "?split=0",
                  path + "?add=1", "/"):
        page = seen(client, place)
        assert "onerror" in page.text or place.endswith("/json"), place
        assert not page.all("img"), place


def test_a_page_that_is_out_of_date_is_told_so_and_a_fresh_one_is_not(client, db, path):
    seen_by = next(attrs["hx-get"] for attrs in seen(client, path).all("div") if attrs.get("id") == "newer")
    assert client.get(seen_by).get_data(as_text=True) == ""
    answer(client, path, db, choice="1")
    assert "out of date" in client.get(seen_by).get_data(as_text=True)
