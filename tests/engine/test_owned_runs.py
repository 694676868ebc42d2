"""Runs without a ticket: wanted, claimed in turn with tickets, fenced by their token, tried again, stopped, and told to their owner."""
import json
from typing import Any

import pytest
from conftest import build, state
from memory_engine import drive, make_engine

from engine.config import Config
from engine.errors import NotFound, WrongState
from engine.jobs import Job, Limits, Result
from engine.loop import owned
from engine.loop.kinds import KINDS, Kind
from engine.runs import claims, wanted
from engine.runtimes import FakeOutcome
from engine.runtimes.base import Runtime
from engine.store.db import Database
from engine.tickets.rows import Outcome, OwnedRunRow

LIMITS = Limits(60, 60, 60, 1, 16, 256, 16)


class Told:
    """A kind of run for these tests, and what its owner was told."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, str, str | None]] = []

    def job(self, db: Database, config: Config, run: OwnedRunRow, task: dict[str, Any], runtime: Runtime) -> Job:
        return Job(run["id"], run["kind"], "", run["session_id"] or "", str(task.get("title", "")), "", "", "", "", "", runtime.name, "runbook", "", LIMITS)

    def ended(self, db: Database, config: Config, run: OwnedRunRow, outcome: Outcome, reason: str | None, result: Result | None) -> None:
        self.ends.append((run["kind"], outcome, reason))


@pytest.fixture()
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    kind = Told()
    for name in ("setup", "baseline", "plan", "hello"):
        monkeypatch.setitem(KINDS, name, Kind(kind.job, kind.ended))
    return kind


def want(db: Database, kind: Any = "setup", owner: str = "r1", **task: Any) -> OwnedRunRow:
    return wanted.want(db, kind, "repository", owner, "default", task)


def test_a_run_is_wanted_once_and_its_owner_is_told_its_end(db: Database, config: Config, told: Told) -> None:
    run = want(db, title="one")
    assert want(db, title="two")["id"] == run["id"], "one live run of an owner and a kind"
    assert (run["state"], run["ticket_id"], run["owner_kind"], run["owner_id"], run["run_no"]) == ("wanted", None, "repository", "r1", 1)
    drive(make_engine(db, config), 4)
    row = wanted.get(db, "default", run["id"])
    assert (row["state"], row["outcome"]) == ("ended", "done")
    assert told.ends == [("setup", "done", None)]
    assert want(db)["run_no"] == 2
    assert db.value("select count(*) from tickets") == 0
    moves = db.all("select from_state, to_state from events where kind = 'run' and run_id = ? order by seq", (run["id"],))
    assert [tuple(row) for row in moves] == [(None, "wanted"), ("wanted", "intended"), ("intended", "running"), ("running", "done")]


def test_two_owners_and_two_kinds_have_their_own(db: Database) -> None:
    ids = {want(db)["id"], want(db, owner="r2")["id"], want(db, "baseline")["id"]}
    assert len(ids) == 3
    with db.transaction(), pytest.raises(Exception, match="UNIQUE"):
        db.execute("insert into runs (id, tenant_id, kind, claim_token, claimed_by, run_no, owner_kind, owner)"
                   " values ('x', 'default', 'setup', '', '', 9, 'repository', 'r1')")


@pytest.mark.parametrize(("failure", "outcome", "runs"), [("transient", "transient", owned.AGAIN), ("permanent", "failed", 1), ("agent", "failed", 1)])
def test_a_failure_without_fault_is_tried_again_but_not_for_ever(db: Database, config: Config, told: Told, failure: str, outcome: str, runs: int) -> None:
    want(db)
    drive(make_engine(db, config, results=lambda job, code: Result(job.run, "failed", 0, failure=failure, reason="No.")), 30)
    assert db.value("select count(*) from runs") == runs
    assert told.ends == [("setup", outcome, "No.")]


def test_a_run_is_stopped_by_the_engine_and_one_that_waits_never_begins(db: Database, config: Config, told: Told) -> None:
    waiting = want(db)
    assert wanted.cancel(db, "default", waiting["id"])["cancelled"] == 1
    engine = make_engine(db, config, script=lambda job: FakeOutcome(seconds=3600))
    drive(engine, 2)
    assert told.ends == [("setup", "cancelled", "It was stopped before it began.")]
    with pytest.raises(WrongState):
        wanted.cancel(db, "default", waiting["id"])
    with pytest.raises(NotFound):
        wanted.cancel(db, "other", want(db)["id"])
    drive(engine, 2)
    live = wanted.current(db, "setup", "repository", "r1")
    assert live and live["state"] == "running"
    wanted.cancel(db, "default", live["id"])
    drive(engine, 2)
    assert wanted.get(db, "default", live["id"])["outcome"] == "cancelled"
    assert told.ends[1:] == [("setup", "cancelled", "It was stopped by hand.")]


def test_the_run_of_a_ticket_is_not_stopped_this_way(db: Database, config: Config) -> None:
    build(db, config, {"name": "One", "features": [{"title": "A"}]})
    engine = make_engine(db, config, script=lambda job: FakeOutcome(seconds=3600))
    drive(engine, 2)
    with pytest.raises(WrongState, match="TKT-001"):
        wanted.cancel(db, "default", db.value("select id from runs"))


def test_a_stale_write_changes_nothing(db: Database) -> None:
    want(db)
    (run,) = claims.claim(db, "e", 1)
    assert claims.end(db, run, "lost", "gone")
    assert not claims.end(db, run, "done", None) and not claims.begin(db, run, "fake", "runbook")
    assert wanted.get(db, "default", run["id"])["outcome"] == "lost"


def test_with_one_slot_tickets_and_other_runs_take_turns(db: Database, config: Config, told: Told) -> None:
    build(db, config, {"name": "Many", "features": [{"title": f"F{n}"} for n in range(6)]})
    config = Config(**{**vars(config), "slots": 1})
    engine = make_engine(db, config)
    drive(engine, 3)
    for number in range(4):
        want(db, "plan", f"r{number}")
    drive(engine, 40)
    order = ["ticket" if row["ticket_id"] else "repository"
             for row in db.all("select ticket_id from events where kind = 'run' and to_state = 'running' order by seq")]
    first = order.index("repository")
    assert order.count("repository") == 4
    assert order[first:first + 6:2] == ["repository"] * 3 and order[first + 1:first + 6:2] == ["ticket"] * 3


def test_what_a_build_waits_for_comes_first(db: Database, config: Config, told: Told) -> None:
    for kind in ("hello", "plan", "baseline", "setup"):
        want(db, kind)
    assert [run["kind"] for run in claims.claim(db, "e", 4)] == ["baseline", "setup", "hello", "plan"]


def test_without_isolation_it_does_not_run(db: Database, config: Config, told: Told) -> None:
    want(db)
    drive(make_engine(db, config, fallback=True), 3)
    assert told.ends == [("setup", "failed", "This machine has no isolation to run the commands in. bubblewrap is absent.")]


def test_another_engine_takes_up_what_a_dead_one_left(db: Database, config: Config, told: Told) -> None:
    run = want(db)
    first = make_engine(db, config, script=lambda job: FakeOutcome(seconds=3600))
    drive(first, 2)
    first._owner.release()
    drive(make_engine(db, config), 6)  # in memory, a run is gone with its process
    rows = db.all("select outcome from runs order by seq")
    assert [row["outcome"] for row in rows] == ["void", "done"] and wanted.get(db, "default", run["id"])["outcome"] == "void"


def test_a_build_goes_on_while_an_owner_waits(db: Database, config: Config, told: Told) -> None:
    session = build(db, config, {"name": "Two", "features": [{"title": "A"}, {"title": "B"}]})
    want(db)
    drive(make_engine(db, config))
    assert state(db, session) == "completed" and told.ends == [("setup", "done", None)]
    assert json.loads(db.value("select task from runs where owner_kind = 'repository'")) == {}


def test_features_wait_while_their_epic_waits_for_an_environment(db: Database, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    session = build(db, config, {"name": "Two", "features": [{"title": "A"}, {"title": "B"}]})
    db.execute("create trigger hold after update of base_sha on tickets when new.type = 'epic' and old.base_sha is null begin"
               " update tickets set waits_for = 'environment' where id = new.id; end")
    engine = make_engine(db, config)
    with monkeypatch.context() as patch:
        patch.setattr(engine.grounds, "send", lambda inline: None)
        drive(engine, 10)
        assert state(db, session) == "building"
        assert {row["status"] for row in db.all("select status from tickets where type = 'feature'")} == {"blocked"}
    drive(engine)
    assert state(db, session) == "completed", "without a repository there is nothing to wait for"
