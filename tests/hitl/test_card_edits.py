"""The card's editor: single edits, import and export, versions and what differs between them, and two people who edit at once."""
import json

import pytest
from serving import CARD, session

from engine.errors import BadRequest
from hitl.card import diff_in_words
from hitl.card.diff import diff
from hitl.card.edits import edit
from hitl.web.strict_json import sha256

THREE = {"name": "T", "features": [{"title": "A"}, {"title": "B", "depends_on": [1]}, {"title": "C", "depends_on": ["B", 1]}]}


def features(*edits, card=THREE):
    return [(each["title"], each.get("depends_on")) for each in edit(card, list(edits))["features"]]


def test_a_property_is_set_added_and_removed():
    card = edit(CARD, [{"op": "set", "path": "description", "value": "D"}, {"op": "set", "path": "features[0].priority", "value": 2},
                       {"op": "add", "path": "features[0].acceptance_criteria", "value": "works"},
                       {"op": "add", "path": "features[0].acceptance_criteria", "value": {"text": "t", "check": "true"}, "at": 0},
                       {"op": "remove", "path": "checks"}])
    assert card == {"name": "Test", "description": "D", "features": [
        {"title": "F1", "description": "Feature 1", "priority": 2, "acceptance_criteria": [{"text": "t", "check": "true"}, "works"]},
        {"title": "F2", "depends_on": ["F1"]}]}
    assert CARD["checks"] == ["true"], "what was given is not changed"


def test_dependencies_follow_a_rename_a_move_and_a_removal():
    assert features({"op": "set", "path": "features[1].title", "value": "B2"}) == [("A", None), ("B2", [1]), ("C", ["B2", 1])]
    assert features({"op": "move", "path": "features[2]", "to": 0}) == [("C", ["B", "A"]), ("A", None), ("B", ["A"])]
    assert features({"op": "remove", "path": "features[0]"}) == [("B", []), ("C", ["B"])]
    assert features({"op": "add", "path": "features", "value": {"title": "N"}, "at": 0}) == [("N", None), ("A", None), ("B", ["A"]), ("C", ["B", "A"])]


def test_a_feature_is_split_with_its_criteria_and_what_depended_on_it_waits_for_both():
    own = {"priority": 5, "agent": "claude", "review": True}
    card = edit({"name": "T", "features": [{"title": "A", "acceptance_criteria": ["1", "2", "3"], **own}, {"title": "B", "depends_on": [1]}]},
                [{"op": "split", "path": "features[0]", "title": "A2", "criteria": [2, 1]}])
    assert card["features"] == [
        {"title": "A", "acceptance_criteria": ["1"], **own},
        {"title": "A2", "description": "", "depends_on": ["A"], "acceptance_criteria": ["2", "3"], **own},
        {"title": "B", "depends_on": ["A", "A2"]}]


@pytest.mark.parametrize("each", [
    5, {}, {"op": "jump"}, {"op": "set"}, {"op": "set", "path": ""}, {"op": "set", "path": "features[9].title", "value": 1},
    {"op": "set", "path": "a..b", "value": 1},
    {"op": "set", "path": "features[0].title"}, {"op": "set", "path": "features[3]", "value": {}}, {"op": "remove", "path": "nothing"},
    {"op": "move", "path": "features[0]", "to": 3}, {"op": "move", "path": "features[0]", "to": True}, {"op": "move", "path": "name", "to": 0},
    {"op": "add", "path": "name", "value": 1}, {"op": "add", "path": "features", "value": {}, "at": 9}, {"op": "split", "path": "features[0]"},
    {"op": "split", "path": "features[0]", "title": "X", "criteria": [0]}, {"op": "split", "path": "name", "title": "X"}, {"op": ["set"]},
    {"op": "set", "path": "name.x", "value": 1}, {"op": "set", "path": ["name"], "value": 1}])
def test_an_edit_that_cannot_be_done_is_named_and_none_is_done(each):
    with pytest.raises(BadRequest) as refused:
        edit(THREE, [{"op": "set", "path": "name", "value": "N"}, each])
    assert refused.value.extra["edit"] == 1 and refused.value.sentence.startswith("Edit 2")


@pytest.mark.parametrize("edits", [None, [], {}, "x", [{"op": "set", "path": "name", "value": "N"}] * 501])
def test_edits_are_a_list_of_some(edits):
    with pytest.raises(BadRequest):
        edit(THREE, edits)


def changes(before, after):
    return [(each["kind"], each["path"]) for each in diff(before, after)]


def test_what_differs_is_told_property_by_property():
    after = {"name": "T2", "checks": ["make"], "features": [{"title": "A", "acceptance_criteria": ["x"]}, {"title": "C", "depends_on": ["A"]}, {"title": "D"}]}
    assert changes(THREE, after) == [
        ("changed", "name"), ("added", "checks[0]"), ("added", "features[0].acceptance_criteria[0]"),
        ("changed", "features[1].depends_on"), ("added", "features[2]"), ("removed", "features[1]")]
    assert diff(THREE, after)[0] == {"path": "name", "kind": "changed", "before": "T", "after": "T2"}
    assert changes(THREE, THREE) == [] and changes(None, {"name": "T"}) == [("added", "name")] and changes({"name": 1}, "broken") == [("removed", "name")]


