"""The card's editor in the browser, by forms alone: every property, features, versions, JSON, import, and two people at one card."""
import io
import json
from html import unescape

import pytest
from paging import checked, seen
from serving import session
from werkzeug.datastructures import MultiDict

from hitl.card.form import edits_of

CARD = {"name": "Shop", "description": "Sells.", "features": [
    {"title": "A", "acceptance_criteria": ["one", {"text": "two", "check": "true", "note": "kept"}], "priority": 2},
    {"title": "B", "depends_on": [1]}, {"title": "C", "depends_on": ["B", "A"]}], "checks": ["true", "echo a\necho b"]}
LONG = "A title that is " + "very " * 50 + "long"


@pytest.fixture
def path(client):
    return f"/sessions/{session(client, CARD)['id']}"


@pytest.fixture
def stored(db):
    return lambda: json.loads(db.value("select spec_card from hitl_sessions order by seq desc limit 1"))


def save(client, path, what, version=1, **fields):
    return client.post(path + "/card", data={"what": what, "base_version": str(version), **fields})


@pytest.mark.parametrize("what, fields, expected", [
    ("name", {"name": "New"}, {"name": "New"}), ("description", {"description": "More\r\nlines"}, {"description": "More\nlines"}),
    ("requirements", {"entry": ["r1", "", "r2"]}, {"technical_requirements": ["r1", "r2"]}),
    ("checks", {"entry": ["true", "echo a\r\necho b", "make"]}, {"checks": ["true", "echo a\necho b", "make"]}), ("checks", {"entry": ""}, {"checks": None}),
    ("repository", {"repository": "o/r", "base_branch": "main"}, {"repository": "o/r", "base_branch": "main"}),
    ("review", {"review": "true"}, {"review": True}), ("budget", {"tokens": "2,000,000", "money": ""}, {"budget": {"tokens": 2_000_000}})])
def test_each_property_has_a_form(client, path, stored, what, fields, expected):
    assert save(client, path, what, **fields).location == f"{path}#row-{what}"
    assert {name: stored().get(name) for name in expected} == expected
    assert {attrs["action"] for attrs in seen(client, path).all("form")} >= {f"{path}/card", f"{path}/restore"}


def test_how_many_runs_go_at_the_same_time_is_set_shown_and_taken_away(client, path, stored):
    for given, said in (("two", "Runs at the same time must be a whole number."), ("0", "Must be 1 or more."), ("513", "Must be 512 or less.")):
        answer = save(client, path, "max_parallel", max_parallel=given)
        html = unescape(answer.get_data(as_text=True))
        assert answer.status_code in (400, 422) and said in html and f'value="{given}"' in html
    assert "as many runs as the installation has slots" in client.get(path).get_data(as_text=True)
    assert save(client, path, "max_parallel", max_parallel="2").status_code == 303
    assert stored()["max_parallel"] == 2 and "at most 2 runs" in client.get(path).get_data(as_text=True)
    assert save(client, path, "max_parallel", version=2, max_parallel="").status_code == 303
    assert "max_parallel" not in stored()
    approved = f"/sessions/{session(client, {**CARD, 'max_parallel': 1}, approved=True)['id']}/spec"
    assert "at most 1 run<" in client.get(approved).get_data(as_text=True)


def test_a_budget_is_kept_as_it_was_typed_until_it_is_an_amount_and_an_empty_one_goes(client, path, stored):
    for fields, said in (({"tokens": "many"}, "Tokens must be a whole number."), ({"tokens": "0"}, "Must be 1 or more."),
                         ({"tokens": "5", "money": "2.5"}, "This installation has no price table"), ({"money": "1e3"}, "Money must be a number like 2.50.")):
        answer = save(client, path, "budget", **fields)
        html = unescape(answer.get_data(as_text=True))
        assert answer.status_code in (400, 422) and said in html and all(f'value="{value}"' in html for value in fields.values())
    assert save(client, path, "budget", tokens="5000").status_code == 303
    assert "5,000 tokens" in client.get(path).get_data(as_text=True)
    assert save(client, path, "budget", version=2, tokens="", money="").status_code == 303
    assert "budget" not in stored() and "the limit of this installation" in client.get(path).get_data(as_text=True)


def test_the_budget_is_shown_with_the_approved_card_and_before_the_start(client):
    path = f"/sessions/{session(client, {**CARD, 'budget': {'tokens': 5000}}, approved=True)['id']}"
    assert "5,000 tokens, then it asks you" in seen(client, path).text and "5,000 tokens" in seen(client, path + "/spec").text


FORM = {"what": "feature", "place": "0", "title": "A", "description": "", "criterion": ["one", "two", ""], "check": ["", "true", ""], "priority": "2",
        "agent": ""}


