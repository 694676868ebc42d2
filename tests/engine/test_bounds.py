"""Every way in which a run begins again is bounded, and ends with a person."""
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import build, by_hand, statuses, until
from left_runs import LeftLauncher, left_engine, sha
from memory_engine import TWO, drive, make_engine
from runner_bench import Bench

from engine.config import Config
from engine.errors import Transient
from engine.finish.outcomes import MAX_TRANSIENTS
from engine.jobs import Job, Result
from engine.loop import loop
from engine.loop.fakes import FakeBranches, FakeLauncher, fake_result
from engine.loop.launch import Look, ProcessLauncher
from engine.loop.loop import SwarmEngine
from engine.store.db import Database
from engine.tickets import answers
from engine.tickets.same_question import MOST_GIVEN

ONE = {"name": "One", "features": [{"title": "A"}]}
CHECKED = {"name": "Two", "features": [{"title": name, "acceptance_criteria": [{"text": name, "check": "true"}]} for name in "AB"]}
ALL = 3 * (MAX_TRANSIENTS + 1)  # runs of a ticket with three attempts, each of which transient failures use up


def waits_for_a_person(db: Database, ticket: str, runs: int) -> None:
    assert db.value("select status from tickets where id = ?", (ticket,)) == "failed"
    assert db.value("select count(*) from requests where ticket_id = ? and kind = 'failed' and state = 'open'", (ticket,)) == 1
    assert db.value("select count(*) from runs where ticket_id = ?", (ticket,)) == runs


def nothing(job: Job, folder: Path) -> None:
    """The runner is gone: killed, or it could not write its result."""


def no_result(job: Job, folder: Path) -> None:
    (folder / "result.json").write_bytes(b"{\0")


def void(job: Job, folder: Path) -> None:
    (folder / "started.json").unlink()


@pytest.mark.parametrize("leave", [nothing, no_result, void])
def test_runs_that_leave_no_result_end_with_a_person(leave: Callable[[Job, Path], None], db: Database, config: Config) -> None:
    build(db, config, ONE)
    with left_engine(db, config, leave) as (engine, _):
        for _ in range(3 * ALL):
            engine.tick()
    waits_for_a_person(db, "TKT-002", ALL)


class Broken(FakeLauncher):
    """Runs of one kind and title cannot start."""

    def __init__(self, branches: FakeBranches, what: Callable[[Job], bool], error: Exception) -> None:
        super().__init__(branches)
        self.what, self.error = what, error

    def launch(self, job: Job) -> None:
        if self.what(job):
            raise self.error
        super().launch(job)


def with_broken(db: Database, config: Config, what: Callable[[Job], bool], error: Exception) -> SwarmEngine:
    engine = make_engine(db, config)
    branches = FakeBranches()
    engine.launcher = engine.reaper.launcher = Broken(branches, what, error)
    engine.reaper.branches = branches
    return engine


