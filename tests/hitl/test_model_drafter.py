"""Drafting by a model: its answer is foreign text, and whatever it does, the person gets a card and the reason."""
import gc
import threading
import time
from dataclasses import replace

import pytest
from conftest import HANG, until
from model_server import drips, fails, floods, hangs, model_server, raw, says

from engine.errors import BadRequest, WrongState
from hitl.card.shape import SCHEMA
from hitl.drafting import draft as drafting
from hitl.drafting.drafters import Brief
from hitl.drafting.drafters.model import ModelDrafter
from hitl.session import sessions
from hitl.session.seen_card import Base

GOOD = {"name": "Words", "description": "Counts words.", "features": [{"title": "Count", "acceptance_criteria": ["It counts"]}, {"title": "Print"}]}
BAD = {"name": "Words", "features": [{"title": "Count", "depends_on": ["Cuont"]}]}
IDEA = "Count words.\n\n1. Count\n2. Print"
TENANT = "default"
KEY = "sk-secret-key"


@pytest.fixture
def server():
    with model_server() as server:
        yield server
    gc.collect()  # connections that were given up end here and not in another test


@pytest.fixture
def asking(config, server):
    return replace(config, model_url=server.url, model_key=KEY, model="small", model_seconds=5.0)


@pytest.fixture
def session(db, config):
    return sessions.create(db, config, TENANT, project_name="Words", description=IDEA)


def drafted(config, **values):
    return ModelDrafter(config).draft(Brief("Words", IDEA, **values))


def test_a_good_answer_becomes_the_card(server, asking, db, session):
    server.steps = [says(GOOD)]
    answer = drafting.draft(db, asking, TENANT, session)
    row = sessions.get(db, TENANT, session)
    assert (answer["drafter"], answer["fallback"], answer["version"]) == ("model", None, 1) and sessions.current_card(row) == GOOD
    assert row["state"] == "clarifying" and db.value("select source from spec_versions") == "model"
    asked = server.asked[0]
    assert asked["model"] == "small" and IDEA in asked["messages"][1]["content"] and server.keys == [f"Bearer {KEY}"]
    assert asked["response_format"]["json_schema"]["schema"]["properties"] == SCHEMA["properties"]


def test_a_fenced_answer_is_read(server, asking):
    server.steps = [says('```json\n{"name": "W", "features": [{"title": "A"}]}\n```')]
    assert drafted(asking).card == {"name": "W", "features": [{"title": "A"}]}


def test_an_answer_that_is_no_valid_card_is_sent_back_once_with_what_is_wrong(server, asking):
    server.steps = [says(BAD), says(GOOD)]
    found = drafted(asking)
    assert (found.by, found.card, len(server.asked)) == ("model", GOOD, 2)
    assert server.asked[1]["messages"][-2]["role"] == "assistant" and "Cuont" in server.asked[1]["messages"][-1]["content"]


@pytest.mark.parametrize("said", [BAD, "I would build a word counter.", "{", "[]", "null", '{"name": "W", "name": "X"}', "[" * 100_000,
                                  {"name": "W", "features": [{"title": "A\u202eb"}]}, {"name": "W", "features": [{"title": "A\U000e0041"}]}])
def test_after_a_second_useless_answer_the_template_drafts(server, asking, said):
    server.steps = [says(said)]
    found = drafted(asking)
    assert (found.by, len(server.asked)) == ("template", 2) and "not a valid card" in found.fallback
    assert [each["title"] for each in found.card["features"]] == ["Count", "Print"]


@pytest.mark.parametrize("body", [b"", b"nonsense", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}', b"[]", b"\xff\xfe",
                                  b'{"choices": [{"message": "x"}]}', b'{"choices": 5}'])
def test_what_is_no_completion_is_not_asked_for_again(server, asking, body):
    server.steps = [raw(body)]
    found = drafted(asking)
    assert (found.by, len(server.asked)) == ("template", 1) and "model" in found.fallback


def test_an_answer_that_was_cut_off_is_not_used(server, asking):
    server.steps = [says(GOOD, ended="length")]
    assert "cut off" in drafted(asking).fallback