def test_a_form_that_is_sent_as_it_is_makes_no_version(client, db, path):
    assert client.post(path + "/card", data={**FORM, "base_version": "1"}).status_code == 303
    assert client.post(path + "/card", data={"what": "feature", "place": "2", "title": "C", "after": ["1", "0"], "base_version": "1"}).status_code == 303
    assert save(client, path, "name", name="Shop").status_code == 303 and save(client, path, "review").status_code == 303
    assert save(client, path, "budget").status_code == 303
    assert db.value("select spec_version from hitl_sessions") == 1


def test_a_feature_is_edited_with_its_criteria_order_priority_and_agent(client, path, stored):
    html = client.get(path + "?edit=1").get_data(as_text=True)
    assert 'value="0" checked' in html and 'id="f-title"' in html
    changed = {**FORM, "place": "1", "title": "B2", "description": "D", "criterion": ["works", "is quick"], "check": ["", "make quick"], "after": [],
               "priority": "-3", "agent": "runbook", "base_version": "1"}
    assert client.post(path + "/card", data=changed).location == f"{path}#feature-2"
    assert stored()["features"][1:] == [
        {"title": "B2", "description": "D", "acceptance_criteria": ["works", {"text": "is quick", "check": "make quick"}], "priority": -3, "agent": "runbook"},
        {"title": "C", "depends_on": ["B2", "A"]}]


def test_what_else_a_criterion_holds_is_kept(client, path, stored):
    client.post(path + "/card", data={**FORM, "criterion": ["one", "two!"], "check": ["", "false"], "base_version": "1"})
    assert stored()["features"][0]["acceptance_criteria"] == ["one", {"text": "two!", "check": "false", "note": "kept"}]


def test_features_are_added_moved_split_and_removed(client, path, stored):
    titles = lambda: [each["title"] for each in stored()["features"]]  # noqa: E731
    assert "New feature" in seen(client, path + "?add=1").text
    save(client, path, "add", title="D", after=["2"])
    assert titles() == ["A", "B", "C", "D"] and stored()["features"][3]["depends_on"] == ["C"]
    assert save(client, path, "move", 2, place="3", to="up").location == f"{path}#feature-3"
    assert titles() == ["A", "B", "D", "C"]
    assert "Criteria to move into it" in seen(client, path + "?split=0").text
    save(client, path, "split", 3, place="0", title="A2", take=["1"])
    assert titles() == ["A", "A2", "B", "D", "C"] and stored()["features"][1]["acceptance_criteria"][0]["text"] == "two"
    save(client, path, "remove", 4, place="2")
    assert titles() == ["A", "A2", "D", "C"] and "B" not in stored()["features"][3]["depends_on"]


def test_a_removal_is_undone_by_one_press_and_so_is_the_undoing(client, db, path, stored):
    save(client, path, "remove", place="1")
    assert "Feature 2 removed" in seen(client, path).text
    assert client.post(path + "/restore", data={"version": "1", "base_version": "2"}).status_code == 303
    assert stored() == CARD
    client.post(path + "/restore", data={"version": "2", "base_version": "3"})
    assert len(stored()["features"]) == 2 and db.value("select spec_version from hitl_sessions") == 4


@pytest.mark.parametrize("fields, field, words", [
    ({"title": ""}, "f-title", "Must not be empty"), ({"title": "B"}, "f-title", "already has this title"),
    ({"title": "a\u200bb"}, "f-title", "U+200B, at position 2"),
    ({"criterion": ["fine", ""], "check": ["", "true"]}, "f-c2", "Must not be empty"), ({"description": "\u202e"}, "f-description", "U+202E"),
    ({"priority": "high"}, "f-priority", "whole number"), ({"priority": "99999"}, "f-priority", "1000 or less"),
    ({"agent": "Not One"}, "f-agent", "Must start with a small letter")])
def test_what_is_wrong_stands_under_its_field_and_everything_is_kept(client, db, path, fields, field, words):
    answer = client.post(path + "/card", data={**FORM, "base_version": "1", **fields})
    page = checked(answer)
    assert answer.status_code in (400, 422) and db.value("select spec_version from hitl_sessions") == 1
    wrong = [attrs for _, attrs in page.elements if attrs.get("aria-invalid") == "true"]
    assert [attrs["id"] for attrs in wrong] == [field] and f"{field}-problem" in wrong[0]["aria-describedby"].split()
    html = unescape(answer.get_data(as_text=True))
    after = html[html.index(f'id="{field}-problem"'):]
    assert words in after[:after.index("</div>")]
    for value in fields.values():
        for text in value if isinstance(value, list) else [value]:
            assert text in html
    approve = next(button for button in page.all("button") if button.get("aria-describedby") == "approve-why")
    assert "disabled" in approve and "not saved yet" in page.text