def test_a_ticket_whose_start_fails_by_a_bug_ends_with_a_person_and_holds_up_no_other(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    engine = with_broken(db, config, lambda job: job.title == "A", TypeError("a bug"))
    drive(engine, 6)
    assert statuses(db, session)["TKT-003"] == "completed"
    drive(engine, 6 * ALL)
    assert db.value("select status from tickets where id = 'TKT-002'") == "failed"
    assert db.value("select count(*) from requests where ticket_id = 'TKT-002' and kind = 'failed' and state = 'open'") == 1
    assert "a bug" in engine.errors[-1]["error"]


def test_a_disk_that_is_full_at_a_start_is_no_tickets_bug(db: Database, config: Config) -> None:
    build(db, config, ONE)
    engine = with_broken(db, config, lambda job: job.kind == "feature", OSError(28, "No space left on device"))
    drive(engine, 60)
    waits_for_a_person(db, "TKT-002", MAX_TRANSIENTS + 1)
    assert db.value("select failures from tickets where id = 'TKT-002'") == 0


@pytest.mark.parametrize("error", [OSError(11, "Resource temporarily unavailable"), OSError(28, "No space left on device")], ids=["busy", "full"])
def test_a_recheck_that_cannot_start_ends_with_a_person(error: OSError, db: Database, config: Config) -> None:
    session = build(db, config, CHECKED)
    drive(with_broken(db, replace(config, max_attempts=1), lambda job: job.kind == "recheck", error), 900)
    assert "failed" in statuses(db, session).values() and "running" not in statuses(db, session).values()
    assert db.value("select count(*) from requests where kind = 'failed' and state = 'open'") >= 1


def test_a_recheck_whose_changes_are_never_the_ones_that_wait_ends_with_a_person(db: Database, config: Config) -> None:
    class Other(LeftLauncher):
        def launch(self, job: Job) -> None:
            super().launch(job)
            if job.kind == "recheck":
                Result(job.run, "ok", 0, base=sha("base"), tip=sha("tip"), merged=[{"run": "nobody", "merge": sha("tip")}]).write(self.folder(job.run))

    session = build(db, config, CHECKED)
    with left_engine(db, replace(config, max_attempts=1), lambda job, folder: Result(job.run, "ok", 0, base=sha("base"), tip=sha(job.run)).write(folder)) \
            as (engine, launcher):
        engine.launcher = engine.reaper.launcher = Other(config, launcher.leave)
        for _ in range(900):
            engine.tick()
    assert set(statuses(db, session).values()) == {"failed"}


def test_a_run_whose_end_cannot_be_recorded_ends_with_a_person(db: Database, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MOST_TRIES", {False: 2, True: 3})
    build(db, config, ONE)

    class Wrong(FakeBranches):
        def keep(self, work: Any) -> str:
            raise TypeError("a bug")

    engine = make_engine(db, replace(config, max_attempts=1), branches=Wrong())
    engine.launcher.inline = engine.launcher.in_memory = False  # type: ignore[misc]
    monkeypatch.setattr(engine._stopping, "wait", lambda seconds: None)
    engine.start()
    try:
        until(lambda: db.value("select status from tickets where id = 'TKT-002'") == "failed")
    finally:
        engine.stop()
    waits_for_a_person(db, "TKT-002", MAX_TRANSIENTS + 1)


@pytest.mark.parametrize("error", [Transient("The repository is in use."), TypeError("a bug")], ids=["in use", "a bug"])
@pytest.mark.parametrize("what", ["merge", "advance"])
def test_a_merge_whose_end_can_never_be_recorded_ends_with_a_person(what: str, error: Exception, db: Database, config: Config,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """And no sooner than after its tries, because another run could merge the same work twice."""
    monkeypatch.setattr(loop, "MOST_TRIES", {False: 2, True: 3})
    session, tries = build(db, config, ONE if what == "merge" else CHECKED), list[str]()

    class Locked(FakeBranches):
        def merge(self, work: Any, tip: str, onto: str | None = None) -> str | None:
            return self._raise() if what == "merge" else super().merge(work, tip, onto)

        def advance(self, session: str, integration: str, result: Result) -> bool:
            return self._raise() if what == "advance" else super().advance(session, integration, result)

        def _raise(self) -> Any:
            tries.append(what)
            raise error

    engine = make_engine(db, config, branches=Locked())
    engine.launcher.inline = engine.launcher.in_memory = False  # type: ignore[misc]
    monkeypatch.setattr(engine._stopping, "wait", lambda seconds: None)
    engine.start()
    try:
        until(lambda: "failed" in statuses(db, session).values())
    finally:
        engine.stop()
    assert 3 <= len(tries) <= 4 and not db.value("select 1 from runs where state = 'merging'")
    assert "end could not be recorded" in db.value("select body from requests where kind = 'failed' and state = 'open' limit 1")


def asking(job: Job, code: int) -> Result:
    return Result(job.run, "needs_input", 0, request={"question": "Which?", "options": ["x"]}) if job.kind == "feature" else fake_result(job, code)


def test_a_ticket_that_asks_what_another_was_told_gets_the_answer_only_so_often(db: Database, config: Config) -> None:
    build(db, config, {"name": "Two", "features": [{"title": "A"}, {"title": "B"}]})
    engine = make_engine(db, config, asking)
    drive(engine, 5)
    answers.answer(db, "default", "TKT-002", "x")
    drive(engine, 5 * MOST_GIVEN)
    told = db.all("select ticket_id, state, count(*) from requests where answered_by like 'the answer to %' or state = 'open' group by 1, 2 order by 1, 2")
    assert ("TKT-003", "answered", MOST_GIVEN) in [tuple(row) for row in told] and ("TKT-003", "open", 1) in [tuple(row) for row in told]
    assert db.value("select status from tickets where id = 'TKT-003'") == "needs_input"
    answers.answer(db, "default", "TKT-003", "x")  # a person's answer begins the count anew
    drive(engine, 2)
    assert db.value("select count(*) from runs where ticket_id = 'TKT-003'") > MOST_GIVEN + 1


def test_questions_that_nobody_answers_are_assumed_only_so_often(db: Database, config: Config) -> None:
    build(db, config, ONE)
    engine = make_engine(db, replace(config, answer_seconds=1.0), asking)
    for _ in range(3 * MOST_GIVEN):
        drive(engine, 3)
        by_hand(config, "update requests set created_at = '2000-01-01T00:00:00.000Z' where state = 'open'")
    assert db.value("select count(*) from requests where answered_by = 'assumption'") == MOST_GIVEN
    assert db.value("select status from tickets where id = 'TKT-002'") == "needs_input"


def test_a_runner_that_cannot_write_its_result_is_lost_and_says_why(tmp_path: Path, config: Config) -> None:
    bench = Bench("process", tmp_path).prepared()
    folder, runner = bench.start(bench.job('touch a; mkdir "$SWARM_OUT/../result.json.tmp"'))
    assert runner.wait() != 0
    launcher = ProcessLauncher(replace(config, data=tmp_path))
    assert launcher.look(folder.name) is Look.LOST and "result.json.tmp" in (launcher.last_words(folder.name) or "")
