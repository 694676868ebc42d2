"""start-build: one epic, one ticket for each feature, all or nothing, once."""
import json
import os
import subprocess
import sys
import threading

import pytest
from conftest import HANG

from engine.config import ROOT
from engine.errors import InvalidCard, NotApproved, NotConfirmed, NotFound, WrongState
from hitl.card import sample
from hitl.session import sessions
from hitl.ticket_generator import generate_tickets, start_build
from hitl.web.strict_json import sha256

CARD = {"name": " Login ", "description": "All of it", "checks": ["make test"], "review": True, "features": [
    {"title": "F1", "description": "First", "acceptance_criteria": ["plain", {"text": "tested", "check": "true"}, {"text": "seen"}], "priority": 5},
    {"title": " F2 ", "depends_on": ["f1"], "agent": "runbook"}, {"title": "F3", "depends_on": [1, "F2", "F1"]}]}
TENANT = "default"


@pytest.fixture
def approved(db, config):
    """approved(card) -> the id of an approved session."""
    def make(card=CARD, tenant=TENANT, **values):
        session_id = sessions.create(db, config, tenant, project_name="Test", spec_card=card, **values)
        sessions.approve(db, tenant, session_id, sha256(card))
        return session_id
    return make


def build(db, config, session_id, **body):
    return start_build(db, config, TENANT, session_id, {"confirmed": True, **body})


def test_the_epic_is_ready_and_its_features_are_blocked_in_the_cards_order(db, approved):
    session_id = approved()
    made = generate_tickets(session_id, CARD, TENANT, db)
    assert made == {"epicId": "TKT-001", "ticketIds": ["TKT-001", "TKT-002", "TKT-003", "TKT-004"], "count": 4}
    epic, first, second, third = db.all("select * from tickets order by seq")
    assert (epic["type"], epic["status"], epic["title"], epic["description"], epic["parent_id"], epic["position"], epic["priority"]) == (
        "epic", "ready", "Login", "All of it", None, 0, 0)
    assert json.loads(epic["acceptance_criteria"]) == [{"text": "make test", "check": "make test"}]
    shown = ("id", "type", "status", "title", "parent_id", "position", "priority", "agent")
    assert [tuple(ticket[name] for name in shown) for ticket in (first, second, third)] == [
        ("TKT-002", "feature", "blocked", "F1", "TKT-001", 1, 5, None), ("TKT-003", "feature", "blocked", "F2", "TKT-001", 2, 0, "runbook"),
        ("TKT-004", "feature", "blocked", "F3", "TKT-001", 3, 0, None)]
    assert json.loads(first["acceptance_criteria"]) == ["plain", {"text": "tested", "check": "true"}, "seen"]
    assert {t["session_id"] for t in (epic, first)} == {session_id} and [t["review"] for t in (epic, first, second, third)] == [0, 1, 1, 1]
    assert [tuple(row) for row in db.all("select ticket_id, depends_on from ticket_dependencies order by 1, 2")] == [
        ("TKT-003", "TKT-002"), ("TKT-004", "TKT-002"), ("TKT-004", "TKT-003")]
    assert sessions.get(db, TENANT, session_id)["state"] == "building"


def test_the_smallest_card_makes_an_epic_and_a_feature(db, config, approved):
    answer = build(db, config, approved({"name": "Test", "features": [{"title": "F1", "description": "Feature 1"}]}))
    assert answer == {"success": True, "state": "building", "epic_id": "TKT-001", "ticket_ids": ["TKT-001", "TKT-002"], "ticket_count": 2,
                      "message": "Build started: TKT-001 and 1 feature."}


def test_ids_grow_past_999_and_are_never_used_again(db, config, approved):
    db.execute("update counters set value = 998 where name = 'ticket'")
    assert build(db, config, approved())["ticket_ids"] == ["TKT-999", "TKT-1000", "TKT-1001", "TKT-1002"]
    assert build(db, config, approved())["epic_id"] == "TKT-1003"


def test_what_starts_a_build_must_be_exactly_true(db, config, approved):
    session_id = approved()
    for value in ("true", 1, "yes", None, [True], {"a": True}, False):
        with pytest.raises(NotConfirmed):
            start_build(db, config, TENANT, session_id, {"confirmed": value})
    with pytest.raises(NotConfirmed):
        start_build(db, config, TENANT, "unknown", {})
    assert db.value("select count(*) from tickets") == 0


@pytest.mark.parametrize("state", ["draft", "clarifying", "review", "building", "completed", "failed", "cancelled"])
def test_a_session_that_is_not_approved_is_refused_with_its_state(db, config, approved, state):
    session_id = approved()
    db.execute("update hitl_sessions set state = ?, spec_card = 'broken' where id = ?", (state, session_id))
    for do in (lambda: build(db, config, session_id, spec_sha256="other"), lambda: generate_tickets(session_id, {"name": ""}, TENANT, db)):
        with pytest.raises(NotApproved) as refused:
            do()
        assert refused.value.as_json()["currentState"] == state and refused.value.sentence == "Session must be approved"


def test_an_unknown_or_foreign_session_is_not_found(db, config, approved):
    theirs = approved(tenant="somebody")
    for session_id in ("unknown", theirs):
        with pytest.raises(NotFound):
            build(db, config, session_id)
        with pytest.raises(NotFound):
            generate_tickets(session_id, CARD, TENANT, db)


