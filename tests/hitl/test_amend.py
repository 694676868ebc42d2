"""Amending a card while it is built: only what has not started moves, and only by the hash that a person saw."""
import pytest
from conftest import build, statuses

from engine.errors import BadRequest, InvalidCard, NotFound, WrongState
from engine.tickets import actions, claims, settle
from hitl.amend import proposals
from hitl.session import sessions
from hitl.web.strict_json import sha256

TENANT = "default"
CARD = {"name": "Test", "features": [{"title": "A"}, {"title": "B", "depends_on": [1]}, {"title": "C", "depends_on": ["B"]}]}
A, B, C, NEW = "TKT-002", "TKT-003", "TKT-004", "TKT-005"


@pytest.fixture
def session(db, config):
    """A build whose epic is prepared: A is ready, B and C wait."""
    made = build(db, config, CARD)
    db.execute("update tickets set status = 'running', base_sha = 'b' where type = 'epic'")
    settle.session(db, made)
    assert statuses(db, made) == {"TKT-001": "running", A: "ready", B: "blocked", C: "blocked"}
    return made


def proposed(db, config, session, **delta):
    proposals.propose(db, config, TENANT, session, delta)
    return proposals.amendment_view(db, TENANT, session)["amendment"]


def approved(db, config, session, **delta):
    proposals.approve(db, config, TENANT, session, proposed(db, config, session, **delta)["sha256"])


def edges(db):
    return sorted(tuple(row) for row in db.all("select ticket_id, depends_on from ticket_dependencies"))


def everything(db):
    return [[tuple(row) for row in db.all(f"select * from {table}")] for table in ("tickets", "ticket_dependencies", "hitl_sessions", "spec_versions")]


def test_a_proposal_changes_nothing_but_says_what_it_would(db, config, session):
    before = everything(db)
    found = proposed(db, config, session, add=[{"title": "D", "depends_on": ["C"]}])
    assert everything(db) == before
    assert [(each["path"], each["kind"], each["after"]) for each in found["changes"] if each["kind"] == "added"] == [
        ("features[3]", "added", {"title": "D", "depends_on": ["C"]})]
    assert found["started"] == [] and len(found["sha256"]) == 64


def test_an_added_feature_becomes_a_ticket_that_waits_for_what_it_depends_on(db, config, session):
    approved(db, config, session, add=[{"title": "D", "depends_on": ["A"], "acceptance_criteria": ["works"], "priority": 2}, {"title": "E"}])
    row = db.one("select * from tickets where id = ?", (NEW,))
    assert (row["status"], row["position"], row["parent_id"], row["priority"], row["acceptance_criteria"]) == ("blocked", 4, "TKT-001", 2, '["works"]')
    assert statuses(db, session)["TKT-006"] == "ready" and (NEW, A) in edges(db)
    version = db.one("select * from spec_versions order by version desc")
    session_row = sessions.get(db, TENANT, session)
    assert (version["version"], version["source"]) == (2, "amendment")
    assert session_row["approved_sha256"] == session_row["spec_sha256"] == version["sha256"] == sha256(sessions.current_card(session_row))


def test_a_feature_that_has_not_started_is_changed_and_its_dependants_follow_its_new_name(db, config, session):
    approved(db, config, session, change=[{"ticket": B, "set": {"title": "B2", "description": "More", "depends_on": None}}])
    row = db.one("select * from tickets where id = ?", (B,))
    assert (row["title"], row["description"], row["status"]) == ("B2", "More", "ready")
    assert edges(db) == [(C, B)]
    assert [each.get("depends_on") for each in sessions.current_card(sessions.get(db, TENANT, session))["features"]] == [None, None, ["B2"]]


def test_a_feature_that_was_ready_waits_again_for_what_it_now_depends_on(db, config, session):
    approved(db, config, session, add=[{"title": "First"}], change=[{"ticket": A, "set": {"depends_on": ["First"]}}])
    assert statuses(db, session) == {"TKT-001": "running", A: "blocked", B: "blocked", C: "blocked", NEW: "ready"}


def test_a_dropped_feature_is_cancelled_and_leaves_the_card(db, config, session):
    approved(db, config, session, drop=[B], change=[{"ticket": C, "set": {"depends_on": ["A"]}}])
    assert statuses(db, session) == {"TKT-001": "running", A: "ready", B: "cancelled", C: "blocked"} and edges(db) == [(C, A)]
    assert db.value("select reason from tickets where id = ?", (B,)) == "Dropped by an amendment of the card."
    assert [each["title"] for each in sessions.current_card(sessions.get(db, TENANT, session))["features"]] == ["A", "C"]
    assert db.pairs("select id, position from tickets where type = 'feature'") == {A: 1, B: 0, C: 2}
    approved(db, config, session, add=[{"title": "B"}])
    assert db.value("select position from tickets where id = ?", (NEW,)) == 3, "a second amendment finds the places as they are"


def test_dropping_what_others_need_is_refused_with_the_path(db, config, session):
    with pytest.raises(InvalidCard) as refused:
        proposed(db, config, session, drop=[B])
    assert refused.value.extra["details"] == [{"path": "features[1].depends_on", "message": "No feature is called “B”."}]