def test_a_rename_and_a_move_are_told_as_such():
    renamed = {"name": "T", "features": [{"title": "A"}, {"title": "B2", "depends_on": [1]}, {"title": "C", "depends_on": ["B2", 1]}]}
    assert changes(THREE, renamed) == [("changed", "features[1].title"), ("changed", "features[2].depends_on")]
    moved = {"name": "T", "features": [THREE["features"][2], *THREE["features"][:2]]}
    assert diff(THREE, moved) == [{"path": "features[0]", "kind": "moved", "before": 3, "after": 1}]


@pytest.fixture
def base(client):
    return f"/api/hitl/{session(client)['id']}"


def test_edits_over_http_make_one_version_and_say_what_changed(client, base):
    answer = client.patch(f"{base}/spec-card", json={"edits": [{"op": "set", "path": "features[0].title", "value": "Hello"}], "base_version": 1})
    assert answer.status_code == 200 and answer.json["version"] == 2 and answer.headers["ETag"] == f'"{answer.json["sha256"]}"'
    assert [each["path"] for each in answer.json["changes"]] == ["features[0].title", "features[1].depends_on"]
    bad = client.patch(f"{base}/spec-card", json={"edits": [{"op": "set", "path": "features[0].title", "value": "F2"}]})
    assert (bad.status_code, bad.json["details"][0]["path"]) == (422, "features[1].title")
    hidden = client.patch(f"{base}/spec-card", json={"edits": [{"op": "set", "path": "name", "value": "a\u200bb"}]})
    assert "U+200B, at position 2" in hidden.json["error"] and client.get(f"{base}/spec-card").json["version"] == 2


@pytest.mark.parametrize("how", ["base_version", "If-Match"])
@pytest.mark.parametrize("what", ["put", "patch", "import", "draft"])
def test_the_second_of_two_who_edit_is_shown_both_versions_and_overwrites_nothing(client, base, how, what):
    seen = client.get(f"{base}/spec-card")
    mine, theirs = {**CARD, "name": "Mine"}, {**CARD, "name": "Theirs"}
    assert client.put(f"{base}/spec-card", json={"spec_card": theirs, "base_version": 1}).status_code == 200
    said = {"base_version": 1} if how == "base_version" else {}
    headers = {"If-Match": seen.headers["ETag"]} if how == "If-Match" else {}
    answer = {"put": lambda: client.put(f"{base}/spec-card", json={"spec_card": mine, **said}, headers=headers),
              "patch": lambda: client.patch(f"{base}/spec-card", json={"edits": [{"op": "set", "path": "name", "value": "Mine"}], **said}, headers=headers),
              "import": lambda: client.post(f"{base}/spec-card/import", json={"spec_card": mine, **said}, headers=headers),
              "draft": lambda: client.post(f"{base}/draft", json=said, headers=headers)}[what]()
    assert (answer.status_code, answer.json["code"]) == (409, "card_changed")
    assert answer.json["current"] == {"version": 2, "sha256": sha256(theirs), "spec_card": theirs}
    assert answer.json["base"] == {"version": 1, "sha256": sha256(CARD), "spec_card": CARD}
    assert answer.json["yours"] == (mine if what in ("put", "import") else None)
    assert answer.json["changes"] == [{"path": "name", "kind": "changed", "before": "Test", "after": "Theirs"}]
    assert client.get(f"{base}/spec-card").json["spec_card"] == theirs


def test_a_card_that_was_changed_by_hand_is_another_one_than_its_version(client, db, base):
    db.execute("update hitl_sessions set spec_card = ?", (json.dumps({**CARD, "name": "Hand"}),))
    answer = client.put(f"{base}/spec-card", json={"spec_card": CARD, "base_version": 1})
    assert answer.status_code == 409 and answer.json["current"]["spec_card"]["name"] == "Hand"


@pytest.mark.parametrize(("body", "headers"), [({"base_version": "1"}, {}), ({"base_version": True}, {}), ({"base_version": -1}, {}),
                                               ({}, {"If-Match": "1"}), ({}, {"If-Match": '"abc"'})])
def test_what_names_no_version_is_refused(client, base, body, headers):
    assert client.put(f"{base}/spec-card", json={"spec_card": CARD, **body}, headers=headers).status_code == 400


def test_versions_are_listed_read_and_compared(client, base):
    client.put(f"{base}/spec-card", json={**CARD, "name": "Second"})
    client.put(f"{base}/spec-card", json=CARD)
    client.post(f"{base}/approve", json={"spec_sha256": sha256(CARD)})
    listed = client.get(f"{base}/spec-card/versions").json["versions"]
    assert [(each["version"], each["source"], each["features"], each["approved"]) for each in listed] == [
        (3, "api", 2, True), (2, "api", 2, False), (1, "api", 2, True)]
    assert client.get(f"{base}/spec-card/versions/2").json["spec_card"]["name"] == "Second"
    assert client.get(f"{base}/spec-card/versions/4").status_code == 404
    change = {"path": "name", "kind": "changed", "before": "Second", "after": "Test"}
    assert client.get(f"{base}/spec-card/diff").json == {"from": 2, "to": 3, "changes": [change]}
    assert client.get(f"{base}/spec-card/diff?from=1&to=3").json["changes"] == []
    assert {each["kind"] for each in client.get(f"{base}/spec-card/diff?from=0&to=1").json["changes"]} == {"added"}
    assert client.get(f"{base}/spec-card/diff?from=9").status_code == 404


