"""A session on its way to the build: who may move it, when, and what is kept of its card."""
import json
import threading

import pytest
from conftest import HANG

from engine.config import Config
from engine.errors import BadRequest, InvalidCard, NotFound, WrongState
from engine.tickets import actions
from hitl.card import sample
from hitl.session import sessions
from hitl.ticket_generator import start_build
from hitl.web.strict_json import canonical, sha256

CARD = {"name": "Test", "features": [{"title": "F1"}, {"title": "F2", "depends_on": ["F1"]}]}
OTHER = {"name": "Other", "features": [{"title": "F1"}]}
TENANT = "default"


@pytest.fixture
def new(db, config):
    """new() -> the id of a session; with a card it is in review."""
    return lambda card=CARD, **values: sessions.create(db, config, TENANT, project_name="Test", spec_card=card, **values)


def state(db, session_id):
    return sessions.get(db, TENANT, session_id)["state"]


def approved(db, session_id):
    sessions.approve(db, TENANT, session_id, sessions.get(db, TENANT, session_id)["spec_sha256"])
    return session_id


def building(db, config, session_id):
    start_build(db, config, TENANT, approved(db, session_id), {"confirmed": True})
    return session_id


def test_without_a_card_it_is_a_draft_and_with_one_in_review(db, new):
    assert state(db, new(None)) == "draft" and state(db, new()) == "review"
    version = db.one("select * from spec_versions")
    assert (version["version"], version["card"], version["sha256"], version["source"]) == (1, canonical(CARD), sha256(CARD), "api")


def test_the_card_stays_as_it_was_given(db, new):
    card = {"name": "ü", "zeta": 1, "features": [{"title": " F1 ", "extra": [1, 2.5, None]}]}
    text = sessions.get(db, TENANT, new(card))["spec_card"]
    assert list(json.loads(text)) == ["name", "zeta", "features"] and json.loads(text) == card


def test_an_invalid_card_creates_nothing(db, new):
    with pytest.raises(InvalidCard):
        new({"name": "T", "features": []})
    assert db.value("select count(*) from hitl_sessions") == 0


@pytest.mark.parametrize("values", [
    {"project_name": None}, {"project_name": ""}, {"project_name": " "}, {"project_name": "n" * 201}, {"project_name": 5}, {"project_name": "a\nb"},
    {"project_name": "a\u202eb"}, {"description": None}, {"description": "d" * 100_001}, {"description": "a\x1bb"}, {"repository": ""},
    {"repository": 5},
    {"repository": "-x"}, {"repository": "/etc"},
])
def test_a_session_with_a_bad_field_is_refused(db, config, values):
    with pytest.raises(BadRequest):
        sessions.create(db, config, TENANT, **{"project_name": "Test", **values})
    assert db.value("select count(*) from hitl_sessions") == 0


def test_a_changed_card_is_a_new_version_and_the_same_card_is_not(db, config, new):
    session_id = new(None)
    first = sessions.put_card(db, config, TENANT, session_id, CARD)
    assert first == {"version": 1, "sha256": sha256(CARD), "warnings": []} and state(db, session_id) == "review"
    assert sessions.put_card(db, config, TENANT, session_id, dict(reversed(CARD.items()))) == first
    second = sessions.put_card(db, config, TENANT, session_id, {**OTHER, "colour": 1}, "page")
    assert second["version"] == 2 and second["warnings"][0]["path"] == "colour"
    assert sessions.put_card(db, config, TENANT, session_id, CARD)["version"] == 3
    assert [row[0] for row in db.all("select source from spec_versions order by version")] == ["api", "page", "api"]


def test_the_sample_is_recorded_as_the_sample(db, new):
    new(sample.card())
    assert db.value("select source from spec_versions") == "sample"


def test_an_invalid_card_leaves_the_session_as_it_was(db, config, new):
    session_id = new()
    with pytest.raises(InvalidCard):
        sessions.put_card(db, config, TENANT, session_id, {"name": "T"})
    assert sessions.get(db, TENANT, session_id)["spec_sha256"] == sha256(CARD)


def test_only_the_card_that_was_looked_at_is_approved(db, config, new):
    session_id = new()
    seen = sha256(CARD)
    sessions.put_card(db, config, TENANT, session_id, OTHER)
    with pytest.raises(WrongState) as refused:
        sessions.approve(db, TENANT, session_id, seen)
    assert (refused.value.extra["given_sha256"], refused.value.extra["spec_sha256"]) == (seen, sha256(OTHER))
    sessions.approve(db, TENANT, session_id, sha256(OTHER))
    row = sessions.get(db, TENANT, session_id)
    assert (row["state"], row["approved_sha256"]) == ("approved", sha256(OTHER)) and row["approved_at"]


@pytest.mark.parametrize("given", [None, "", "abc", 5, "A" * 64, sha256(CARD) + "\n"])
def test_approving_needs_a_hash(db, new, given):
    with pytest.raises(BadRequest):
        sessions.approve(db, TENANT, new(), given)


