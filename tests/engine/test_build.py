"""Whole builds with real runs: a real engine thread, real git, a real sandbox."""
import dataclasses
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from conftest import build, by_hand, git, require, state, statuses, until, within
from real_engine import completed, ended, feature, integration, running

from engine.commands import run_ticket
from engine.config import Config
from engine.host.processes import members
from engine.store.db import Database
from engine.tickets import actions, answers, claims
from engine.tickets.rows import RunRow
from hitl.card import sample


@pytest.fixture(params=["bubblewrap", "process"])
def real(request: pytest.FixtureRequest, config: Config) -> Config:
    if request.param == "bubblewrap":
        require("bwrap")
    return dataclasses.replace(config, runtime=request.param, slots=2, synchronous="NORMAL", poll_seconds=0.5)


def test_the_sample_project_is_built_checked_and_merged(db: Database, real: Config, tmp_path: Path) -> None:
    session = build(db, real, sample.card())
    with running(db, real):
        completed(db, session)
    repository, branch = integration(db, real, session)
    git(tmp_path, "clone", "-q", "-b", branch, str(repository), "clone")
    subprocess.run(["python3", "-m", "unittest", "discover"], cwd=tmp_path / "clone", check=True, capture_output=True)
    merges = git(repository, "log", "--merges", "--format=%s", branch).split("\n")[:-1]
    assert sorted(line.split(":")[0] for line in merges) == [f"Merge {ticket}" for ticket in statuses(db, session) if ticket != "TKT-001"]
    assert git(repository, "for-each-ref", "refs/swarm/runs") == "", "what was merged needs no ref of its run"
    checks = db.value("select checks from runs where ticket_id = 'TKT-003'")
    assert '"passed": true' in checks


def test_a_ticket_without_commands_has_its_brief_committed(db: Database, real: Config) -> None:
    session = build(db, real, {"name": "Test", "features": [{"title": "F1", "description": "Feature 1"}]})
    with running(db, real):
        completed(db, session)
    repository, branch = integration(db, real, session)
    assert "Feature 1" in git(repository, "show", f"{branch}:docs/tickets/TKT-002.md")
    assert "No coding agent is configured" in git(repository, "log", "--format=%B", branch)


def test_a_whole_without_a_check_needs_no_process_and_is_recorded_as_what_was_merged(db: Database, real: Config) -> None:
    without = build(db, real, {"name": "Without", "features": [feature("One", "echo one > one.txt")]})
    checked = build(db, real, {"name": "Checked", "features": [feature("One", "echo one > one.txt")], "checks": ["test -e one.txt"]})
    with running(db, real):
        for session in (without, checked):
            completed(db, session)
    for session, process in ((without, False), (checked, True)):
        repository, branch = integration(db, real, session)
        head = git(repository, "rev-parse", branch).strip()
        run = db.the("select * from runs where session_id = ? and kind = 'integrate'", (session,), RunRow)
        assert (run["outcome"], run["base_sha"], run["tip_sha"]) == ("integrated", head, head)
        assert db.value("select merged_sha from tickets where id = ?", (run["ticket_id"],)) == head
        assert (real.data / "runs" / run["id"] / "started.json").exists() == process


def test_a_whole_without_a_check_is_not_complete_without_its_branch(db: Database, real: Config) -> None:
    session = build(db, real, {"name": "Gone", "features": [feature("One", "echo one > one.txt")]})
    with running(db, real):
        completed(db, session)
        repository, branch = integration(db, real, session)
        git(repository, "update-ref", "-d", f"refs/heads/{branch}")
        by_hand(real, "update tickets set status = 'ready' where id = 'TKT-001'")
        until(lambda: db.value("select count(*) from runs where kind = 'integrate' and ended_at is not null") == 2)
    assert f"The integration branch {branch} is no longer in {repository}." in db.value("select reason from runs order by seq desc limit 1")
    assert statuses(db, session)["TKT-001"] != "completed"