def test_a_card_is_exported_as_it_is_and_imported_from_json_and_markdown(client, base):
    answer = client.get(f"{base}/spec-card/export")
    assert json.loads(answer.text) == CARD and "attachment" in answer.headers["Content-Disposition"]
    imported = client.post(f"{base}/spec-card/import", json={"markdown": "# Plan\r\n\r\n1. One\r\n2. Two (depends on 1)\r\n", "base_version": 1})
    assert imported.status_code == 200 and imported.json["version"] == 2
    assert client.get(f"{base}/spec-card").json["spec_card"]["features"] == [{"title": "One"}, {"title": "Two", "depends_on": ["One"]}]
    for body in ({}, {"markdown": "x", "spec_card": CARD}, {"markdown": 5}, {"markdown": "a\u202eb"}):
        assert client.post(f"{base}/spec-card/import", json=body).status_code == 400


def test_there_is_no_card_before_there_is_one(client):
    base = f"/api/hitl/{client.post('/api/hitl', json={'project_name': 'Idea'}).json['id']}"
    for path in ("", "/export"):
        assert client.get(f"{base}/spec-card{path}").status_code == 404
    assert client.patch(f"{base}/spec-card", json={"edits": [{"op": "set", "path": "name", "value": "x"}]}).status_code == 422
    assert client.put(f"{base}/spec-card", json={"spec_card": CARD, "base_version": 0}).json["version"] == 1
    assert client.put(f"{base}/spec-card", json={"spec_card": CARD, "base_version": 0}).status_code == 409


def test_the_interview_over_http(client):
    base = f"/api/hitl/{client.post('/api/hitl', json={'project_name': 'Idea', 'description': 'Greet.'}).json['id']}"
    first = client.post(f"{base}/messages").json
    assert (first["state"], first["open"]) == ("clarifying", 1) and client.get(f"{base}/questions").json["questions"] == first["questions"]
    second = client.post(f"{base}/questions/1/answer", json={"choice": 1}).json
    assert (second["open"], second["questions"][0]["answer"]) == (2, first["questions"][0]["recommended"])
    assert client.post(f"{base}/questions/1/answer", json={"text": "x"}).status_code == 409
    assert client.post(f"{base}/questions/9/answer", json={"text": "x"}).status_code == 404
    assert client.post(f"{base}/questions/2/answer", json={"skip": "yes"}).status_code == 400
    done = client.post(f"{base}/questions/2/answer", json={"skip": True, "rest": True}).json
    assert (done["state"], done["open"]) == ("review", None) and client.get(f"{base}/messages").json == done
    draft = client.post(f"{base}/draft", json={"drafter": "template", "base_version": done["version"]}).json
    assert draft["drafter"] == "template" and draft["changes"] == [] and draft["version"] == done["version"], "the same words make the same card"


def test_an_amendment_over_http(client, db):
    made = session(client, approved=True)
    base = f"/api/hitl/{made['id']}"
    assert client.post(f"{base}/amend", json={"add": [{"title": "F3"}]}).json["currentState"] == "approved"
    client.post(f"{base}/start-build", json={"confirmed": True})
    found = client.post(f"{base}/amend", json={"add": [{"title": "F3"}], "drop": ["TKT-003"]}).json
    assert [(each["kind"], each["path"]) for each in found["amendment"]["changes"]] == [("added", "features[1]"), ("removed", "features[1]")]
    assert client.get(f"{base}/amendment").json == found
    assert client.post(f"{base}/amendment/approve", json={}).status_code == 400
    assert client.post(f"{base}/amendment/approve", json={"sha256": "0" * 64}).status_code == 409
    done = client.post(f"{base}/amendment/approve", json={"sha256": found["amendment"]["sha256"]}).json
    assert done["amendment"] is None and done["history"][0]["version"] == 2
    assert {each["id"]: each["status"] for each in client.get(f"{base}/tickets").json["tickets"]} == {
        "TKT-001": "ready", "TKT-002": "blocked", "TKT-003": "cancelled", "TKT-004": "blocked"}
    assert client.post(f"{base}/amendment/discard").status_code == 404


def test_an_added_feature_is_shown_with_all_that_it_says():
    added = {"title": "D", "acceptance_criteria": ["works"], "depends_on": ["A"], "priority": 2, "agent": "", "review": "unchecked", "note": "kept"}
    shown, _ = diff_in_words.shown(diff(THREE, {**THREE, "features": [*THREE["features"], added]}))
    assert [line.text for line in shown[0].lines] == ["D", "– works", "After: A", "Priority: 2", "Review: unchecked", "Note: kept"]
