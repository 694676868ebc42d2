"""What passed alone is checked again on the merged head: together where several wait, in halves where that fails."""
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import build, git, state, statuses, until
from real_engine import completed, feature, integration, running

from engine.commands.drain import drain
from engine.config import Config
from engine.store.db import Database
from engine.tickets import actions, claims
from hitl.views.evidence import evidence_view


@pytest.fixture
def several(config: Config) -> Config:
    return dataclasses.replace(config, runtime="process", slots=4, synchronous="NORMAL", poll_seconds=0.2, backoff_seconds=0.05, max_attempts=2)


def made(name: str, *commands: str, checks: tuple[str, ...] = ()) -> dict:
    return feature(name, *commands, f"echo {name} > {name}", acceptance_criteria=[{"text": f"{check} holds", "check": check} for check in checks])


def after(*names: str) -> str:
    """A command that waits until these files, of the test and not of the build, are there."""
    return " && ".join(f"until test -e {name}; do sleep 0.05; done" for name in names)


def start_two(db: Database, config: Config, go: Path) -> str:
    """A build of a, and of b, which waits for `go`: when it ends, a is merged. -> the session"""
    return build(db, config, {"name": "Two", "features": [made("a", checks=("test -e a",)), made("b", after(str(go)), checks=("test -e b",))]})


def files(db: Database, config: Config, session: str) -> set[str]:
    repository, branch = integration(db, config, session)
    return set(git(repository, "ls-tree", "--name-only", branch).split())


def rechecks(db: Database) -> list[tuple]:
    return [tuple(row) for row in db.all("select outcome, reason from runs where kind = 'recheck' order by seq")]


def merged(db: Database, ticket: str) -> bool:
    return db.value("select 1 from runs where ticket_id = ? and outcome = 'merged'", (ticket,)) is not None


def waiting(db: Database, *tickets: str) -> Callable[[], bool]:
    return lambda: {row[0] for row in db.all("select ticket_id from runs where state = 'queued'")} >= set(tickets)


def test_two_changes_that_pass_alone_and_break_together_never_both_land(db: Database, several: Config, tmp_path: Path) -> None:
    go = tmp_path / "go"
    session = build(db, several, {"name": "Two", "features": [made("a", checks=("test -e a && ! test -e b",)),
                                                                made("b", after(str(go)), checks=("test -e b",))]})
    with running(db, several):
        until(lambda: merged(db, "TKT-002"), what="a is merged")
        go.touch()
        until(lambda: state(db, session) == "failed", what="b has used up its attempts")
    assert statuses(db, session) == {"TKT-001": "failed", "TKT-002": "completed", "TKT-003": "failed"}
    assert "b" not in files(db, several, session) and "a" in files(db, several, session)
    runs = db.all("select * from runs where ticket_id = 'TKT-003' order by seq")
    assert [row["outcome"] for row in runs] == ["failed", "failed"], "the second began on the head with a in it, and its work is older than that"
    assert "Its own checks passed" in runs[0]["reason"] and "TKT-002: test -e a" in runs[0]["checks"], "the next prompt says what failed"
    found = {each["ticket"]: [criterion["state"] for criterion in each["criteria"]] for each in evidence_view(db, "default", session)["tickets"]}
    assert found == {"TKT-002": ["passed"], "TKT-003": ["passed"]}, "b's own criterion held there too; what the epic checked is no evidence of its own"
    assert [outcome for outcome, _ in rechecks(db)] == ["failed", "failed"]


def test_what_holds_on_the_merged_head_lands_and_says_so(db: Database, several: Config, tmp_path: Path) -> None:
    go = tmp_path / "go"
    session = start_two(db, several, go)
    with running(db, several):
        until(lambda: merged(db, "TKT-002"))
        go.touch()
        completed(db, session)
    assert rechecks(db) == [("merged", "Checked on the merged head, and merged: TKT-003.")]
    row = db.one("select * from runs where ticket_id = 'TKT-003'")
    assert row is not None and row["reason"] == "It was checked again on the merged head." and row["checked_by"].startswith("TKT-001-")
    assert db.value("select branch_name from tickets where id = 'TKT-003'").endswith("/tkt-003-b")
    repository, branch = integration(db, several, session)
    assert git(repository, "rev-parse", branch).strip() == db.value("select merged_sha from tickets where id = 'TKT-003'")
    assert [line.split(":")[0] for line in git(repository, "log", "--first-parent", "--merges", "--format=%s", branch).splitlines()] == \
        ["Merge TKT-003", "Merge TKT-002"]
    assert git(repository, "for-each-ref", "refs/heads/swarm-recheck") == ""
    checks = db.value("select checks from runs where kind = 'recheck'")
    assert "TKT-002: test -e a" in checks and "TKT-003: test -e b" in checks


