"""Review asked for with the session: the default of its card, which may say otherwise for all or for one feature."""
import json

import pytest
from paging import seen
from serving import CARD, session

from hitl import ticket_generator


def begun(client, review, card=CARD):
    made = client.post("/api/hitl", json={"project_name": "Test", "review": review, "spec_card": card})
    assert made.status_code == 201 and made.json["review"] == review, made.json
    client.post(f"/api/hitl/{made.json['id']}/approve", json={"spec_sha256": made.json["spec_sha256"]})
    return made.json["id"]


def reviewed(db, session_id):
    return [bool(row[0]) for row in db.all("select review from tickets where session_id = ? and type = 'feature' order by position", (session_id,))]


FEATURES = [{"title": "A", "acceptance_criteria": [{"text": "run", "check": "true"}]}, {"title": "B", "acceptance_criteria": ["seen"]},
            {"title": "C", "review": False}]


@pytest.mark.parametrize("review, card, expected", [
    (True, {}, [True, True, False]), ("unchecked", {}, [False, True, False]), (False, {}, [False, False, False]),
    (True, {"review": False}, [False, False, False]), (False, {"review": True}, [True, True, False]), (True, {"review": "unchecked"}, [False, True, False])])
def test_every_feature_is_reviewed_unless_the_card_or_the_feature_says_otherwise(client, db, review, card, expected):
    session_id = begun(client, review, {"name": "T", "features": FEATURES, **card})
    assert client.post(f"/api/hitl/{session_id}/start-build", json={"confirmed": True}).status_code == 200
    assert reviewed(db, session_id) == expected


def test_it_holds_for_a_card_that_is_generated_and_for_features_that_are_added_later(client, app, db):
    session_id = begun(client, True)
    with app.app_context():
        ticket_generator.generate_tickets(session_id, CARD, "default")
    assert reviewed(db, session_id) == [True, True]
    proposed = client.post(f"/api/hitl/{session_id}/amend", json={"add": [{"title": "F3"}]}).json
    answer = client.post(f"/api/hitl/{session_id}/amendment/approve", json={"sha256": proposed["amendment"]["sha256"]})
    assert answer.status_code == 200, answer.json
    assert reviewed(db, session_id) == [True, True, True]


@pytest.mark.parametrize("wrong", ["true", 1, 0, "sometimes", [], {}])
def test_another_word_for_it_is_refused_and_nothing_is_created(client, db, wrong):
    answer = client.post("/api/hitl", json={"project_name": "Test", "review": wrong})
    assert answer.status_code == 400 and "unchecked" in answer.json["error"]
    assert db.value("select count(*) from hitl_sessions") == 0


def test_it_is_chosen_on_the_page_and_kept_where_the_form_is_not_accepted(client, db):
    page = seen(client, "/")
    assert [attrs["value"] for attrs in page.all("input") if attrs.get("name") == "review"] == ["", "true", "unchecked"]
    answer = client.post("/sessions", data={"project_name": "X", "repository": "-x", "review": "unchecked"})
    assert answer.status_code == 400 and 'value="unchecked" checked' in answer.get_data(as_text=True)
    client.post("/sessions", data={"kind": "words", "description": "1. Say hello\n2. Say goodbye", "review": "true"})
    row = db.one("select review, spec_card from hitl_sessions")
    assert row["review"] == "true" and "review" not in json.loads(row["spec_card"])


def test_the_cards_editor_shows_it_and_a_form_that_is_sent_as_it_is_changes_nothing(client, db):
    made = client.post("/api/hitl", json={"project_name": "T", "review": True, "spec_card": CARD}).json
    path = f"/sessions/{made['id']}"

    def choices():
        return [(attrs["value"], "checked" in attrs) for attrs in seen(client, path).all("input") if attrs.get("name") == "review"]

    def save(value):
        version = db.value("select spec_version from hitl_sessions")
        assert client.post(path + "/card", data={"what": "review", "base_version": str(version), "review": value}).status_code == 303
        return json.loads(db.value("select spec_card from hitl_sessions")).get("review")

    assert "as you chose for this session" in seen(client, path).text
    assert choices() == [("", True), ("unchecked", False), ("false", False)]
    assert save("") is None and db.value("select spec_version from hitl_sessions") == 1
    assert save("false") is False and choices() == [("true", False), ("unchecked", False), ("false", True)]
    assert "merged without asking you" in seen(client, path).text
    assert save("false") is False and db.value("select spec_version from hitl_sessions") == 2
    assert save("unchecked") == "unchecked"


def test_the_pages_before_the_build_say_it(client):
    session_id = begun(client, "unchecked")
    assert "what no command has checked" in seen(client, f"/sessions/{session_id}").text
    assert "no command has checked" in seen(client, f"/sessions/{session_id}/spec").text
    plain = session(client, approved=True)
    assert "changes that pass their checks are merged" in seen(client, f"/sessions/{plain['id']}").text


def test_where_only_what_has_no_check_is_reviewed_an_edited_ticket_is_looked_at_anew(client, db):
    session_id = begun(client, "unchecked", {"name": "T", "features": FEATURES})
    client.post(f"/api/hitl/{session_id}/start-build", json={"confirmed": True})
    assert client.post("/api/tickets/TKT-002/edit", json={"acceptance_criteria": ["seen by a person"]}).status_code == 200
    assert client.post("/api/tickets/TKT-003/edit", json={"acceptance_criteria": [{"text": "run", "check": "true"}]}).status_code == 200
    assert client.post("/api/tickets/TKT-004/edit", json={"acceptance_criteria": ["seen"]}).status_code == 200
    assert reviewed(db, session_id) == [True, False, False], "the third has a word of its own in the card"