def test_a_cycle_is_told_under_the_dependencies_that_close_it(client, path):
    answer = client.post(path + "/card", data={**FORM, "after": ["2"], "base_version": "1"})
    page = checked(answer)
    assert answer.status_code == 422 and "cycle" in page.text and any(attrs.get("id") == "f-after-problem" for attrs in page.all("div"))
    assert "checked" in next(attrs for attrs in page.all("input") if attrs.get("name") == "after" and attrs["value"] == "2")


@pytest.mark.parametrize("what, fields, field", [("name", {"name": "  "}, "c-name"), ("repository", {"repository": "-oProxy=x"}, "c-repository"),
                                                 ("repository", {"repository": "o/r", "base_branch": "a b"}, "c-base_branch"),
                                                 ("requirements", {"entry": ["fine", "bad\u200b"]}, "requirements-2")])
def test_a_property_that_is_not_valid_is_told_at_its_field(client, path, what, fields, field):
    answer = save(client, path, what, **fields)
    page = checked(answer)
    assert answer.status_code == 422
    assert [attrs["id"] for _, attrs in page.elements if attrs.get("aria-invalid") == "true"] == [field]


def test_further_rows_are_given_without_javascript_and_nothing_is_saved(client, db, path):
    answer = client.post(path + "/card", data={**FORM, "base_version": "1", "more": "1", "title": "Typed"})
    page = checked(answer)
    assert answer.status_code == 200 and len([attrs for attrs in page.all("textarea") if attrs.get("name") == "criterion"]) == 6
    assert db.value("select spec_version from hitl_sessions") == 1 and 'value="Typed"' in answer.get_data(as_text=True)
    entries = checked(save(client, path, "checks", entry=["a", "b"], more="1")).all("textarea")
    assert len([attrs for attrs in entries if attrs["id"].startswith("checks-")]) == 6


def test_the_second_of_two_sees_both_versions_and_what_was_typed_and_may_put_it_on_top(client, db, path, stored):
    theirs = {**CARD, "description": "Theirs", "features": [CARD["features"][2] | {"depends_on": []}, CARD["features"][0]]}
    client.put(path.replace("/sessions/", "/api/hitl/") + "/spec-card", json=theirs)
    answer = client.post(path + "/card", data={**FORM, "title": "Mine", "title_was": "A", "base_version": "1"})
    page = checked(answer)
    assert answer.status_code == 409 and "Someone else saved v2" in page.text and "Theirs" in page.text
    hidden = {attrs["name"]: attrs["value"] for attrs in page.all("input") if attrs.get("type") == "hidden" and attrs["name"] in ("place", "title_was")}
    assert any(attrs.get("value") == "Mine" for attrs in page.all("input")) and hidden["place"] == "1", "its feature stands in another place now"
    assert stored() == theirs
    assert client.post(path + "/card", data={**FORM, "place": "1", "title": "Mine", "base_version": "2"}).status_code == 303
    assert [each["title"] for each in stored()["features"]] == ["C", "Mine"] and stored()["description"] == "Theirs"


def test_a_feature_that_somebody_removed_meanwhile_is_kept_as_a_new_one(client, path):
    client.put(path.replace("/sessions/", "/api/hitl/") + "/spec-card", json={"name": "Shop", "features": [{"title": "C"}]})
    answer = client.post(path + "/card", data={**FORM, "place": "1", "title": "Mine", "title_was": "B", "criterion": ["typed"], "check": [""],
                                               "base_version": "1"})
    page = checked(answer)
    assert answer.status_code == 409 and "New feature" in page.text and any(attrs.get("value") == "Mine" for attrs in page.all("input"))
    assert "typed" in page.text


def test_json_that_meets_another_version_is_kept_and_shown_beside_it(client, db, path):
    save(client, path, "name", name="Theirs")
    mine = json.dumps({**CARD, "name": "Mine"})
    answer = client.post(path + "/spec", data={"spec_card": mine, "base_version": "1"})
    page = checked(answer)
    assert answer.status_code == 409 and "Theirs" in page.text and "Mine" in page.text
    base = next(attrs["value"] for attrs in page.all("input") if attrs.get("name") == "base_version")
    assert client.post(path + "/spec", data={"spec_card": mine, "base_version": base}).status_code == 303
    assert json.loads(db.value("select spec_card from hitl_sessions"))["name"] == "Mine"


def test_the_json_page_shows_the_same_draft(client, path):
    save(client, path, "name", name="By form")
    page = seen(client, path + "/json")
    assert '"name": "By form"' in page.text and any("/spec-card/export" in attrs.get("href", "") for attrs in page.all("a"))