def test_a_build_without_checks_merges_at_once(db: Database, several: Config) -> None:
    session = build(db, several, {"name": "Plain", "features": [made("a"), made("b", "sleep 0.5"), made("c", "sleep 0.5")]})
    with running(db, several):
        completed(db, session)
    assert rechecks(db) == []


@pytest.mark.parametrize(("checks", "lost", "outcomes"), [
    (("test -e b", "test -e c", "test -e d", "test -e e"), set(), ["merged"]),
    (("test -e b", "test -e c && ! test -e d", "test -e d", "test -e e"), {"d"}, ["failed", "merged", "failed", "failed", "merged"]),
], ids=["all fit", "one breaks another"])
def test_those_that_wait_are_checked_together_and_in_halves_where_that_fails(
        db: Database, several: Config, tmp_path: Path, checks: tuple[str, ...], lost: set[str], outcomes: list[str]) -> None:
    go, config = tmp_path / "go", dataclasses.replace(several, slots=5, max_attempts=1)
    others = [made(name, after(str(go)), checks=(check,)) for name, check in zip("bcde", checks, strict=True)]
    session = build(db, config, {"name": "Five", "features": [made("a", checks=("test -e a",)), *others]})
    with running(db, config):
        until(lambda: merged(db, "TKT-002"))
        until(lambda: db.value("select count(*) from runs where state = 'running'") == 4)
        actions.pause_session(db, session)  # nothing new begins, a recheck neither; what runs goes on
        go.touch()
        until(waiting(db, "TKT-003", "TKT-004", "TKT-005", "TKT-006"), what="all four wait")
        assert rechecks(db) == []
        actions.resume_session(db, session)
        until(lambda: state(db, session) != "building")
    assert files(db, config, session) >= {"a", "b", "c", "d", "e"} - lost and not files(db, config, session) & lost
    assert [outcome for outcome, _ in rechecks(db)] == outcomes
    assert statuses(db, session)["TKT-005"] == ("failed" if lost else "completed")


def test_a_conflict_is_said_at_once_and_not_after_the_wait(db: Database, several: Config, tmp_path: Path) -> None:
    go = tmp_path / "go"
    there = [{"text": "it is", "check": "test -e same"}]
    session = build(db, several, {"name": "Two", "features": [
        feature("A", "echo one > same", acceptance_criteria=there),
        feature("B", f"test -e same || ({after(str(go))})", "test -e same || echo two > same", acceptance_criteria=there)]})
    with running(db, several):
        until(lambda: merged(db, "TKT-002"))
        go.touch()
        until(lambda: db.value("select 1 from runs where ticket_id = 'TKT-003' and outcome = 'conflict'"))
        assert rechecks(db) == []
        until(lambda: state(db, session) != "building")


def test_a_ticket_that_waits_to_be_merged_can_be_cancelled_and_the_rest_lands(db: Database, several: Config, tmp_path: Path) -> None:
    go = tmp_path / "go"
    others = [made(name, after(str(go)), checks=(f"test -e {name} && sleep 1",)) for name in "bc"]
    session = build(db, several, {"name": "Three", "features": [made("a", checks=("test -e a",)), *others]})
    with running(db, several):
        until(lambda: merged(db, "TKT-002"))
        actions.pause_session(db, session)
        go.touch()
        until(waiting(db, "TKT-003", "TKT-004"))
        actions.resume_session(db, session)
        until(lambda: db.value("select 1 from runs where kind = 'recheck' and state = 'running'"), what="both are checked")
        actions.cancel(db, "default", "TKT-003")
        completed(db, session)
    assert statuses(db, session)["TKT-003"] == "cancelled" and "b" not in files(db, several, session) and "c" in files(db, several, session)
    assert [outcome for outcome, _ in rechecks(db)] == ["stale", "merged"]


def test_a_run_that_ended_before_its_engine_had_said_that_it_began_waits_and_lands_like_others(db: Database, several: Config, tmp_path: Path) -> None:
    go = tmp_path / "go"
    session = start_two(db, several, go)
    with running(db, several):
        until(lambda: merged(db, "TKT-002"))
        with db.transaction():  # as an engine leaves it that dies between the launch and its record
            db.execute("update tickets set status = 'claimed' where id = 'TKT-003'")
        go.touch()
        completed(db, session)
    assert [outcome for outcome, _ in rechecks(db)] == ["merged"]


def test_a_waiting_ticket_holds_no_slot(db: Database, several: Config, tmp_path: Path) -> None:
    config = dataclasses.replace(several, slots=2)
    go = tmp_path / "go"
    session = start_two(db, config, go)
    with running(db, config) as engine:
        until(lambda: merged(db, "TKT-002"))
        actions.pause_session(db, session)
        go.touch()
        until(waiting(db, "TKT-003"))
        assert engine.busy_slots() == 0 and not claims.is_paused(db)
        assert drain(db, 0.05) == 0, "nothing runs: whoever shuts down need not wait for a merge"
        claims.set_paused(db, False)
        actions.resume_session(db, session)
        completed(db, session)
