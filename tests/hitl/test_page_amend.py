"""Amending a card while it is built, by forms alone: a delta is put together, shown, and approved as a whole; the rest is not touched."""
import json

import pytest
from paging import build, checked, form, live_run, seen

CARD = {"name": "Shop", "features": [{"title": "A"}, {"title": "B", "depends_on": ["A"]}, {"title": "C", "depends_on": ["B"]}], "checks": ["true"]}
A, B, C = "TKT-002", "TKT-003", "TKT-004"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def path(client):
    return build(client, CARD)


@pytest.fixture
def delta(db):
    return lambda: json.loads(db.value("select delta from amendments where state = 'proposed'") or "null")


def put(client, path, what, **fields):
    """What the form for this sends, with what the page has shown."""
    found = [attrs["value"] for attrs in seen(client, path + "/amend?add=1").all("input") if attrs.get("name") == "seen"]
    return client.post(path + "/amend", data={"what": what, "seen": found[0], **fields})


def test_what_has_not_started_can_be_changed_and_the_rest_says_why_not(client, db, path):
    live_run(db, A)
    page = seen(client, path + "/amend")
    assert "Cannot be changed: it is starting" in page.text and page.text.count("It has not started") == 2
    assert {attrs["href"] for attrs in page.all("a") if "change=" in attrs.get("href", "")} == {f"{path}/amend?change={each}#form" for each in (B, C)}
    assert "What cannot be changed" in page.text and "Nothing is proposed" in page.text
    db.execute("update tickets set status = 'completed' where id = ?", (A,))
    assert "Cannot be changed: it is merged." in seen(client, path + "/amend").text


def test_a_feature_is_added_and_its_ticket_follows_the_approval(client, db, path, delta):
    assert put(client, path, "add", title="D", criterion=["It works"], check=["true"], after=["2"]).location == f"{path}/amend#delta"
    assert delta() == {"add": [{"title": "D", "acceptance_criteria": [{"text": "It works", "check": "true"}], "depends_on": ["C"]}], "change": [], "drop": []}
    page = seen(client, path + "/amend")
    assert "The amendment that you approve" in page.text and "It works" in page.text and db.value("select count(*) from tickets") == 4
    assert "An amendment waits for you" in seen(client, path).text
    assert client.post(path + "/amendment/approve", data=form(client, path + "/amend", "/amendment/approve")).location == path
    assert db.value("select title from tickets where id = 'TKT-005'") == "D" and "An amendment waits" not in seen(client, path).text
    assert "Approved, card" in " ".join(seen(client, path + "/amend").text.split())


def test_a_feature_is_changed_by_its_form_and_only_what_differs_is_proposed(client, path, delta):
    assert 'value="B"' in client.get(f"{path}/amend?change={B}").get_data(as_text=True)
    put(client, path, "feature", ticket=B, title="B2", description="", after=["0"])
    assert delta()["change"] == [{"ticket": B, "set": {"title": "B2"}}]
    put(client, path, "feature", ticket=C, title="C", after=["0", "1"])
    assert {"ticket": C, "set": {"depends_on": ["A", "B2"]}} in delta()["change"]
    put(client, path, "feature", ticket=B, title="B", after=["0"])
    assert delta()["change"] == [{"ticket": C, "set": {"depends_on": ["A", "B"]}}], "what is as it was is not proposed"


def test_what_waits_for_a_dropped_feature_no_longer_does_and_the_delta_says_so(client, db, path, delta):
    put(client, path, "drop", ticket=B)
    assert delta() == {"add": [], "change": [{"ticket": C, "set": {"depends_on": []}}], "drop": [B]}
    assert "Feature 2: dependencies" in seen(client, path + "/amend").text
    client.post(path + "/amendment/approve", data=form(client, path + "/amend", "/amendment/approve"))
    assert dict(db.execute("select id, status from tickets where id in (?, ?)", (B, C)).fetchall())[B] == "cancelled"
    assert db.value("select count(*) from ticket_dependencies where ticket_id = ?", (C,)) == 0