def test_a_document_or_a_card_is_imported_from_text_and_from_a_file(client, path, stored):
    assert client.post(path + "/import", data={"markdown": "1. One\n2. Two (depends on 1)", "base_version": "1"}).status_code == 303
    assert [each["title"] for each in stored()["features"]] == ["One", "Two"]
    file = (io.BytesIO(json.dumps(CARD).encode()), "card.json")
    assert client.post(path + "/import", data={"markdown": "", "file": file, "base_version": "2"}).status_code == 303
    assert stored() == CARD
    late = client.post(path + "/import", data={"markdown": "1. Late", "base_version": "1"})
    assert late.status_code == 409 and "1. Late" in checked(late).text
    assert client.post(path + "/import", data={"markdown": "{half"}).status_code == 422 and client.post(path + "/import", data={}).status_code == 400


def test_any_two_versions_are_compared_and_an_earlier_one_is_taken_again(client, path, stored):
    save(client, path, "name", name="Second")
    save(client, path, "description", 2, description="Third.\nAnd more.")
    page = seen(client, path + "/versions")
    assert "From v2 to v3" in page.text and "And more." in page.text and "edited by you" in page.text
    page = seen(client, path + "/versions?from=1&to=3")
    assert "Second" in page.text and "Sells." in page.text
    assert "These two versions are the same" in seen(client, path + "/versions?from=2&to=2").text
    assert "All of v1" in seen(client, path + "/versions?from=0&to=1").text
    assert client.get(path + "/versions?from=9&to=1").status_code == 404 and client.get(path + "/versions?from=x").status_code == 200
    client.post(path + "/restore", data={"version": "1", "base_version": "3"})
    assert stored() == CARD and "an earlier version, restored" in seen(client, path + "/versions").text
    assert client.post(path + "/restore", data={"version": "7"}).status_code == 404


@pytest.mark.parametrize("state", ["approved", "building", "completed", "cancelled"])
def test_a_card_that_is_approved_is_not_edited(client, db, path, state):
    db.execute("update hitl_sessions set state = ?", (state,))
    for answer in (save(client, path, "name", name="X"), client.post(path + "/spec", data={"spec_card": "{}"})):
        assert answer.status_code == 409 and "cannot be changed" in checked(answer).text
    assert client.get(path + "/json").status_code == 303
    seen(client, path + "/spec")
    seen(client, path + "/versions")
    seen(client, path + "/notes")


def test_cards_of_one_and_of_two_hundred_features_and_long_titles_have_their_pages(client):
    for count in (1, 200, 301):
        card = {"name": LONG[:200], "features": [{"title": f"{n} {LONG}", "depends_on": [n - 1] if n > 1 and n % 3 else []} for n in range(1, count + 1)]}
        path = f"/sessions/{session(client, card)['id']}"
        page = seen(client, path)
        assert len([attrs for attrs in page.all("details") if attrs.get("class", "").startswith("feature ")]) == min(count, 300)
        assert ("1 more feature not shown" in page.text) is (count > 300) and ("Remove" in page.text) is (count > 1)
        seen(client, f"{path}?edit={min(count, 300) - 1}")


@pytest.mark.parametrize("form", [{}, {"what": "nothing"}, {"what": "feature"}, {"what": "feature", "place": "9", "title": "x"}, {"what": "move", "place": "x"},
                                  {"what": "split", "place": "0"}, {"what": "name", "base_version": "x"},
                                  {"what": "split", "place": "0", "title": "x", "take": "9"},
                                  {"what": "feature", "place": "²"}, {"what": "move", "place": "9" * 5000}])
def test_a_form_that_no_page_has_is_refused_without_harm(client, db, path, form):
    answer = client.post(path + "/card", data=form)
    assert answer.status_code == 400
    checked(answer)
    assert db.value("select spec_version from hitl_sessions") == 1


@pytest.mark.parametrize("card", ["not json", "[]", '{"name": 1}', '{"features": 5}'])
def test_a_card_that_was_broken_by_hand_is_mended_as_json(client, db, path, card):
    db.execute("update hitl_sessions set spec_card = ?", (card,))
    assert "Fix it as JSON" in seen(client, path).text and (card in seen(client, path + "/json").text or card.startswith(("[", "{")))
    assert save(client, path, "name", name="X").status_code in (400, 409, 422)
    assert client.post(path + "/spec", data={"spec_card": json.dumps(CARD)}).status_code == 303
    assert "Approve v2" in seen(client, path).text


def test_edits_name_what_differs_and_nothing_else():
    assert edits_of(MultiDict({"what": "repository", "repository": "o/r"}), {"base_branch": "main"}) == [
        {"op": "set", "path": "repository", "value": "o/r"}, {"op": "remove", "path": "base_branch"}]
