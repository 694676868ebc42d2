"""What a spec card may be, and that every problem is reported where it is."""
import copy
import json
import subprocess
import sys

import pytest
from conftest import HANG
from jsonschema import Draft202012Validator

from engine.config import ROOT, Config
from engine.errors import InvalidCard
from hitl.card.shape import SCHEMA
from hitl.card.spec_card import normalise, validate
from hitl.web.strict_json import sha256

SMALLEST = {"name": "Test", "features": [{"title": "F1", "description": "Feature 1"}]}
RICH = {"name": "Rich", "description": "All of it", "technical_requirements": ["No network"], "checks": ["make test"], "base_branch": "main",
        "review": True,
        "features": [{"title": "F1", "acceptance_criteria": ["plain", {"text": "tested", "check": "true"}], "priority": -1000, "agent": "runbook"},
                     {"title": " F2 ", "depends_on": ["f1", 1], "priority": 1000}, {"title": "3", "depends_on": ["F2", "1"]}]}


def problems(card, config=None):
    """{path: message} of all that is wrong with a card."""
    with pytest.raises(InvalidCard) as refused:
        validate(card, config)
    assert refused.value.status == 422 and all(set(detail) == {"path", "message"} for detail in refused.value.extra["details"])
    return {detail["path"]: detail["message"] for detail in refused.value.extra["details"]}


def features(*dependencies):
    """A card with features F1, F2, …; each argument is a depends_on."""
    return {"name": "Graph", "features": [{"title": f"F{n}", "depends_on": list(d)} for n, d in enumerate(dependencies, 1)]}


def plan(card):
    """What is built of a valid card."""
    checked = validate(card)
    return normalise(checked.card, checked.meaning)


def changed(path, value):
    card = copy.deepcopy(RICH)
    place = card
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return card


def test_the_smallest_and_the_rich_card_are_valid_and_come_back_as_given():
    for card in (SMALLEST, RICH):
        checked = validate(copy.deepcopy(card))
        assert checked.card == card and checked.warnings == [] and checked.sha256 == sha256(card)


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert validate({"features": [{"description": "Feature 1", "title": "F1"}], "name": "Test"}).sha256 == validate(SMALLEST).sha256


@pytest.mark.parametrize(("path", "value", "where", "message"), [
    (["name"], 5, "name", "Must be text, not a number."),
    (["name"], "", "name", "Must not be empty."),
    (["name"], " \n", "name", "Must not be empty."),
    (["name"], "n" * 201, "name", "Has 201 characters; at most 200 are allowed."),
    (["name"], "two\nlines", "name", "Must be one line, without tabs."),
    (["features"], [], "features", "Needs at least one entry."),
    (["features"], {"title": "F1"}, "features", "Must be a list, not an object."),
    (["features"], [{"title": f"F{n}"} for n in range(10_001)], "features", "Has 10,001 entries; at most 10,000 are allowed."),
    (["features", 1], "F2", "features[1]", "Must be an object, not text."),
    (["features", 1, "title"], None, "features[1].title", "Must be text, not null."),
    (["features", 1, "title"], "t" * 301, "features[1].title", "Has 301 characters; at most 300 are allowed."),
    (["features", 0, "description"], "d" * 100_001, "features[0].description", "Has 100,001 characters; at most 100,000 are allowed."),
    (["features", 0, "priority"], 1001, "features[0].priority", "Must be 1000 or less."),
    (["features", 0, "priority"], -1001, "features[0].priority", "Must be -1000 or more."),
    (["features", 0, "priority"], True, "features[0].priority", "Must be a whole number, not true or false."),
    (["features", 0, "priority"], 1.5, "features[0].priority", "Must be a whole number, not a number."),
    (["features", 0, "agent"], "rm -rf", "features[0].agent", "Must start with a small letter and have only small letters, digits, - and _."),
    (["features", 0, "acceptance_criteria"], "text", "features[0].acceptance_criteria", "Must be a list, not text."),
    (["features", 0, "acceptance_criteria"], ["c"] * 201, "features[0].acceptance_criteria", "Has 201 entries; at most 200 are allowed."),
    (["features", 0, "acceptance_criteria", 1], {"check": "true"}, "features[0].acceptance_criteria[1].text", "This is required: text."),
    (["features", 0, "acceptance_criteria", 1], 7, "features[0].acceptance_criteria[1]", "Must be text or an object, not a number."),
    (["features", 0, "acceptance_criteria", 0], "  ", "features[0].acceptance_criteria[0]", "Must not be empty."),
    (["features", 1, "depends_on"], "F1", "features[1].depends_on", "Must be a list, not text."),
    (["features", 1, "depends_on"], [None], "features[1].depends_on[0]", "Must be text or a whole number, not null."),
    (["checks"], ["make test", 1], "checks[1]", "Must be text, not a number."),
    (["technical_requirements"], "none", "technical_requirements", "Must be a list, not text."),
    (["review"], "yes", "review", "Must be one of: true, false, unchecked."),
    (["budget"], 5, "budget", "Must be an object, not a number."),
    (["max_parallel"], 0, "max_parallel", "Must be 1 or more."),
    (["max_parallel"], 513, "max_parallel", "Must be 512 or less."),
    (["max_parallel"], "2", "max_parallel", "Must be a whole number, not text."),
    (["budget"], {"tokens": 5.5}, "budget.tokens", "Must be a whole number, not a number."),
    (["budget"], {"money": "5"}, "budget.money", "Must be a number, not text."),
    (["base_branch"], "-main", "base_branch", "A git branch cannot have this name."),
    (["base_branch"], "a..b", "base_branch", "A git branch cannot have this name."),
])
def test_what_is_wrong_is_said_where_it_is(path, value, where, message):
    assert problems(changed(path, value))[where] == message


