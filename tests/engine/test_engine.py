"""The engine's tick over the real store, with runs in memory."""
from collections.abc import Callable

import pytest
from conftest import build, by_hand, state, statuses, until
from memory_engine import CHAIN, TWO, drive, make_engine

from engine.config import Config
from engine.errors import WrongState
from engine.finish.outcomes import MAX_TRANSIENTS
from engine.jobs import Job, Result
from engine.loop.clock import Clock
from engine.loop.fakes import FakeBranches, FakeLauncher, fake_result
from engine.loop.loop import SwarmEngine
from engine.runtimes import Choice, Fake, FakeOutcome
from engine.store.db import Database
from engine.tickets import actions, answers, claims, requests


def failing(*titles: str, failure: str = "agent", times: int = 10**6) -> Callable[[Job, int], Result]:
    count = dict.fromkeys(titles, 0)

    def results(job: Job, code: int) -> Result:
        if job.title in titles and job.kind == "feature" and count[job.title] < times:
            count[job.title] += 1
            return Result(job.run, "failed", 0, failure=failure, reason=f"attempt {count[job.title]} went wrong")
        return fake_result(job, code)
    return results


def test_a_build_goes_from_the_epic_over_its_features_in_order_to_completed(db: Database, config: Config) -> None:
    session = build(db, config, CHAIN)
    branches = FakeBranches()
    drive(make_engine(db, config, branches=branches))
    assert set(statuses(db, session).values()) == {"completed"}
    assert state(db, session) == "completed"
    assert [ticket for _, ticket, _ in branches.merged] == ["TKT-002", "TKT-003", "TKT-004"]
    assert [row["kind"] for row in db.all("select kind from runs order by seq")] == ["prepare", "feature", "feature", "feature", "integrate"]


def test_a_diamond_of_200_features_merges_every_dependency_before_its_dependents_start(db: Database, config: Config) -> None:
    features = [{"title": "F0"}]
    features += [{"title": f"F{n}", "depends_on": ["F0"]} for n in range(1, 100)]
    features += [{"title": f"F{n}", "depends_on": [f"F{n - 99}", f"F{(n - 98) % 99 + 1}"]} for n in range(100, 199)]
    features += [{"title": "F199", "depends_on": [f"F{n}" for n in range(100, 199)]}]
    session = build(db, config, {"name": "Diamond", "features": features})
    drive(make_engine(db, config), 600)
    assert state(db, session) == "completed"
    assert len(db.all("select id from runs where outcome = 'merged'")) == 200
    late = db.all("select d.ticket_id, d.depends_on from ticket_dependencies d"
                  " join events done on done.ticket_id = d.depends_on and done.kind = 'ticket' and done.to_state = 'completed'"
                  " join events began on began.ticket_id = d.ticket_id and began.kind = 'ticket' and began.to_state = 'claimed' where began.seq < done.seq")
    assert late == []
    assert db.value("select count(*) from tickets where merged_sha is null and type = 'feature'") == 0


def test_slots_bound_how_many_runs_are_live(db: Database, config: Config) -> None:
    build(db, config, {"name": "Wide", "features": [{"title": f"F{n}"} for n in range(12)]})
    engine = make_engine(db, config, script=lambda job: FakeOutcome(seconds=60))
    engine.launcher._handles.clear()
    engine.tick()                                     # the epic's prepare run is live now
    for _ in range(5):
        engine.tick()
    assert engine.busy_slots() == 1
    prepared = make_engine(db, config)
    by_hand(config, "update runs set claimed_by = ? where ended_at is null", (prepared.id,))
    prepared.launcher, prepared.reaper.launcher = engine.launcher, engine.launcher
    by_hand(config, "update tickets set base_sha = 'b', branch_name = 'swarm/x' where type = 'epic'")
    claims.end(db, db.value("select id from runs where ended_at is null"), "prepared", None)
    by_hand(config, "update tickets set claim_token = null where type = 'epic'")
    for _ in range(5):
        prepared.waker._reconciled = 0.0
        prepared.tick()
    assert db.value("select count(*) from runs where ended_at is null") == config.slots == 4