def test_a_branch_of_an_existing_repository_is_built_upon_and_its_own_history_is_untouched(db: Database, real: Config, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    git(tmp_path, "init", "-q", "-b", "main", str(origin))
    stream = "".join(f"commit refs/heads/main\nmark :{n}\ncommitter T <t@localhost> {1700000000 + n} +0000\ndata 2\nc{n % 10}\n"
                     + (f"from :{n - 1}\n" if n > 1 else "") + f"M 100644 inline file{n % 50}.txt\ndata {len(str(n))}\n{n}\n" for n in range(1, 201))
    git(origin, "fast-import", "--quiet", input=stream)
    git(origin, "branch", "other", "main~5")
    git(origin, "branch", "release", "main~50")
    before = git(origin, "for-each-ref").splitlines()
    real = dataclasses.replace(real, repository_roots=(tmp_path,))
    session = build(db, real, {"name": "Upon", "repository": str(origin), "base_branch": "release", "features": [feature("New", "echo new > new.txt")]})
    with running(db, real):
        completed(db, session)
    repository, branch = integration(db, real, session)
    after = git(origin, "for-each-ref").splitlines()
    assert [line for line in after if "refs/heads/swarm/" not in line] == before and len(after) == len(before) + 1, "the finished branch, nothing else"
    assert git(origin, "status", "--porcelain", "--untracked-files=all").count("new.txt") == 0
    assert git(repository, "rev-list", "--count", f"{git(origin, 'rev-parse', 'release').strip()}..{branch}").strip() == "2"
    assert git(repository, "show", f"{branch}:new.txt") == "new\n"


def test_a_repository_that_cannot_be_had_fails_the_build_with_a_clear_reason(db: Database, real: Config, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main", "one")
    git(tmp_path / "one", "commit", "-q", "--allow-empty", "-m", "x")
    real = dataclasses.replace(real, repository_roots=(tmp_path,))
    session = build(db, real, {"name": "None", "repository": str(tmp_path / "one"), "base_branch": "gone", "features": [{"title": "F"}]})
    with running(db, real):
        until(lambda: state(db, session) == "failed")
    assert db.value("select kind from requests where ticket_id = 'TKT-001' and state = 'open'") == "failed"
    assert "The branch gone is not there. It has: main." in db.value("select reason from runs")


def test_nothing_that_an_agent_plants_in_its_work_tree_is_executed_on_the_host(db: Database, real: Config, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    touch = f"touch {marker}"
    hook = f"#!/bin/sh\\nif [ -z \"$SWARM_RUN\" ]; then {touch}; fi\\n"
    plant = ["for h in post-checkout post-merge post-commit pre-push update reference-transaction post-index-change; do "
             f"printf '{hook}' > .git/hooks/$h; chmod +x .git/hooks/$h; done",
             f"git config core.fsmonitor 'test -n \"$SWARM_RUN\" || {touch}'",
             f"git config filter.evil.clean 'sh -c \"test -n \\\"$SWARM_RUN\\\" || {touch}; cat\"'",
             f"git config core.sshCommand 'test -n \"$SWARM_RUN\" || {touch}'",
             "git config url.ext::sh.insteadOf https://", "printf '* filter=evil\\n' > .gitattributes", "echo text > file.txt"]
    session = build(db, real, {"name": "Plant", "features": [feature("P", *plant, acceptance_criteria=[{"text": "t", "check": "test -f file.txt"}])]})
    with running(db, real):
        completed(db, session)
    assert not marker.exists()


def test_a_check_that_fails_three_times_fails_the_ticket_and_keeps_the_branch(db: Database, real: Config) -> None:
    session = build(db, real, {"name": "T", "features": [feature("F", "echo x > x.txt", acceptance_criteria=[{"text": "y is there", "check": "ls y.txt"}])]})
    with running(db, real):
        until(lambda: state(db, session) == "failed")
    assert db.value("select failures from tickets where id = 'TKT-002'") == 3
    assert "ls y.txt" in db.value("select reason from tickets where id = 'TKT-002'")
    repository, _ = integration(db, real, session)
    assert git(repository, "for-each-ref", "--format=%(refname)", "refs/heads/swarm/*/tkt-002*") != ""


def test_two_features_that_change_the_same_line_are_both_merged_in_the_end(db: Database, real: Config) -> None:
    slow = feature("Slow", "printf 'base\\n' > same.txt", "sleep 1", "cat same.txt > seen.txt", "printf 'slow\\n' >> same.txt")
    quick = feature("Quick", "printf 'quick\\n' > same.txt")
    session = build(db, real, {"name": "Conflict", "features": [slow, quick]})
    with running(db, real):
        completed(db, session)
    outcomes = [row[0] for row in db.all("select outcome from runs where ticket_id = 'TKT-002' order by seq")]
    assert outcomes == ["conflict", "merged"]
    assert "same.txt" in db.value("select reason from runs where ticket_id = 'TKT-002' and outcome = 'conflict'")


def test_a_question_is_asked_and_answered(db: Database, real: Config) -> None:
    commands = ["if grep -q '^A: blue' \"$SWARM_IN/prompt.md\"; then echo blue > colour.txt; else swarm-ask 'Which colour?' --option red --option blue; fi"]
    session = build(db, real, {"name": "Ask", "features": [feature("Colour", *commands)]})
    with running(db, real) as engine:
        until(lambda: statuses(db, session)["TKT-002"] == "needs_input")
        request = db.one("select body, options from requests where state = 'open'")
        assert request is not None and tuple(request) == ("Which colour?", '["red", "blue"]') and engine.busy_slots() == 0
        answers.answer(db, "default", "TKT-002", "blue")
        completed(db, session)
    repository, branch = integration(db, real, session)
    assert git(repository, "show", f"{branch}:colour.txt") == "blue\n"


def test_cancel_ends_a_run_within_two_seconds_and_leaves_no_process(db: Database, real: Config) -> None:
    build(db, real, {"name": "Long", "features": [feature("Sleep", "echo begun", "(setsid sleep 300 &)", "sleep 300")]})
    with running(db, real):
        run = until(lambda: db.one("select id from runs where ticket_id = 'TKT-002'"))["id"]
        folder = real.data / "runs" / run
        until(lambda: (folder / "log").exists() and b"begun" in (folder / "log").read_bytes(), what="the agent has begun")
        with within(2.0):
            actions.cancel(db, "default", "TKT-002")
            until(lambda: db.value("select outcome from runs where id = ?", (run,)) == "cancelled")
        assert list(members(run, folder)) == []


@pytest.mark.parametrize("limit", ["run_seconds", "stall_seconds", "log_mb"])
def test_a_limit_that_is_passed_ends_the_run_with_its_name(db: Database, real: Config, limit: str) -> None:
    real = dataclasses.replace(real, max_attempts=1, **{limit: 1 if limit == "log_mb" else 2.0})
    commands = {"run_seconds": "while true; do echo on; sleep 0.2; done", "stall_seconds": "sleep 300", "log_mb": "yes | head -c 50000000"}
    build(db, real, {"name": "L", "features": [feature("Limit", commands[limit])]})
    with running(db, real):
        run = ended(db, "TKT-002")
    assert run["outcome"] == "failed" and {"run_seconds": "longer than", "stall_seconds": "wrote nothing", "log_mb": "log"}[limit] in run["reason"]
    assert (real.data / "runs" / run["id"] / "log").stat().st_size < 1_100_000
    assert list(members(run["id"], real.data / "runs" / run["id"])) == []


def test_an_engine_adopts_the_runs_of_one_that_is_gone_and_none_is_done_twice(db: Database, real: Config) -> None:
    session = build(db, real, {"name": "Adopt", "features": [feature("Long", "echo begun", "sleep 2", "echo done > done.txt")]})
    with running(db, real):
        run = until(lambda: db.one("select id from runs where ticket_id = 'TKT-002' and state = 'running'"))["id"]
    assert db.value("select state from runs where id = ?", (run,)) == "running", "stopping the engine leaves the run alone"
    with running(db, real):
        completed(db, session)
    assert [tuple(row) for row in db.all("select id, outcome from runs where ticket_id = 'TKT-002'")] == [(run, "merged")]


def test_a_run_whose_process_was_killed_is_run_again_without_using_up_an_attempt(db: Database, real: Config) -> None:
    session = build(db, real, {"name": "Lost", "features": [feature("F", "test -e \"$SWARM_IN/../in/x\" || true", "sleep 1", "echo x > x.txt")]})
    with running(db, real):
        run = until(lambda: db.one("select id from runs where ticket_id = 'TKT-002' and state = 'running'"))["id"]
        started = real.data / "runs" / run / "started.json"
        until(started.exists)
        import json
        os.kill(json.loads(started.read_text())["pid"], signal.SIGKILL)
        completed(db, session)
    assert [row[0] for row in db.all("select outcome from runs where ticket_id = 'TKT-002' order by seq")] == ["transient", "merged"]
    assert db.value("select failures from tickets where id = 'TKT-002'") == 0


def test_a_ticket_set_to_ready_by_hand_runs_again_and_stays_merged_once(db: Database, real: Config) -> None:
    session = build(db, real, {"name": "Again", "features": [feature("F", "echo x > x.txt")]})
    with running(db, real):
        completed(db, session)
        by_hand(real, "update tickets set status = 'ready' where id = 'TKT-002'")
        until(lambda: db.value("select run_no from tickets where id = 'TKT-002'") == 2)
        until(lambda: statuses(db, session)["TKT-002"] == "completed" and state(db, session) == "completed")
    repository, branch = integration(db, real, session)
    assert git(repository, "log", "--merges", "--format=%s", branch).count("Merge TKT-002") == 1


def test_run_ticket_runs_one_ticket_in_the_foreground(db: Database, real: Config, capsys: pytest.CaptureFixture[str]) -> None:
    session = build(db, real, {"name": "Cli", "features": [feature("A", "echo hello from a", "echo a > a.txt"), feature("B", "exit 3", depends_on=["A"])]})
    assert run_ticket.run_ticket(db, real, "TKT-001") == 0
    with pytest.raises(run_ticket.Refused, match="waits for TKT-002"):
        run_ticket.run_ticket(db, real, "TKT-003")
    assert run_ticket.run_ticket(db, real, "TKT-002") == 0
    assert "hello from a" in capsys.readouterr().out
    with pytest.raises(run_ticket.Refused, match="is completed"):
        run_ticket.run_ticket(db, real, "TKT-002")
    assert run_ticket.run_ticket(db, real, "TKT-003") == 1
    assert statuses(db, session)["TKT-003"] == "ready"


def test_run_ticket_never_runs_what_the_engine_runs_and_the_engine_leaves_its_run_alone(db: Database, real: Config) -> None:
    session = build(db, real, {"name": "Both", "features": [feature("A", "echo begun", "sleep 1.5", "echo a > a.txt")]})
    assert run_ticket.run_ticket(db, real, "TKT-001") == 0
    codes: list[int] = []

    def work() -> None:
        codes.append(run_ticket.run_ticket(db, real, "TKT-002"))
        db.close()
    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: db.value("select state from runs where ticket_id = 'TKT-002'") == "running")
    with running(db, real):
        with pytest.raises(run_ticket.Refused, match="already running"):
            run_ticket.run_ticket(db, real, "TKT-002")
        thread.join()
        completed(db, session)
    assert codes == [0] and db.value("select count(*) from runs where ticket_id = 'TKT-002'") == 1
    claims.set_paused(db, False)
