"""What a person has typed is never lost: it is refused in the words of its form, kept, and sent again without what nobody can see."""
import re
from html import unescape

import pytest
from paging import build, checked, seen

from engine.tickets import requests

ASKED = [{"title": "F1"}, {"title": "F2"}]


def asked(db, ticket, question="Which?"):
    """An open question of this ticket. -> its number"""
    db.execute("update tickets set status = 'needs_input' where id = ?", (ticket,))
    row = db.one("select * from tickets where id = ?", (ticket,))
    requests.open_question(db, row, None, question, ["Red", "Blue"])
    return db.value("select max(seq) from requests")


def fields_of(page, form_id):
    """The hidden fields of the form in this element, and where it posts."""
    part = page[page.index(f'id="{form_id}"'):]
    part = part[:part.index("</form>")]
    return re.search(r'action="([^"]+)"', part)[1], [(unescape(name), unescape(value)) for name, value in
                                                    re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', part)]


@pytest.mark.parametrize(("kind", "field", "words"), [("words", "idea", "Say what you want to build."), ("markdown", "document", "Paste the document"),
                                                      ("card", "card", "Paste the spec card"), ("", "idea", "Say what you want to build.")])
def test_an_empty_form_is_told_what_to_write_next_to_its_field(client, db, kind, field, words):
    for blank in ("", " \r\n "):
        answer = client.post("/sessions", data={"kind": kind, "description": blank, "markdown": blank, "spec_card": blank, "repository": "owner/repo"})
        page = checked(answer)
        assert answer.status_code == 400 and words in page.text and "project_name" not in page.text and "owner/repo" in answer.text
        assert [each["id"] for each in page.all("textarea") if each.get("aria-invalid") == "true"] == [field]
    assert db.value("select count(*) from hitl_sessions") == 0


@pytest.mark.parametrize("mark", ["\u200b", "\u202e", "\x00", "\u2066", "\U000e0041", "\x1b"])
def test_marks_that_nobody_can_see_are_named_and_one_press_removes_them(client, db, mark):
    idea = f"Count{mark} words{mark}.\r\nAlso lines."
    answer = client.post("/sessions", data={"kind": "words", "description": idea, "project_name": "Mine", "review": "true"})
    page = checked(answer)
    assert answer.status_code == 400 and "What you want to build has characters that nobody can see" in page.text
    assert f"U+{ord(mark):04X}" in page.text and "Remove them" in page.text and "description:" not in page.text
    assert "Nothing was saved." in page.text and "The project name" not in page.text
    path, again = fields_of(answer.text, "hidden-marks")
    made = client.post(path, data=dict(again))
    assert made.status_code == 303
    assert tuple(db.one("select project_name, description, review from hitl_sessions")) == ("Mine", "Count words.\nAlso lines.", "true")


def test_every_form_has_that_press(client, db):
    path = client.post("/sessions", data={"kind": "words", "description": "Customers forget their passwords."}).location
    card = client.post("/api/hitl", json={"project_name": "Card", "spec_card": {"name": "Card", "features": [{"title": "One"}, {"title": "Two"}]}}).json
    feature = {"what": "feature", "place": "0", "base_version": "1", "title_was": "One", "title": "On\u200be", "description": "d", "after": ["1"],
               "criterion": ["a\u2066b", "c"], "check": ["", "true"], "priority": "3", "agent": ""}
    for where, data in ((f"{path}/questions/1/answer", {"text": "as\u200b typed"}), (f"{path}/messages", {"text": "as\u200b typed"}),
                        (f"/sessions/{card['id']}/card", feature)):
        answer = client.post(where, data=data)
        assert answer.status_code in (400, 422), (where, answer.status_code)
        checked(answer)
        action, again = fields_of(answer.text, "hidden-marks")
        assert action == where and {name for name, _ in again} == set(data)
        data = {name: [value for key, value in again if key == name] for name, _ in again}
        assert client.post(where, data=data).status_code == 303, where
    stored = client.get(f"/api/hitl/{card['id']}/spec-card").json["spec_card"]["features"][0]
    assert (stored["title"], stored["acceptance_criteria"], stored["depends_on"]) == ("One", ["ab", {"text": "c", "check": "true"}], ["Two"])
    assert db.value("select answer from questions where number = 1") == db.value("select body from messages") == "as typed"


def test_limits_are_told_in_the_words_of_the_form(client):
    path = client.post("/sessions", data={"kind": "words", "description": "Customers forget their passwords."}).location
    for text, words in (("  ", "Your text is empty."), ("x" * 100_001, "Your text may have at most 100,000 characters.")):
        answer = client.post(f"{path}/messages", data={"text": text})
        assert answer.status_code == 400 and words in checked(answer).text and "text must be" not in answer.text
    long = client.post("/sessions", data={"kind": "words", "description": "Fine.", "project_name": "x" * 201})
    assert "The project name may have at most 200 characters." in checked(long).text


def test_an_answer_that_comes_after_another_s_is_kept(client, db):
    build(client, {"name": "Two", "features": ASKED})
    number = asked(db, "TKT-002")
    client.post(f"/requests/{number}/answer", data={"option": "Red"})
    late = client.post(f"/requests/{number}/answer", data={"text": "Green, <b>because</b>\r\nit is calm"})
    page = checked(late)
    assert late.status_code == 409 and "What you typed was not sent" in page.text and "Green, <b>because</b>\nit is calm" in page.text
    path = client.post("/sessions", data={"kind": "words", "description": "Customers forget their passwords."}).location
    client.post(f"{path}/questions/1/answer", data={"choice": "1"})
    late = client.post(f"{path}/questions/1/answer", data={"text": "My own words"})
    assert late.status_code == 409 and not unsent_is_hidden(checked(late)) and "My own words" in late.text
    assert unsent_is_hidden(seen(client, path))


def unsent_is_hidden(page):
    return any(each.get("id") == "unsent-form" for each in page.all("template"))


def test_a_change_of_a_ticket_that_has_started_meanwhile_is_kept(client, db):
    build(client, {"name": "Two", "features": ASKED})
    db.execute("update tickets set status = 'completed' where id = 'TKT-002'")
    late = client.post("/tickets/TKT-002/edit", data={"title": "A better title", "description": "All of\r\nthis", "criterion": ["seen"], "check": [""]})
    page = checked(late)
    assert late.status_code == 409 and all(text in page.text for text in ("A better title", "All of\nthis", "seen")) and not unsent_is_hidden(page)


def test_after_an_answer_the_next_question_has_the_focus(client, db):
    path = client.post("/sessions", data={"kind": "words", "description": "Customers forget their passwords."}).location
    where = client.post(f"{path}/questions/1/answer", data={"choice": "1"}).location
    assert where == f"{path}#ask" and any(each.get("id") == "ask" and each.get("tabindex") == "-1" for each in seen(client, path).all("fieldset"))
    number = db.value("select number from questions where state = 'open'")
    assert client.post(f"{path}/questions/{number}/answer", data={"skip": "all"}).location == f"{path}#card"
    build(client, {"name": "Three", "features": [*ASKED, {"title": "F3"}]})
    numbers = [asked(db, f"TKT-00{n}", f"Which of {n}?") for n in (2, 3, 4)]
    here = {"Referer": "http://localhost/inbox"}
    answered = [client.post(f"/requests/{numbers[place]}/answer", data={"option": "Red"}, headers=here).location for place in (1, 2, 0)]
    assert answered == [f"/inbox#item-{numbers[2]}", f"/inbox#item-{numbers[0]}", "/inbox"]


def test_a_change_of_a_feature_that_someone_else_renamed_or_removed_stays_what_it_was(client):
    made = client.post("/api/hitl", json={"project_name": "C", "spec_card": {"name": "C", "features": [
        {"title": "One", "description": "first"}, {"title": "Two", "description": "second"}]}}).json
    path = f"/api/hitl/{made['id']}/spec-card"

    def theirs(version, *edits):
        assert client.patch(path, json={"base_version": version, "edits": list(edits)}).status_code == 200

    mine = {"what": "feature", "place": "0", "base_version": "1", "title_was": "One", "title": "One", "description": "My words", "priority": "", "agent": ""}
    theirs(1, {"op": "set", "path": "features[0].title", "value": "Uno"}, {"op": "set", "path": "features[0].description", "value": "primo"},
           {"op": "move", "path": "features[0]", "to": 1})
    theirs(2, {"op": "move", "path": "features[0]", "to": 1})  # back in its place
    answer = client.post(f"/sessions/{made['id']}/card", data=mine)
    page = checked(answer)
    again = {each["name"]: each["value"] for each in page.all("input") if each.get("type") == "hidden" and each["name"] in ("what", "place", "base_version")}
    assert answer.status_code == 409 and "My words" in page.text and "Add it again" not in page.text and 'name="what" value="feature"' in answer.text
    assert client.post(f"/sessions/{made['id']}/card", data={**mine, **again, "what": "feature", "place": "0"}).status_code == 303
    features = client.get(path).json["spec_card"]["features"]
    assert [(each["title"], each["description"]) for each in features] == [("One", "My words"), ("Two", "second")]
    theirs(4, {"op": "remove", "path": "features[0]"})
    for what in ("feature", "split"):
        answer = client.post(f"/sessions/{made['id']}/card", data={**mine, "base_version": "4", "what": what})
        page = checked(answer)
        assert answer.status_code == 409 and "no longer has the feature that you changed" in page.text and "My words" in page.text
        assert "Add it again" in page.text and 'name="what" value="feature"' not in answer.text