def test_each_part_can_be_taken_out_again_and_the_last_one_ends_the_proposal(client, path, delta):
    put(client, path, "add", title="D")
    put(client, path, "add", title="E", after=["3"])
    put(client, path, "drop", ticket=C)
    put(client, path, "back", ticket=C)
    assert delta()["drop"] == []
    put(client, path, "back", place="0")
    assert delta()["add"] == [{"title": "E", "depends_on": []}]
    put(client, path, "back", place="0")
    assert delta() is None and "Nothing is proposed" in seen(client, path + "/amend").text


def test_what_is_not_valid_stands_under_its_field_and_is_kept(client, path, delta):
    answer = put(client, path, "add", title="A", description="kept text", criterion=["kept too"], check=[""])
    page = checked(answer)
    assert answer.status_code == 422 and "already has this title" in page.text and "kept text" in page.text and "kept too" in page.text
    assert [attrs["id"] for _, attrs in page.elements if attrs.get("aria-invalid") == "true"] == ["f-title"]
    cycle = put(client, path, "feature", ticket=A, title="A", after=["2"])
    assert cycle.status_code == 422 and "cycle" in checked(cycle).text and delta() is None
    assert put(client, path, "add", title="x", priority="x").status_code == 400


def test_a_feature_that_started_meanwhile_is_refused_and_so_is_the_approval(client, db, path):
    put(client, path, "feature", ticket=A, title="A2")
    data = form(client, path + "/amend", "/amendment/approve")
    live_run(db, A)
    page = seen(client, path + "/amend")
    assert f"{A} has started in the meantime" in page.text
    assert "disabled" in next(button for button in page.all("button") if button.get("aria-describedby") == "approve-why")
    late = client.post(path + "/amendment/approve", data=data)
    assert late.status_code == 409 and "have started or are closed" in checked(late).text
    assert put(client, path, "back", ticket=A).status_code == 303
    refused = put(client, path, "drop", ticket=A)
    assert refused.status_code == 409
    checked(refused)


def test_a_proposal_that_somebody_else_changed_is_not_added_to_and_not_approved(client, path):
    put(client, path, "add", title="D")
    data = form(client, path + "/amend", "/amendment/approve")
    old = next(attrs["value"] for attrs in seen(client, path + "/amend?add=1").all("input") if attrs.get("name") == "seen")
    put(client, path, "add", title="E")
    late = client.post(path + "/amend", data={"what": "add", "seen": old, "title": "Typed by me"})
    assert late.status_code == 409 and 'value="Typed by me"' in late.get_data(as_text=True)
    assert client.post(path + "/amendment/approve", data=data).status_code == 409
    assert client.post(path + "/amendment/discard").location == f"{path}/amend"
    assert client.post(path + "/amendment/discard").status_code == 404


@pytest.mark.parametrize("fields", [{"what": "nothing"}, {"what": "feature", "ticket": "TKT-999", "title": "x"}, {"what": "drop", "ticket": "TKT-001"}, {}])
def test_a_form_that_no_page_has_is_refused_without_harm(client, path, delta, fields):
    answer = client.post(path + "/amend", data=fields)
    assert answer.status_code == 400 and delta() is None
    checked(answer)


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_a_build_that_has_ended_has_no_such_page(client, db, path, state):
    db.execute("update hitl_sessions set state = ?", (state,))
    assert client.get(path + "/amend").location == path
    refused = client.post(path + "/amend", data={"what": "add", "title": "X"})
    assert refused.status_code == 409 and "Only a build can be amended" in checked(refused).text
    assert not any("/amend" in attrs.get("href", "") for attrs in seen(client, path).all("a"))


def test_a_card_that_was_changed_by_hand_says_that_it_cannot_be_amended(client, db, path):
    db.execute("update hitl_sessions set spec_card = '{\"name\": \"x\", \"features\": []}'")
    assert "someone changed them by hand" in seen(client, path + "/amend").text


def test_hostile_text_is_text_in_an_amendment(client, path):
    put(client, path, "add", title=HOSTILE, description=HOSTILE, criterion=[HOSTILE], check=[HOSTILE])
    for place in (path + "/amend", path + "/amend?add=1", path):
        page = seen(client, place)
        assert not page.all("img")
    assert HOSTILE in seen(client, path + "/amend").text
