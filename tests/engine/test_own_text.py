"""What a person wrote on a pull request stays: the title, the text, and whether it is a draft. On both forges."""
import pytest
from delivery_side import PROJECT
from forge_http import TOKEN
from forge_people import FORGES, on_a_forge, unchanged, watched

from engine.config import Config
from engine.forge import Place, connect
from engine.forge.own_text import is_marked, marked, updated


@pytest.fixture(params=FORGES, ids=["github", "gitlab"])
def forge(request, tmp_path):
    yield from on_a_forge(request.param, tmp_path)


@pytest.fixture
def built(db, config, forge, tmp_path):
    return watched(db, config, forge, tmp_path)


@pytest.fixture
def client(forge):
    made = connect(Config(forge_token=TOKEN, forge=forge.name, forge_url=forge.double.url), Place(forge.name, forge.double.url, PROJECT))
    made.open_change("main", "main", "T", "B\n\nend  ")
    return made


def test_what_is_ours_is_kept_up_to_date(forge, client):
    client.finish_draft(1, "T2", "B2")
    assert forge.there() == ("T2", marked("T2", "B2"), False)
    client.finish_draft(1, "T3", "B3", ready=False)
    assert forge.there() == ("T3", marked("T3", "B3"), False)
    asked = [method for method, _, _ in forge.double.seen if method in ("PATCH", "PUT")]
    client.finish_draft(1, "T3", "B3")
    assert [method for method, _, _ in forge.double.seen if method in ("PATCH", "PUT")] == asked, "nothing to write"


def test_a_title_of_a_person_is_left_alone_and_the_text_is_kept_up_to_date(forge, client):
    forge.write(title="Mine")
    for text in ("B2", "B3"):
        client.finish_draft(1, "T2", text)
        title, body, draft = forge.there()
        assert (title, draft) == ("Mine", False) and body.startswith(text + "\n") and is_marked(body)


@pytest.mark.parametrize("edit", [lambda body: "Closes #7.\n\n" + body, lambda body: body.replace("B", "C", 1), lambda body: body + "\nMore.", lambda body: "",
                                  lambda body: body.partition("<!--")[0]])
def test_a_text_of_a_person_is_left_alone(forge, client, edit):
    text = edit(forge.there()[1])
    forge.write(body=text)
    client.finish_draft(1, "T2", "B2")
    assert forge.there() == ("T", text, False)


def test_a_browser_that_only_changes_the_ends_of_lines_makes_it_nobodys_text(forge, client):
    forge.write(body=forge.there()[1].replace("\n", "\r\n") + "\r\n")
    client.finish_draft(1, "T2", "B2")
    assert forge.there()[1] == marked("T2", "B2")


def test_a_pull_request_of_a_person_gets_nothing_of_ours(forge, client):
    forge.write(title="By hand", body="My words.", draft=True)
    client.finish_draft(1, "T2", "B2", ready=False)
    assert forge.there() == ("By hand", "My words.", True)


def test_back_to_draft_by_hand_it_stays_one_after_the_next_run(built, forge):
    assert not forge.there()[2]
    forge.write(draft=True)
    forge.say("Rename it.")
    built.go(3)
    unchanged(built)
    built.go(2)
    assert forge.there()[2] and built.row()["state"] == "watched" and "looked at the comments" in forge.told()[-1]["body"]


def test_words_that_a_person_wrote_stay_after_the_next_run(built, forge):
    forge.write(title="Shop: limits", body="See the design.")
    forge.say("Rename it.")
    built.go(3)
    built.merged("TKT-002", "Part 1", {"more.txt": "x"})
    built.intend()
    built.go(2)
    assert forge.there() == ("Shop: limits", "See the design.", False) and built.remote_head() == built.tip


def test_a_mark_that_somebody_made_up_is_none():
    for body in (None, 7, "", "B", "<!-- hitl-swarm title:x text:y -->", marked("T", "B") + " more", marked("T", "other").replace("other", "B")):
        assert updated("T", body, "T2", "B2") == (None, None)
    assert updated(None, marked("T", "B"), "T2", "B2") == (None, None)