def test_a_missing_name_and_a_missing_list_of_features_are_both_reported():
    assert problems({}) == {"name": "This is required: name.", "features": "This is required: features."}


@pytest.mark.parametrize("card", [None, [], "card", 5])
def test_what_is_no_object_is_refused(card):
    assert list(problems(card)) == [""]


def test_every_problem_is_reported_not_only_the_first():
    card = {"name": "", "features": [{"title": "A", "depends_on": ["B"]}, {"title": "", "priority": "x"}, {"title": "a"},
                                     {"title": "", "priority": "x"}],
            "review": 1}
    assert set(problems(card)) == {"name", "review", "features[0].depends_on", "features[1].title", "features[1].priority", "features[2].title",
                                   "features[3].title", "features[3].priority"}


def test_the_sentence_names_the_first_problem_and_how_many_more_there_are():
    with pytest.raises(InvalidCard) as refused:
        validate({})
    assert refused.value.sentence == "The spec card is not valid. name: This is required: name. There is 1 more problem."


@pytest.mark.parametrize("twin", ["f1", " F1 ", "F1"])
def test_titles_that_differ_only_in_case_or_space_are_the_same(twin):
    assert problems({"name": "T", "features": [{"title": "F1"}, {"title": twin}]}) == {
        "features[1].title": f"Feature 1 already has this title: “{twin.strip()}”."}


def test_titles_that_differ_only_in_unicode_form_are_the_same():
    assert "features[1].title" in problems({"name": "T", "features": [{"title": "Caf\u00e9"}, {"title": "CAFE\u0301"}]})


def test_an_unknown_dependency_names_the_nearest_title():
    card = {"name": "T", "features": [{"title": "Store the token"}, {"title": "Mail", "depends_on": ["Store token", 3, "0", "xyzzy"]}]}
    with pytest.raises(InvalidCard) as refused:
        validate(card)
    assert [d["message"] for d in refused.value.extra["details"]] == [
        "No feature is called “Store token”. Nearest: “Store the token”.", "There is no feature 3. The features have the numbers 1 to 2.",
        "There is no feature 0. The features have the numbers 1 to 2.", "No feature is called “xyzzy”."]


def test_a_cycle_is_drawn_along_its_dependencies_where_it_closes():
    assert problems(features(["F3"], [], ["F1"])) == {"features[2].depends_on": "cycle F1 → F3 → F1"}
    assert problems(features([2], [3], [4], [2])) == {"features[3].depends_on": "cycle F2 → F3 → F4 → F2"}


def test_every_cycle_is_reported_and_a_long_one_is_shortened():
    assert set(problems(features([2], [1], [4], [3]))) == {"features[1].depends_on", "features[3].depends_on"}
    long = problems(features(*[[n + 1] for n in range(1, 10_000)], [1]))
    assert long == {"features[9999].depends_on": "cycle F1 → F2 → F3 → F4 → F5 → F6 → (9994 more) → F1"}


def test_a_feature_that_depends_on_itself_is_refused():
    assert problems(features([], ["F2"])) == {"features[1].depends_on": "“F2” depends on itself."}


def test_a_diamond_is_no_cycle():
    assert [f["depends_on"] for f in plan(features([], [1], [1], [2, 3, "F2"]))["features"]] == [[], [0], [0], [1, 2]]


def test_a_title_that_is_a_number_wins_over_the_number():
    card = {"name": "T", "features": [{"title": "2"}, {"title": "B"}, {"title": "C", "depends_on": ["2"]}, {"title": "D", "depends_on": [2]}]}
    assert [f["depends_on"] for f in plan(card)["features"]] == [[], [], [0], [1]]


def test_normalise_strips_titles_and_brings_criteria_into_one_form():
    made = plan(RICH)
    assert [f["title"] for f in made["features"]] == ["F1", "F2", "3"] and [f["depends_on"] for f in made["features"]] == [[], [0], [1, 0]]
    assert made["features"][0]["acceptance_criteria"] == ["plain", {"text": "tested", "check": "true"}]
    assert made["features"][2] == {"title": "3", "description": "", "depends_on": [1, 0], "acceptance_criteria": [], "priority": 0, "agent": None,
                                   "review": True}
    assert (made["checks"], made["review"]) == (["make test"], True)