@pytest.mark.parametrize(("status", "words"), [(400, "refused the request"), (401, "SWARM_MODEL_KEY"), (404, "SWARM_MODEL"), (429, "busy"), (500, "500"),
                                               (503, "503")])
def test_an_error_is_told_in_our_words_and_never_with_the_key(server, asking, status, words):
    server.steps = [fails(status)]
    found = drafted(asking)
    assert (found.by, len(server.asked)) == ("template", 1) and words in found.fallback and KEY not in found.fallback


@pytest.mark.parametrize("step", [hangs, drips])
def test_a_server_that_takes_too_long_holds_nobody_up(server, asking, step):
    server.steps = [step(server)]
    began = time.monotonic()
    found = drafted(replace(asking, model_seconds=0.5))
    assert time.monotonic() - began < HANG / 2 and found.by == "template" and "SWARM_MODEL_SECONDS" in found.fallback


def test_a_huge_answer_is_not_read_to_its_end(server, asking):
    server.steps = [floods(server)]
    assert "larger than 2 MB" in drafted(asking).fallback


def test_a_server_that_is_not_there_is_said_to_be_unreachable(asking):
    found = drafted(replace(asking, model_url="http://127.0.0.1:9/v1"))
    assert found.by == "template" and "could not be reached" in found.fallback


def test_the_model_chooses_neither_repository_nor_review_nor_agents(server, asking):
    server.steps = [says({**GOOD, "repository": "evil/repo", "base_branch": "x", "review": False, "secret": 1,
                          "features": [{"title": "A", "agent": "custom"}]})]
    found = drafted(asking, card={"name": "W", "features": [], "review": True, "own": 2})
    assert found.card == {"name": "Words", "description": "Counts words.", "features": [{"title": "A"}], "review": True, "own": 2}


def test_what_was_answered_and_the_present_card_are_told(server, asking):
    server.steps = [says(GOOD)]
    drafted(asking, answers=(("goal", "Who is it for?", "Writers"),), card={"name": "Present", "features": []})
    assert "Who is it for? Writers" in server.asked[0]["messages"][1]["content"] and "Present" in server.asked[0]["messages"][1]["content"]


def test_a_card_that_was_saved_while_the_model_thought_is_not_overwritten(server, asking, db, session):
    def late(handler):
        sessions.put_card(db, asking, TENANT, session, {"name": "Mine", "features": [{"title": "Mine"}]})
        db.close()
        says(GOOD)(handler)

    server.steps = [late]
    with pytest.raises(WrongState) as refused:
        drafting.draft(db, asking, TENANT, session)
    assert refused.value.extra["code"] == "card_changed" and refused.value.extra["current"]["spec_card"]["name"] == "Mine"
    assert refused.value.extra["yours"] == GOOD and db.value("select count(*) from spec_versions") == 1


def test_nobody_waits_for_the_database_while_the_model_thinks(server, asking, db, session):
    server.steps = [hangs(server)]
    thread = threading.Thread(target=lambda: (drafting.draft(db, replace(asking, model_seconds=HANG), TENANT, session), db.close()))
    thread.start()
    until(lambda: server.asked)
    with db.transaction():
        db.execute("update counters set value = value")
    assert thread.is_alive(), "it still thinks"
    server.done.set()
    thread.join(HANG)


def test_a_draft_of_another_version_is_refused_before_anybody_is_asked(server, asking, db, session):
    with pytest.raises(WrongState):
        drafting.draft(db, asking, TENANT, session, base=Base(version=3))
    assert server.asked == []


def test_without_a_model_the_template_drafts_and_asking_for_one_is_refused(db, config, session):
    with pytest.raises(BadRequest, match="SWARM_MODEL_URL"):
        drafting.draft(db, config, TENANT, session, "model")
    with pytest.raises(BadRequest):
        drafting.draft(db, config, TENANT, session, "magic")
    answer = drafting.draft(db, config, TENANT, session)
    assert (answer["drafter"], answer["fallback"]) == ("template", None)


def test_the_key_is_never_shown(asking):
    assert KEY not in repr(asking) and KEY not in str(asking.described())