def test_a_card_that_was_broken_by_hand_comes_before_a_hash_that_does_not_match(db, config, approved):
    session_id = approved()
    for text, path in (("{broken", ""), (None, ""), ("[1]", ""), ('{"name": "T"}', "features"), ('{"name": "a", "name": "b"}', "")):
        db.execute("update hitl_sessions set spec_card = ? where id = ?", (text, session_id))
        with pytest.raises(InvalidCard) as refused:
            build(db, config, session_id, spec_sha256="other")
        assert [detail["path"] for detail in refused.value.extra["details"]] == [path]
    assert (sessions.get(db, TENANT, session_id)["state"], db.value("select count(*) from tickets")) == ("approved", 0)


def test_a_hash_that_does_not_match_stops_the_start_and_the_right_one_does_not(db, config, approved):
    session_id = approved()
    for wrong in ("0" * 64, 5, ""):
        with pytest.raises(WrongState) as refused:
            build(db, config, session_id, spec_sha256=wrong)
        assert refused.value.extra["spec_sha256"] == sha256(CARD)
    assert build(db, config, session_id, spec_sha256=sha256(CARD))["ticket_count"] == 4


def test_a_card_approved_with_the_sqlite3_shell_is_built_and_recorded(db, config):
    session_id = sessions.create(db, config, TENANT, project_name="By hand")
    db.execute("update hitl_sessions set state = 'approved', spec_card = ? where id = ?", (json.dumps(CARD, indent=2), session_id))
    assert build(db, config, session_id)["ticket_count"] == 4
    version = db.one("select * from spec_versions")
    assert (version["version"], version["sha256"], version["source"]) == (1, sha256(CARD), "approved in the database")
    row = sessions.get(db, TENANT, session_id)
    assert row["spec_sha256"] == row["approved_sha256"] == sha256(CARD) and row["approved_at"] and row["spec_version"] == 1


def test_a_card_edited_after_its_approval_is_recorded_as_what_is_built(db, config, approved):
    session_id = approved()
    other = {"name": "Other", "features": [{"title": "X"}]}
    db.execute("update hitl_sessions set spec_card = ? where id = ?", (json.dumps(other), session_id))
    assert build(db, config, session_id)["ticket_count"] == 2
    row = sessions.get(db, TENANT, session_id)
    assert (row["approved_sha256"], row["spec_version"]) == (sha256(other), 2)


def test_an_ordinary_start_adds_no_version(db, config, approved):
    build(db, config, approved())
    assert db.value("select count(*) from spec_versions") == 1


def test_it_joins_an_open_transaction_and_goes_with_it(db, approved):
    session_id = approved()
    with pytest.raises(RuntimeError), db.transaction():
        generate_tickets(session_id, CARD, TENANT, db)
        assert db.value("select count(*) from tickets") == 4
        raise RuntimeError("the caller changes its mind")
    assert db.value("select count(*) from tickets") == 0 and sessions.get(db, TENANT, session_id)["state"] == "approved"
    assert generate_tickets(session_id, CARD, TENANT, db)["epicId"] == "TKT-001"


def test_when_a_ticket_cannot_be_written_nothing_is(db, config, approved):
    session_id = approved()
    db.execute("create trigger refuse before insert on tickets when new.title = 'F3' begin select raise(abort, 'refused'); end")
    with pytest.raises(Exception, match="refused"):
        build(db, config, session_id)
    assert (db.value("select count(*) from tickets"), db.value("select value from counters")) == (0, 0)
    assert sessions.get(db, TENANT, session_id)["state"] == "approved"


def test_the_samples_commands_are_marked_as_supplied_and_no_others(db, config, approved):
    build(db, config, approved(sample.card()))
    assert {row[0] for row in db.all("select supplied from tickets")} == {1}
    changed = sample.card()
    changed["features"][0]["description"] += " "
    for session_id in (approved(changed), approved(sample.card(), repository="owner/repo"), approved()):
        build(db, config, session_id)
        assert {row[0] for row in db.all("select supplied from tickets where session_id = ?", (session_id,))} == {0}


def in_parallel(db, jobs):
    """Runs each job in a thread of its own; -> what they returned or raised."""
    results, barrier = [], threading.Barrier(len(jobs))

    def run(job):
        barrier.wait(HANG)
        try:
            results.append(job())
        except Exception as error:
            results.append(error)
        finally:
            db.close()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    return results


def test_twenty_parallel_starts_of_one_session_make_one_epic(db, config, approved):
    session_id = approved()
    results = in_parallel(db, [lambda: build(db, config, session_id)] * 20)
    assert sum(isinstance(result, dict) for result in results) == 1
    assert sorted(result.extra["currentState"] for result in results if isinstance(result, NotApproved)) == ["building"] * 19
    assert db.value("select count(*) from tickets where type = 'epic'") == 1 and db.value("select count(*) from tickets") == 4


def test_two_sessions_started_in_parallel_share_no_id(db, config, approved):
    card = {"name": "Many", "features": [{"title": f"F{n}"} for n in range(200)]}
    ids = [approved(card) for _ in range(4)]
    results = in_parallel(db, [lambda each=each: build(db, config, each) for each in ids])
    made = [name for result in results for name in result["ticket_ids"]]
    assert len(made) == len(set(made)) == 4 * 201 == db.value("select value from counters")
    for result in results:
        assert db.value("select count(distinct session_id) from tickets where id in (select value from json_each(?))",
                        (json.dumps(result["ticket_ids"]),)) == 1


def test_as_a_library_it_finds_the_database_of_the_environment(db, config, approved):
    session_id = approved()
    script = (f"import json\nfrom hitl.ticket_generator import generate_tickets\n"
              f"print(json.dumps(generate_tickets({session_id!r}, json.loads({json.dumps(json.dumps(CARD))}), 'default')))")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=HANG,
                          env={**os.environ, "SWARM_DATA": str(config.data)})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count"] == 4 == db.value("select count(*) from tickets")