def test_a_failed_attempt_is_tried_again_and_the_third_asks_a_person(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    drive(make_engine(db, config, failing("A")))
    assert statuses(db, session) == {"TKT-001": "failed", "TKT-002": "failed", "TKT-003": "completed"}
    assert state(db, session) == "failed"
    runs = db.all("select outcome, reason from runs where ticket_id = 'TKT-002' order by seq")
    assert [(run["outcome"], run["reason"]) for run in runs] == [("failed", f"attempt {n} went wrong") for n in (1, 2, 3)]
    request = db.one("select kind, state, body from requests where ticket_id = 'TKT-002'")
    assert request is not None and tuple(request) == ("failed", "open", "attempt 3 went wrong")


def test_siblings_go_on_and_dependents_of_a_failed_ticket_never_start(db: Database, config: Config) -> None:
    session = build(db, config, {"name": "T", "features": [{"title": "A"}, {"title": "B", "depends_on": ["A"]}, {"title": "C"}]})
    drive(make_engine(db, config, failing("A", failure="permanent")))
    assert statuses(db, session) == {"TKT-001": "failed", "TKT-002": "failed", "TKT-003": "blocked", "TKT-004": "completed"}
    assert db.value("select count(*) from runs where ticket_id = 'TKT-002'") == 1, "a permanent failure is not retried"
    assert db.value("select count(*) from runs where ticket_id = 'TKT-003'") == 0


def test_retrying_a_failed_ticket_reopens_its_build_which_then_completes(db: Database, config: Config) -> None:
    session = build(db, config, CHAIN)
    engine = make_engine(db, config, failing("A", failure="permanent", times=1))
    drive(engine)
    assert state(db, session) == "failed"
    assert actions.retry(db, "default", "TKT-002") == "ready"
    assert state(db, session) == "building"
    drive(engine)
    assert state(db, session) == "completed"
    assert db.value("select count(*) from requests where state = 'open'") == 0


def test_a_transient_failure_uses_up_no_attempt(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    drive(make_engine(db, config, failing("A", failure="transient", times=5)))
    assert state(db, session) == "completed"
    assert db.value("select failures from tickets where id = 'TKT-002'") == 0


def test_a_failed_ticket_waits_for_its_back_off(db: Database, tmp_path) -> None:
    config = Config(data=db.path.parent, runtime="fake", backoff_seconds=100.0)
    build(db, config, TWO)
    drive(make_engine(db, config, failing("A")), 20)
    row = db.one("select status, failures, not_before > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+70 seconds') as later from tickets where id = 'TKT-002'")
    assert row is not None and tuple(row) == ("ready", 1, 1)


def conflicting(times: int) -> FakeBranches:
    """The change of A conflicts so often."""
    left = iter(["a.txt was changed on both sides."] * times)
    return FakeBranches(lambda work: next(left, "") if work.title == "A" else "")


def test_a_conflict_goes_back_with_the_conflict_in_its_prompt_and_uses_up_no_attempt(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    engine = make_engine(db, config, branches=conflicting(1))
    drive(engine)
    assert state(db, session) == "completed"
    assert db.value("select failures from tickets where id = 'TKT-002'") == 0
    assert [row[0] for row in db.all("select outcome from runs where ticket_id = 'TKT-002' order by seq")] == ["conflict", "merged"]


def test_a_run_that_ended_before_it_was_recorded_as_begun_goes_to_review_all_the_same(db: Database, config: Config) -> None:
    build(db, config, {"name": "One", "review": True, "features": [{"title": "A"}]})
    engine = make_engine(db, config, script=lambda job: FakeOutcome(seconds=0.3 if job.command[1] == "TKT-002" else 0.0))
    until(lambda: engine.tick() or db.value("select 1 from runs where ticket_id = 'TKT-002' and state = 'running'"))
    db.execute("update tickets set status = 'claimed' where id = 'TKT-002'")  # as an engine leaves it that dies between the launch and its record
    until(lambda: engine.tick() or db.value("select 1 from tickets where id = 'TKT-002' and status = 'in_review'"))
    assert [row[0] for row in db.all("select outcome from runs where ticket_id = 'TKT-002'")] == ["in_review"]


def test_the_third_conflict_asks_a_person(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    drive(make_engine(db, config, branches=conflicting(3)))
    assert statuses(db, session)["TKT-002"] == "failed"
    assert db.value("select count(*) from runs where ticket_id = 'TKT-002'") == 3


def test_a_run_without_a_change_fails_unless_a_check_says_that_nothing_was_needed(db: Database, config: Config) -> None:
    session = build(db, config, TWO)

    def results(job: Job, code: int) -> Result:
        if job.kind != "feature":
            return fake_result(job, code)
        passed = [{"text": "t", "command": "true", "exit": 0, "seconds": 0.0, "output": "", "passed": True}] if job.title == "B" else []
        return Result(job.run, "no_change", 0, base="b", checks=passed)
    drive(make_engine(db, config, results))
    assert statuses(db, session) == {"TKT-001": "failed", "TKT-002": "failed", "TKT-003": "completed"}


def test_a_question_waits_without_a_slot_and_its_answer_is_in_the_next_prompt(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    prompts = []

    def results(job: Job, code: int) -> Result:
        if job.title == "A":
            prompts.append(job.prompt)
            if len(prompts) == 1:
                return Result(job.run, "needs_input", 0, base="b", request={"question": "Red or blue?", "options": ["red", "blue"]})
        return fake_result(job, code)
    engine = make_engine(db, config, results)
    drive(engine)
    assert statuses(db, session) == {"TKT-001": "running", "TKT-002": "needs_input", "TKT-003": "completed"}
    assert (state(db, session), engine.busy_slots()) == ("building", 0)
    answers.answer(db, "default", "TKT-002", "blue")
    with pytest.raises(WrongState):
        answers.answer(db, "default", "TKT-002", "red")
    drive(engine)
    assert state(db, session) == "completed"
    assert "Red or blue?" in prompts[1] and "A: blue" in prompts[1]


def test_a_reviewed_change_is_merged_only_after_a_person_approved_it(db: Database, config: Config) -> None:
    session = build(db, config, {**TWO, "review": True})
    branches = FakeBranches()
    engine = make_engine(db, config, branches=branches)
    drive(engine)
    assert statuses(db, session) == {"TKT-001": "running", "TKT-002": "in_review", "TKT-003": "in_review"}
    assert branches.merged == []
    actions.request_changes(db, "default", "TKT-002", "Name it otherwise.")
    actions.approve(db, "default", "TKT-003")
    drive(engine)
    assert statuses(db, session) == {"TKT-001": "running", "TKT-002": "in_review", "TKT-003": "completed"}
    approved = db.value("select tip_sha from runs where ticket_id = 'TKT-003' and outcome = 'in_review'")
    assert [(ticket, tip) for _, ticket, tip in branches.merged] == [("TKT-003", approved)]


def test_a_cancelled_ticket_takes_its_dependents_with_it_and_the_rest_completes(db: Database, config: Config) -> None:
    session = build(db, config, {"name": "T", "features": [{"title": "A"}, {"title": "B", "depends_on": ["A"]}, {"title": "C"}]})
    engine = make_engine(db, config, script=lambda job: FakeOutcome(seconds=60 if job.command[1] == "TKT-002" else 0))
    drive(engine, 6)
    assert statuses(db, session)["TKT-002"] == "running"
    actions.cancel(db, "default", "TKT-002")
    assert actions.cancel(db, "default", "TKT-002") == "cancelled"
    drive(engine)
    assert statuses(db, session) == {"TKT-001": "completed", "TKT-002": "cancelled", "TKT-003": "cancelled", "TKT-004": "completed"}
    assert (state(db, session), db.value("select outcome from runs where ticket_id = 'TKT-002'")) == ("completed", "cancelled")


def test_a_dependent_goes_on_without_a_cancelled_ticket_if_the_person_says_so(db: Database, config: Config) -> None:
    session = build(db, config, CHAIN)
    engine = make_engine(db, config, failing("A", failure="permanent"))
    drive(engine)
    assert state(db, session) == "failed"
    actions.cancel(db, "default", "TKT-002", go_on_without=True)
    assert state(db, session) == "building"
    drive(engine)
    assert statuses(db, session) == {"TKT-001": "completed", "TKT-002": "cancelled", "TKT-003": "completed", "TKT-004": "completed"}


def test_pausing_a_session_starts_nothing_new_and_resuming_goes_on(db: Database, config: Config) -> None:
    session = build(db, config, CHAIN)
    engine = make_engine(db, config)
    actions.pause_session(db, session)
    drive(engine)
    assert set(statuses(db, session).values()) == {"blocked"}
    assert db.value("select count(*) from runs") == 0
    actions.resume_session(db, session)
    drive(engine)
    assert state(db, session) == "completed"


def test_a_paused_engine_claims_nothing(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    engine = make_engine(db, config)
    claims.set_paused(db, True)
    drive(engine, 5)
    assert statuses(db, session)["TKT-001"] == "ready"
    claims.set_paused(db, False)
    drive(engine)
    assert state(db, session) == "completed"


@pytest.mark.parametrize("before", ["completed", "failed"])
def test_a_ticket_set_to_ready_by_hand_runs_again(db: Database, config: Config, before: str) -> None:
    session = build(db, config, TWO)
    drive(make_engine(db, config, failing(*(["A"] if before == "failed" else []))))
    assert statuses(db, session)["TKT-002"] == before
    runs = db.value("select run_no from tickets where id = 'TKT-002'")
    by_hand(config, "update tickets set status = 'ready' where id = 'TKT-002'")
    drive(make_engine(db, config))
    assert db.value("select run_no from tickets where id = 'TKT-002'") == runs + 1
    assert set(statuses(db, session).values()) == {"completed"} and state(db, session) == "completed"


def test_a_running_ticket_set_to_ready_by_hand_has_its_run_ended_before_the_next_begins(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    engine = make_engine(db, config, script=lambda job: FakeOutcome(seconds=60 if job.run.startswith("TKT-002-1") else 0))
    drive(engine, 6)
    assert statuses(db, session)["TKT-002"] == "running"
    by_hand(config, "update tickets set status = 'ready' where id = 'TKT-002'")
    drive(engine)
    assert [row[0] for row in db.all("select outcome from runs where ticket_id = 'TKT-002' order by seq")] == ["stale", "merged"]
    assert state(db, session) == "completed"


@pytest.mark.parametrize("status", ["claimed", "running"])
def test_a_ticket_set_to_a_held_status_by_hand_is_claimed_properly(db: Database, config: Config, status: str) -> None:
    session = build(db, config, CHAIN)
    by_hand(config, f"update tickets set status = '{status}' where id = 'TKT-003'")
    drive(make_engine(db, config))
    assert state(db, session) == "completed"


def test_a_feature_set_to_ready_by_hand_under_a_cancelled_epic_does_not_leave_its_session_building(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    drive(make_engine(db, config, failing("A", "B")))
    assert state(db, session) == "failed"
    by_hand(config, "update tickets set status = 'cancelled' where type = 'epic'")
    make_engine(db, config).tick()
    by_hand(config, "update tickets set status = 'ready' where id = 'TKT-002'")
    make_engine(db, config).tick()
    assert state(db, session) == "cancelled" and statuses(db, session)["TKT-002"] == "cancelled"


def test_a_ticket_of_a_cancelled_session_cannot_be_revived(db: Database, config: Config) -> None:
    from hitl.session import sessions
    session = build(db, config, TWO)
    sessions.cancel(db, "default", session)
    assert set(statuses(db, session).values()) == {"cancelled"}
    with pytest.raises(WrongState):
        actions.retry(db, "default", "TKT-002")
    by_hand(config, "update tickets set status = 'ready' where id = 'TKT-002'")
    drive(make_engine(db, config), 5)
    assert statuses(db, session)["TKT-002"] == "cancelled" and state(db, session) == "cancelled"


def test_a_late_result_of_a_cancelled_run_changes_nothing(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    engine = make_engine(db, config, script=lambda job: FakeOutcome(seconds=60 if job.command[1] == "TKT-002" else 0))
    drive(engine, 6)
    run = db.one("select * from runs where ticket_id = 'TKT-002'")
    actions.cancel(db, "default", "TKT-002")
    assert claims.finish(db, run, "merged", "completed", None) is None
    assert statuses(db, session)["TKT-002"] == "cancelled"
    assert not claims.merging(db, run, "tip")


def test_cancel_comes_too_late_once_the_merge_has_begun(db: Database, config: Config) -> None:
    build(db, config, TWO)
    engine = make_engine(db, config, script=lambda job: FakeOutcome(seconds=60 if job.command[1] == "TKT-002" else 0))
    drive(engine, 6)
    assert claims.merging(db, db.one("select * from runs where ticket_id = 'TKT-002'"), "tip")
    with pytest.raises(WrongState):
        actions.cancel(db, "default", "TKT-002")


def test_without_isolation_commands_of_a_card_wait_for_the_persons_word(db: Database, config: Config) -> None:
    session = build(db, config, {"name": "T", "features": [{"title": "A", "description": "```sh\ntrue\n```"}, {"title": "B"}]})
    engine = make_engine(db, config, fallback=True)
    drive(engine)
    assert statuses(db, session) == {"TKT-001": "running", "TKT-002": "needs_input", "TKT-003": "completed"}
    request = db.one("select seq, body, options from requests where state = 'open'")
    assert request is not None and "bubblewrap is absent." in request["body"]
    answers.answer(db, "default", "TKT-002", requests.TRY_AGAIN)
    drive(engine)
    assert statuses(db, session)["TKT-002"] == "needs_input", "nothing has changed, so it asks again"
    answers.answer(db, "default", "TKT-002", requests.WAIVE)
    drive(engine)
    assert state(db, session) == "completed"


def test_with_one_slot_every_tenant_has_its_turn(db: Database, config: Config) -> None:
    for tenant in ("a", "b", "c"):
        build(db, config, {"name": tenant, "features": [{"title": "F1"}]}, tenant)
    db.execute("update tickets set base_sha = 'b', status = 'running' where type = 'epic'")
    for tenant in ("a", "b", "c"):
        db.execute("insert into tickets (id, session_id, tenant_id, type, title, status, parent_id) select tenant_id || n, session_id, tenant_id, 'feature',"
                   " 'F', 'ready', id from tickets join (select 1 n union select 2 union select 3) where type = 'epic' and tenant_id = ?", (tenant,))
    served = []
    for _ in range(9):
        [run] = claims.claim(db, "engine", 1, "2100-01-01T00:00:00.000Z")
        served.append(db.value("select tenant_id from tickets where id = ?", (run["ticket_id"],)))
        claims.finish(db, run, "merged", "completed", None)
    assert served == ["a", "b", "c"] * 3


def test_claims_are_fair_between_tenants(db: Database, config: Config) -> None:
    for tenant in ("a", "b", "c"):
        build(db, config, {"name": tenant, "features": [{"title": f"F{n}"} for n in range(6)]}, tenant)
    by_hand(config, "update tickets set status = 'ready', base_sha = null where type = 'feature'")
    by_hand(config, "update tickets set status = 'running', base_sha = 'b' where type = 'epic'")
    runs = claims.claim(db, "me", 6, "2100")
    owners = [db.value("select tenant_id from tickets where id = ?", (run["ticket_id"],)) for run in runs]
    assert sorted(owners) == ["a", "a", "b", "b", "c", "c"]


def test_no_ticket_is_ever_claimed_twice_by_racing_engines(db: Database, config: Config) -> None:
    import threading
    build(db, config, {"name": "W", "features": [{"title": f"F{n}"} for n in range(200)]})
    by_hand(config, "update tickets set status = 'ready' where type = 'feature'")
    by_hand(config, "update tickets set status = 'running', base_sha = 'b' where type = 'epic'")
    got: list[str] = []

    def work(name: str) -> None:
        while runs := claims.claim(db, name, 3, "2100"):
            got.extend(run["ticket_id"] for run in runs)
        db.close()
    threads = [threading.Thread(target=work, args=(f"e{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(set(got)) == 200


@pytest.mark.parametrize("jump", [-3600.0, 86400.0])
def test_a_jump_of_the_wall_clock_neither_frees_nor_delays_a_waiting_ticket(db: Database, config: Config, jump: float) -> None:
    import dataclasses
    import time
    moved = [0.0]
    config = dataclasses.replace(config, backoff_seconds=50.0)
    build(db, config, TWO)
    branches = FakeBranches()
    engine = SwarmEngine(db, config, FakeLauncher(branches, results=failing("A", times=1)), branches, Choice(Fake()), Clock(lambda: time.time() + moved[0]))
    drive(engine, 10)
    assert db.value("select status from tickets where id = 'TKT-002'") == "ready"
    moved[0] = jump
    drive(engine, 5)
    assert db.value("select count(*) from runs where ticket_id = 'TKT-002'") == 1, "it was freed too early"
    for step in range(62):  # longer than the pause, in steps that are no jump
        moved[0] = jump + step
        engine.tick()
    assert db.value("select count(*) from runs where ticket_id = 'TKT-002'") == 2, "it was delayed"


def test_a_pause_that_another_clock_set_far_ahead_is_cut_short_at_the_start(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    by_hand(config, "update tickets set not_before = '2199-01-01T00:00:00.000Z' where id = 'TKT-001'")
    drive(make_engine(db, config))
    assert state(db, session) == "completed"


def test_a_disk_that_is_full_again_and_again_uses_up_no_attempt_and_ends_with_a_person(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    full = [True]

    def results(job: Job, code: int) -> Result:
        if full and job.kind == "feature":
            return Result(job.run, "failed", 0, failure="transient", reason="The runner failed (No space left on device).")
        return fake_result(job, code)
    engine = make_engine(db, config, results)
    drive(engine, 100)
    assert tuple(db.one("select status, failures from tickets where id = 'TKT-002'")) == ("failed", 0)
    assert db.value("select count(*) from runs where ticket_id = 'TKT-002'") == MAX_TRANSIENTS + 1
    assert "Free space" in db.value("select body from requests where ticket_id = 'TKT-002' and kind = 'failed' and state = 'open'")
    full.clear()
    for ticket in ("TKT-002", "TKT-003"):
        actions.retry(db, "default", ticket)
    drive(engine)
    assert state(db, session) == "completed"


def test_a_ticket_has_its_branch_from_the_begin_of_its_run_and_keeps_its_last_sandbox(db: Database, config: Config) -> None:
    build(db, config, {"name": "B", "features": [{"title": "First thing"}]})
    now = "2100-01-01T00:00:00.000Z"
    for ticket, branch in (("TKT-001", "swarm/x/tkt-001-b"), ("TKT-002", "swarm/x/tkt-002-first-thing")):
        db.execute("update tickets set status = 'ready' where id = ?", (ticket,))
        run = claims.claim_one(db, "engine", ticket, now)
        assert db.value("select branch_name from tickets where id = ?", (ticket,)) is None
        assert claims.begin(db, run, "fake", "runbook", branch)
        held = f"fake:{run['id']}"
        assert tuple(db.one("select branch_name, assigned_vm from tickets where id = ?", (ticket,))) == (branch, held)
        outcome, status = ("prepared", "running") if ticket == "TKT-001" else ("failed", "ready")
        claims.finish(db, run, outcome, status, None, **({"base_sha": "b"} if ticket == "TKT-001" else {}))
        assert tuple(db.one("select branch_name, assigned_vm, claim_token, claimed_by from tickets where id = ?", (ticket,))) == (branch, held, None, None)
    db.execute("update tickets set status = 'cancelled' where id = 'TKT-002'")
    assert db.value("select assigned_vm from tickets where id = 'TKT-002'").startswith("fake:TKT-002-1-")