def test_unknown_keys_are_kept_with_a_warning_that_names_the_nearest():
    card = {"name": "T", "colour": 1,
            "features": [{"title": "F1", "acceptence_criteria": [], "acceptance_criteria": [{"text": "a", "chek": "true"}]}]}
    checked = validate(card)
    assert checked.card == card
    assert checked.warnings == [
        {"path": "colour", "message": "Unknown key “colour”. It is kept but not used."},
        {"path": "features[0].acceptence_criteria",
         "message": "Unknown key “acceptence_criteria”. It is kept but not used. Did you mean “acceptance_criteria”?"},
        {"path": "features[0].acceptance_criteria[0].chek", "message": "Unknown key “chek”. It is kept but not used. Did you mean “check”?"}]


@pytest.mark.parametrize("character", ["\x00", "\r", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u200e", "\u061c", "\u200b", "\u2060", "\ufeff",
                                       "\U000e0041", "\ud800", "\u200d", "\u200c", "\ufe0f", "\U000e0101", "\u3164", "\u206a"])
def test_a_hidden_character_is_refused_with_its_position(character):
    found = problems(changed(["features", 0, "acceptance_criteria", 1, "check"], f"true{character} x"))
    assert list(found) == ["features[0].acceptance_criteria[1].check"]
    assert f"U+{ord(character):04X}, at position 5." in found["features[0].acceptance_criteria[1].check"]


def test_a_hidden_character_in_an_unknown_key_is_refused_too():
    assert "U+202E" in problems(changed(["features", 0, "no\u202ete"], "x"))["features[0]"]
    assert "U+202E" in problems(changed(["features", 0, "note"], [{"a": "x\u202e"}]))["features[0].note[0].a"]


@pytest.mark.parametrize("text", ["two\n\tlines", "عربي", "👩\u200d👩\u200d👧", "می\u200cخواهم",
                                  "❤\ufe0f\u200d🔥", "1\ufe0f\u20e3", "葛\U000e0100", "naïve – “quoted”"])
def test_what_a_person_can_see_is_accepted(text):
    assert validate(changed(["description"], text)).card["description"] == text


@pytest.mark.parametrize("repository", ["-x", "ext::sh -c true", "file:///etc", "/etc/../tmp", "/srv/elsewhere", "owner/../repo"])
def test_a_repository_that_is_not_allowed_is_refused_under_its_key(repository):
    assert list(problems({**SMALLEST, "repository": repository})) == ["repository"]


def test_a_local_repository_is_allowed_under_a_configured_root_only(tmp_path):
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "project"], check=True)
    card = {**SMALLEST, "repository": str(tmp_path / "project")}
    assert validate(card, Config(repository_roots=(tmp_path,))).card == card
    assert list(problems(card, Config())) == ["repository"]
    assert validate({**SMALLEST, "repository": "owner/repo"}).warnings == []


def test_judging_by_shape_gives_what_the_whole_schema_gives():
    whole = Draft202012Validator(SCHEMA)
    values = [None, True, 5, 5.0, 1.5, "", "x", "x" * 40, "x" * 41, "x" * 300, "x" * 301, "x" * 10_000, "x" * 10_001, [], ["x"], [""], [5], [5.5],
              ["x"] * 201, {}, {"text": "x"}, [{"text": "x", "check": "x" * 10_001}], [{"check": "x"}], -1000, -1001, 1000, 1001]
    keys = ["title", "description", "acceptance_criteria", "depends_on", "priority", "agent", "note"]
    for key in keys:
        card = {"name": "T", "features": [{"title": "T", key: value} for value in values * 2]}
        expected = {error.absolute_path[1] for error in whole.iter_errors(card)}
        with pytest.raises(InvalidCard) as refused:
            validate(card)
        meaning = ("No feature", "There is no", "Feature ", "Must be one line")
        found = {int(detail["path"][9:].partition("]")[0]) for detail in refused.value.extra["details"] if not detail["message"].startswith(meaning)}
        assert found == expected, key


def test_a_card_of_ten_thousand_wrong_names_is_answered_in_bounded_time():
    script = ("import json\nfrom engine.errors import InvalidCard\nfrom hitl.card.spec_card import validate\n"
              "card = {'name': 'T', 'features': [{'title': f'A feature with a long title, number {n}',"
              " 'depends_on': [f'A feature with a lang title, numbr {n}'],"
              " f'key{n}': 1} for n in range(10000)]}\n"
              "try:\n    validate(card)\nexcept InvalidCard as error:\n    print(len(error.extra['details']))\n")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=HANG)
    assert done.stdout.strip() == "10000", done.stderr


def test_the_schema_is_a_schema():
    Draft202012Validator.check_schema(json.loads((ROOT / "hitl" / "card" / "spec_card.schema.json").read_text(encoding="utf-8")))