def test_what_was_edited_by_hand_in_review_is_what_the_hash_is_compared_with(db, new):
    session_id = new()
    db.execute("update hitl_sessions set spec_card = ? where id = ?", (json.dumps(OTHER), session_id))
    with pytest.raises(WrongState):
        sessions.approve(db, TENANT, session_id, sha256(CARD))
    sessions.approve(db, TENANT, session_id, sha256(OTHER))
    row = db.one("select * from spec_versions order by version desc")
    assert (row["version"], row["sha256"], row["source"]) == (2, sha256(OTHER), "approved in the database")


def test_a_reopened_session_is_in_review_and_no_longer_approved(db, config, new):
    session_id = approved(db, new())
    with pytest.raises(WrongState):
        sessions.put_card(db, config, TENANT, session_id, OTHER)
    sessions.reopen(db, TENANT, session_id)
    row = sessions.get(db, TENANT, session_id)
    assert (row["state"], row["approved_sha256"], row["approved_at"]) == ("review", None, None)
    assert sessions.put_card(db, config, TENANT, session_id, OTHER)["version"] == 2


ALL = ("draft", "clarifying", "review", "approved", "building", "completed", "failed", "cancelled")
ALLOWED = {"put": ALL[:3], "approve": ("review",), "reopen": ("approved",), "cancel": (*ALL[:5], "cancelled"), "pause": ("building",),
           "resume": ("building",)}


@pytest.mark.parametrize("move", ALLOWED)
@pytest.mark.parametrize("present", ALL)
def test_a_move_works_from_its_states_only_and_says_which_and_since_when(db, config, new, move, present):
    session_id = new()
    db.execute("update hitl_sessions set state = ? where id = ?", (present, session_id))
    before = tuple(sessions.get(db, TENANT, session_id))
    do = {"put": lambda: sessions.put_card(db, config, TENANT, session_id, CARD),
          "approve": lambda: sessions.approve(db, TENANT, session_id, sha256(CARD)),
          "reopen": lambda: sessions.reopen(db, TENANT, session_id), "cancel": lambda: sessions.cancel(db, TENANT, session_id),
          "pause": lambda: sessions.pause(db, TENANT, session_id), "resume": lambda: sessions.resume(db, TENANT, session_id)}[move]
    if present in ALLOWED[move]:
        do()
        return
    with pytest.raises(WrongState) as refused:
        do()
    row = sessions.get(db, TENANT, session_id)
    assert refused.value.extra["currentState"] == present and refused.value.extra["since"] == row["updated_at"] and tuple(row) == before


def test_cancelling_a_build_drops_its_open_tickets_and_twice_is_once(db, config, new):
    session_id = building(db, config, new())
    sessions.cancel(db, TENANT, session_id, "No longer wanted.")
    assert {row[0] for row in db.all("select status from tickets")} == {"cancelled"}
    after = tuple(sessions.get(db, TENANT, session_id))
    sessions.cancel(db, TENANT, session_id, "Again.")
    assert tuple(sessions.get(db, TENANT, session_id)) == after and "No longer wanted." in after


def test_a_paused_build_has_nothing_that_may_be_claimed_until_it_is_resumed(db, config, new):
    session_id = building(db, config, new())
    sessions.pause(db, TENANT, session_id)
    sessions.pause(db, TENANT, session_id)
    assert sessions.get(db, TENANT, session_id)["paused"] and db.value("select count(*) from tickets where status = 'ready'") == 0
    sessions.resume(db, TENANT, session_id)
    sessions.resume(db, TENANT, session_id)
    assert not sessions.get(db, TENANT, session_id)["paused"] and db.value("select status from tickets where type = 'epic'") == "ready"


def test_a_session_of_another_tenant_is_the_same_404_as_an_unknown_one(db, config):
    theirs = sessions.create(db, config, "somebody", project_name="Theirs", spec_card=CARD)
    said = set()
    for session_id in (theirs, "unknown"):
        for do in (sessions.get, sessions.reopen, sessions.cancel, sessions.pause, sessions.resume):
            with pytest.raises(NotFound) as refused:
                do(db, TENANT, session_id)
            said.add(refused.value.sentence)
        with pytest.raises(NotFound):
            sessions.put_card(db, config, TENANT, session_id, CARD)
        with pytest.raises(NotFound):
            sessions.approve(db, TENANT, session_id, sha256(CARD))
    assert said == {"Session not found"}


def test_of_parallel_approvals_one_counts(db, new):
    session_id, results = new(), []

    def approve():
        try:
            sessions.approve(db, TENANT, session_id, sha256(CARD))
            results.append("done")
        except WrongState as error:
            results.append(error.extra["currentState"])
        finally:
            db.close()

    threads = [threading.Thread(target=approve) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert sorted(results) == ["approved"] * 7 + ["done"] and db.value("select count(*) from events where to_state = 'approved'") == 1


def test_a_failed_session_builds_again_when_its_ticket_is_retried(db, config, new):
    session_id = building(db, config, new())
    db.execute("update tickets set status = 'failed' where session_id = ?", (session_id,))
    db.execute("update hitl_sessions set state = 'failed' where id = ?", (session_id,))
    actions.retry(db, TENANT, db.value("select id from tickets where type = 'epic'"))
    assert state(db, session_id) == "building"


def test_a_local_repository_needs_a_root(db, tmp_path):
    with pytest.raises(BadRequest):
        sessions.create(db, Config(data=tmp_path), TENANT, project_name="T", repository=str(tmp_path))