@pytest.mark.parametrize("status", ["claimed", "running", "needs_input", "in_review", "completed", "failed", "cancelled"])
@pytest.mark.parametrize("what", ["change", "drop"])
def test_what_has_started_or_is_closed_is_never_touched(db, config, session, status, what):
    delta = {"drop": [A], "change": [{"ticket": B, "set": {"depends_on": None}}]} if what == "drop" else {"change": [{"ticket": A, "set": {"title": "X"}}]}
    ready = proposed(db, config, session, **delta)
    db.execute("update tickets set status = ? where id = ?", (status, A))
    before = everything(db)
    for do in (lambda: proposed(db, config, session, **delta), lambda: proposals.approve(db, config, TENANT, session, ready["sha256"])):
        with pytest.raises(WrongState) as refused:
            do()
        assert refused.value.extra["code"] == "already_started" and refused.value.extra["tickets"] == [{"ticket": A, "status": status}]
    assert everything(db) == before and proposals.amendment_view(db, TENANT, session)["amendment"]["started"] == [{"ticket": A, "status": status}]


def test_a_ticket_that_waits_for_its_second_run_has_started(db, config, session):
    run = claims.claim(db, "engine", 1, "2100-01-01T00:00:00.000Z")[0]
    assert claims.begin(db, run, "fake", "runbook")
    db.execute("update runs set state = 'ended', ended_at = started_at, outcome = 'failed'")
    db.execute("update tickets set status = 'ready', claim_token = null where id = ?", (A,))
    with pytest.raises(WrongState):
        proposed(db, config, session, change=[{"ticket": A, "set": {"title": "X"}}])


@pytest.mark.parametrize("state", ["draft", "clarifying", "review", "approved", "completed", "failed", "cancelled"])
def test_only_a_build_is_amended(db, config, session, state):
    found = proposed(db, config, session, add=[{"title": "D"}])
    db.execute("update hitl_sessions set state = ?", (state,))
    for do in (lambda: proposed(db, config, session, add=[{"title": "E"}]), lambda: proposals.approve(db, config, TENANT, session, found["sha256"])):
        with pytest.raises(WrongState) as refused:
            do()
        assert refused.value.extra["currentState"] == state
    assert db.value("select count(*) from tickets") == 4


def test_only_the_proposal_that_was_looked_at_is_approved_and_once(db, config, session):
    first = proposed(db, config, session, add=[{"title": "D"}])
    second = proposed(db, config, session, add=[{"title": "E"}])
    with pytest.raises(WrongState) as refused:
        proposals.approve(db, config, TENANT, session, first["sha256"])
    assert (refused.value.extra["sha256"], refused.value.extra["given_sha256"]) == (second["sha256"], first["sha256"])
    proposals.approve(db, config, TENANT, session, second["sha256"])
    with pytest.raises(NotFound):
        proposals.approve(db, config, TENANT, session, second["sha256"])
    assert [row[0] for row in db.all("select title from tickets order by seq")] == ["Test", "A", "B", "C", "E"]
    assert [each["state"] for each in proposals.amendment_view(db, TENANT, session)["history"]] == ["approved", "discarded"]


def test_a_discarded_proposal_is_gone(db, config, session):
    found = proposed(db, config, session, add=[{"title": "D"}])
    proposals.discard(db, TENANT, session)
    for do in (lambda: proposals.discard(db, TENANT, session), lambda: proposals.approve(db, config, TENANT, session, found["sha256"])):
        with pytest.raises(NotFound):
            do()


def test_an_added_feature_takes_the_whole_back_from_its_last_check(db, config, session):
    db.execute("update tickets set status = 'completed', merged_sha = 'm' where type = 'feature'")
    settle.session(db, session)
    run = claims.claim(db, "engine", 1, "2100-01-01T00:00:00.000Z")[0]
    assert run["kind"] == "integrate" and claims.begin(db, run, "fake", "runbook")
    approved(db, config, session, add=[{"title": "D"}])
    assert statuses(db, session) == {"TKT-001": "running", A: "completed", B: "completed", C: "completed", NEW: "ready"}
    assert claims.finish(db, run, "integrated", "completed", None, None) is None, "what the old run says is no longer about the whole"
    assert db.value("select state from hitl_sessions") == "building"


def test_in_a_paused_session_what_is_added_waits(db, config, session):
    sessions.pause(db, TENANT, session)
    approved(db, config, session, add=[{"title": "D"}])
    assert statuses(db, session)[NEW] == "blocked"
    sessions.resume(db, TENANT, session)
    assert statuses(db, session)[NEW] == "ready"


def test_a_feature_that_would_wait_for_a_dropped_one_is_refused(db, config, session):
    actions.cancel(db, TENANT, A, go_on_without=True)
    with pytest.raises(WrongState, match="was dropped"):
        proposed(db, config, session, add=[{"title": "D", "depends_on": ["A"]}])
    approved(db, config, session, add=[{"title": "D", "depends_on": ["B"]}])
    assert statuses(db, session) == {"TKT-001": "running", A: "cancelled", B: "ready", C: "blocked", NEW: "blocked"}


@pytest.mark.parametrize("body", [
    {}, {"add": []}, {"add": "D"}, {"add": ["D"]}, {"drop": ["TKT-001"]}, {"drop": ["TKT-999"]}, {"drop": [5]}, {"change": [{"ticket": A}]},
    {"change": [{"ticket": A, "set": {}}]}, {"change": [{"ticket": A, "set": {"title": "A"}}]}, {"drop": [A, A]}, {"features": []},
    {"drop": [A], "change": [{"ticket": A, "set": {"title": "X"}}]}])
def test_what_is_no_delta_is_refused(db, config, session, body):
    with pytest.raises(BadRequest):
        proposals.propose(db, config, TENANT, session, body)


def test_a_card_that_was_changed_by_hand_is_not_amended(db, config, session):
    db.execute("update hitl_sessions set spec_card = '{\"name\": \"x\", \"features\": []}'")
    with pytest.raises(WrongState, match="changed it by hand"):
        proposed(db, config, session, add=[{"title": "D"}])
