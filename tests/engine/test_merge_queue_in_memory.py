"""The merge queue with runs and branches in memory: what waits, is checked again on the merged head, and lands. Over real git: test_merge_queue.py."""
from collections.abc import Callable
from dataclasses import replace

import pytest
from conftest import build, state, statuses
from memory_engine import drive, make_engine

from engine.config import Config
from engine.finish.finish import finish
from engine.finish.outcomes import MAX_TRANSIENTS
from engine.jobs import Job, Result
from engine.loop.fakes import FakeBranches, fake_result
from engine.store.db import Database
from engine.tickets import claims
from engine.tickets.rows import RunRow


def checked(*titles: str) -> dict:
    return {"name": "Checked", "features": [{"title": title, "acceptance_criteria": [{"text": "It works", "check": "true"}]} for title in titles]}


def rechecks(db: Database) -> list[str]:
    return [row[0] for row in db.all("select outcome from runs where kind = 'recheck' order by seq")]


def breaking(first: str, second: str) -> Callable[[Job, int], Result]:
    """The changes of these two pass alone, and not in one branch."""
    def results(job: Job, code: int) -> Result:
        together = {change.title for change in (*job.waiting, *job.landed)}
        if job.kind == "recheck" and {first, second} <= together:
            return Result(job.run, "failed", 0, failure="agent", reason="The check “true” failed with exit code 1.")
        return fake_result(job, code)
    return results


def test_a_change_whose_branch_has_moved_waits_is_checked_again_and_lands(db: Database, config: Config) -> None:
    session, branches = build(db, config, checked("A", "B")), FakeBranches()
    engine = make_engine(db, config, branches=branches)
    while not db.value("select 1 from runs where state = 'queued'"):
        assert state(db, session) == "building"
        engine.tick()
        assert claims.busy_slots(db) <= config.slots
    assert [ticket for _, ticket, _ in branches.merged] == ["TKT-002"] and statuses(db, session)["TKT-003"] == "running"
    drive(engine)
    assert state(db, session) == "completed" and rechecks(db) == ["merged"]
    assert [ticket for _, ticket, _ in branches.merged] == ["TKT-002", "TKT-003"]
    epic = db.value("select branch_name from tickets where type = 'epic'")
    assert db.value("select merged_sha from tickets where id = 'TKT-003'") == branches.head(epic)
    assert db.value("select reason from tickets where id = 'TKT-003'") == "It was checked again on the merged head."


def test_several_that_wait_are_checked_together_and_in_halves_until_the_one_that_breaks_is_alone(db: Database, config: Config) -> None:
    session, branches = build(db, config, checked("A", "B", "C", "D")), FakeBranches()
    drive(make_engine(db, replace(config, max_attempts=1), breaking("B", "D"), branches=branches))
    assert statuses(db, session) == {"TKT-001": "failed", "TKT-002": "completed", "TKT-003": "completed", "TKT-004": "completed", "TKT-005": "failed"}
    assert [ticket for _, ticket, _ in branches.merged] == ["TKT-002", "TKT-003", "TKT-004"]
    assert rechecks(db) == ["failed", "merged", "failed", "merged", "failed"], "B, C and D; B; C and D upon B; C; D"


def test_a_conflict_is_said_before_any_recheck(db: Database, config: Config) -> None:
    session = build(db, config, checked("A", "B"))
    once = iter(["The change conflicts in a.txt."])
    drive(make_engine(db, config, branches=FakeBranches(lambda work: next(once, "") if work.title == "B" else "")))
    assert state(db, session) == "completed"
    assert [row[0] for row in db.all("select outcome from runs where ticket_id = 'TKT-003' order by seq")] == ["conflict", "merged"]
    assert rechecks(db) == ["merged"], "its work is older than what was merged, so the second try is checked on that"


def rows(db: Database) -> list[tuple]:
    """Tickets and runs, without their tokens: that of an ended run may be cleared."""
    return [tuple(row) for sql in ("select id, status, failures, conflicts, transients, reason, not_before, run_no from tickets order by seq",
                                   "select id, state, outcome, reason, merge_group, checked_by from runs order by seq") for row in db.all(sql)]


@pytest.mark.parametrize("late", [
    Result("", "failed", 0, failure="agent", reason="The check failed."), Result("", "failed", 0, failure="permanent", reason="It cannot be checked."),
    Result("", "failed", 0, failure="transient", reason="The machine was busy."), Result("", "ok", 0, tip="1" * 40)],
    ids=["failed", "permanent", "transient", "passed"])
@pytest.mark.parametrize("transients", [0, MAX_TRANSIENTS])
@pytest.mark.parametrize("conflicting", [False, True])
def test_a_recheck_that_has_lost_its_claim_says_nothing_about_what_waits_now(
        db: Database, config: Config, late: Result, transients: int, conflicting: bool) -> None:
    """The first recheck has failed, and a later one of a half is under way. Then the first one speaks again."""
    build(db, config, checked("A", "B", "C", "D"))
    branches = FakeBranches()
    engine = make_engine(db, config, breaking("B", "D"), branches=branches)
    for wanted in (["failed", None], ["failed", "merged", None]):
        for _ in range(30):
            if rechecks(db) != wanted:
                engine.tick()
        assert rechecks(db) == wanted
        first = db.the("select * from runs where kind = 'recheck' order by seq limit 1", (), RunRow)
        waiting = db.all("select id, tip_sha from runs where state = 'queued'", (), RunRow)
        assert len(waiting) > 1
        late.run, late.base = first["id"], first["base_sha"]
        late.merged = [{"run": row["id"], "merge": "2" * 40} for row in waiting]
        late.conflicts = [{"run": waiting[0]["id"], "sentence": "It conflicts.", "paths": []}] if conflicting else []
        db.execute("update tickets set transients = ? where type = 'epic'", (transients,))
        before, merged = rows(db), list(branches.merged)
        finish(db, config, branches, first, late)
        assert rows(db) == before and branches.merged == merged
