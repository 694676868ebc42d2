"""A run that does not end by itself (a limit, a person's stop, a shutdown) leaves its work to the next attempt: by the real runner, in real sandboxes."""
import dataclasses
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import HANG, build, git, require, state, statuses, until, within
from hogs import HOLD
from real_engine import completed, ended, feature, integration, running
from runner_bench import Bench, log_of
from sandbox_bench import sleeping

from engine.config import Config
from engine.host.processes import members
from engine.jobs import Result
from engine.store.db import Database
from engine.tickets import actions

COMMITTED = "echo one > committed.txt; git add -A; git commit -qm one; echo two > left.txt\n"
SILENT = "The run wrote nothing for 1 seconds, so it was stopped."
LIMITS: dict[str, tuple[str, dict[str, Any], str]] = {
    "time": ("while :; do echo on; sleep 0.1; done", {"run_seconds": 2.0}, "The run took longer than 2 seconds, so it was stopped."),
    "silence": ("sleep 1000", {"stall_seconds": 1.0}, SILENT),
    "log": ("yes on", {}, "The run wrote more than 2 MB of log, so it was stopped."),
    "memory": ("\n".join([HOLD] * 10) + "\nsleep 1000", {"memory_mb": 256}, "The run used more than 256 MB of memory, so it was stopped."),
    "processes": ("i=0; while [ $i -lt 400 ]; do sleep 1000 & i=$((i+1)); done; sleep 1000", {}, "The run had more than 256 processes, so it was stopped."),
    "a fork bomb": ("bomb() { bomb | bomb & }; bomb; sleep 1000", {}, "The run had more than 256 processes, so it was stopped."),
    "outputs": ('i=0; while :; do : > "$SWARM_OUT/$i"; i=$((i+1)); done', {},
                "The run put more than 1000 files or 512 MB into its outputs, so it was stopped."),
    "an agent that stays": ("trap '' TERM; while :; do echo on; sleep 0.1; done", {"run_seconds": 2.0},
                            "The run took longer than 2 seconds, so it was stopped."),
    "one that left its session": ("(trap '' TERM; setsid env -i sleep 1000 &) ; sleep 1000", {"stall_seconds": 1.0}, SILENT),
    "stopped processes": ("kill -STOP $PPID; kill -STOP $$", {"stall_seconds": 1.0}, SILENT),
    "git in the middle": ("touch .git/index.lock; sleep 1000", {"stall_seconds": 1.0}, SILENT),
}


@pytest.fixture(params=["bubblewrap", "process"])
def bench(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Bench]:
    if request.param == "bubblewrap":
        require("bwrap")
    bench = Bench(request.param, tmp_path).prepared()
    yield bench
    for runner in bench.runs:
        runner.kill()
        runner.wait()


@pytest.fixture(params=["bubblewrap", "process"])
def real(request: pytest.FixtureRequest, config: Config) -> Config:
    if request.param == "bubblewrap":
        require("bwrap")
    return dataclasses.replace(config, runtime=request.param, slots=2, synchronous="NORMAL", poll_seconds=0.5)


@pytest.mark.parametrize("limit", LIMITS)
def test_each_limit_leaves_the_work_so_far(bench: Bench, limit: str) -> None:
    script, limits, reason = LIMITS[limit]
    result, folder = bench.run(COMMITTED + script, **limits)
    assert (result.outcome, result.failure, result.reason, result.stopped) == ("failed", "agent", reason, True)
    clone = bench.take(folder)
    assert git(clone, "show", f"{result.tip}:committed.txt", f"{result.tip}:left.txt") == "one\ntwo\n"
    assert sleeping("1000") == []


def test_what_was_committed_is_left_where_the_work_tree_is_full(bench: Bench) -> None:
    result, folder = bench.run("echo one > committed.txt; git add -A; git commit -qm one\ncat /dev/zero > big; sleep 1000")
    assert result.reason == "The work tree is full (64 MB)." or "wrote a file of more than 64 MB" in (result.reason or "")
    assert git(bench.take(folder), "show", f"{result.tip}:committed.txt") == "one\n"


def test_without_work_there_is_nothing(bench: Bench) -> None:
    result, folder = bench.run("sleep 1000", stall_seconds=1)
    assert (result.tip, result.stopped, (folder / "out" / "out.bundle").exists()) == (None, True, False)


def test_a_commit_phase_that_does_not_end_is_bounded(bench: Bench) -> None:
    plant = ("printf '#!/bin/sh\\nexec sleep 1000\\n' > \"$HOME/slow\"; chmod +x \"$HOME/slow\"; git config filter.x.clean \"$HOME/slow\"\n"
             "echo '* filter=x' > .gitattributes\n")
    with within(60):
        result, folder = bench.run(plant + "echo x > x; sleep 1000", stall_seconds=1)
    assert (result.reason, result.tip) == ("The run wrote nothing for 1 seconds, so it was stopped.", None)
    assert "The work so far could not be kept." in log_of(folder) and sleeping("1000") == []


def test_sigterm_ends_the_agent_and_its_work_is_kept(bench: Bench) -> None:
    job = bench.job(COMMITTED + "(setsid env -i sleep 1000 &)\necho up\nsleep 1000")
    folder, runner = bench.start(job)
    until(lambda: (folder / "log").exists() and "\nup\n" in log_of(folder), what="the agent's first line")
    runner.send_signal(signal.SIGTERM)
    runner.wait(HANG)
    result = Result.read(folder)
    assert result is not None and (result.outcome, result.failure, result.reason) == ("failed", "transient", "The run was stopped before it was done.")
    assert git(bench.take(folder), "show", f"{result.tip}:committed.txt", f"{result.tip}:left.txt") == "one\ntwo\n"
    assert sleeping("1000") == [] and list(members(job.run, folder)) == []


def test_a_cancel_in_the_middle_of_that_ends_it_at_once(bench: Bench) -> None:
    job = bench.job(COMMITTED + "trap 'echo asked' TERM\necho up\nwhile :; do sleep 0.1 || :; done")
    folder, runner = bench.start(job)
    until(lambda: (folder / "log").exists() and "\nup\n" in log_of(folder), what="the agent's first line")
    runner.send_signal(signal.SIGTERM)
    until(lambda: "asked" in log_of(folder), what="the agent was asked")
    with within(2.0):
        runner.send_signal(signal.SIGINT)
        runner.wait(HANG)
    result = Result.read(folder)
    assert result is not None and (result.outcome, result.tip) == ("failed", None)
    assert list(members(job.run, folder)) == []


STEPS = ("if [ -e two.txt ]; then cat one.txt two.txt > done.txt; exit 0; fi\n"
         "echo one > one.txt; git add -A; git commit -qm one; echo two > two.txt\n")


def test_the_next_attempt_begins_with_the_work_of_one_that_ran_out_of_time(db: Database, real: Config) -> None:
    session = build(db, dataclasses.replace(real, run_seconds=3.0), {"name": "Time", "features": [feature("F", STEPS + "sleep 1000")]})
    with running(db, dataclasses.replace(real, run_seconds=3.0)):
        completed(db, session)
    repository, branch = integration(db, real, session)
    assert git(repository, "show", f"{branch}:done.txt") == "one\ntwo\n"
    rows = [tuple(row) for row in db.all("select outcome, reason from runs where ticket_id = 'TKT-002' order by seq")]
    assert rows == [("failed", "The run took longer than 3 seconds, so it was stopped. Its work so far is kept."), ("merged", None)]
    assert db.value("select count(*) from runs where ticket_id = 'TKT-002' and outcome = 'failed'") == 1


@pytest.mark.parametrize("early", [False, True], ids=["when the run has ended", "at once"])
def test_a_run_that_a_person_stops_leaves_its_work_to_the_retry(db: Database, real: Config, early: bool) -> None:
    slow = "trap 'sleep 0.5; exit 1' TERM; echo up; while :; do sleep 0.1 || :; done"
    session = build(db, real, {"name": "Stop", "features": [feature("F", STEPS + slow)]})
    with running(db, real):
        run = until(lambda: db.one("select id from runs where ticket_id = 'TKT-002'"))["id"]
        log = real.data / "runs" / run / "log"
        until(lambda: log.exists() and b"\nup\n" in log.read_bytes(), what="the agent has begun")
        actions.stop(db, "default", "TKT-002")
        assert statuses(db, session)["TKT-002"] == "failed"
        if not early:
            until(lambda: db.value("select 1 from runs where id = ? and ended_at is not null", (run,)))
            assert statuses(db, session)["TKT-002"] == "failed"
        actions.retry(db, "default", "TKT-002")
        completed(db, session)
    repository, branch = integration(db, real, session)
    assert git(repository, "show", f"{branch}:done.txt") == "one\ntwo\n"
    assert [tuple(row) for row in db.all("select outcome, reason from runs where ticket_id = 'TKT-002' order by seq")] == [
        ("cancelled", "It was stopped by hand. Its work so far is kept."), ("merged", None)]
    assert db.value("select failures from tickets where id = 'TKT-002'") == 0


def test_a_cancel_after_a_stop_ends_the_run_within_two_seconds_and_takes_nothing(db: Database, real: Config) -> None:
    session = build(db, real, {"name": "Both", "features": [feature("F", COMMITTED, "trap 'echo asked' TERM; echo up; while :; do sleep 0.1 || :; done")]})
    with running(db, real):
        run = until(lambda: db.one("select id from runs where ticket_id = 'TKT-002'"))["id"]
        folder = real.data / "runs" / run
        until(lambda: (folder / "log").exists() and b"\nup\n" in (folder / "log").read_bytes(), what="the agent has begun")
        actions.stop(db, "default", "TKT-002")
        until(lambda: b"asked" in (folder / "log").read_bytes(), what="the agent was asked to end")
        with within(2.0):
            actions.cancel(db, "default", "TKT-002")
            until(lambda: db.value("select outcome from runs where id = ?", (run,)) == "cancelled")
        assert list(members(run, folder)) == []
    repository, _ = integration(db, real, session)
    assert "tkt-002" not in git(repository, "for-each-ref")


def test_a_run_whose_runner_gets_sigterm_goes_on_later_and_no_attempt_is_used_up(db: Database, real: Config) -> None:
    session = build(db, real, {"name": "Down", "features": [feature("F", STEPS + "echo up; sleep 1000")]})
    with running(db, real):
        run = until(lambda: db.one("select id from runs where ticket_id = 'TKT-002'"))["id"]
        log = real.data / "runs" / run / "log"
        until(lambda: log.exists() and b"\nup\n" in log.read_bytes(), what="the agent has begun")
        import json
        os.kill(json.loads((real.data / "runs" / run / "started.json").read_text())["pid"], signal.SIGTERM)
        completed(db, session)
    assert [tuple(row) for row in db.all("select outcome, reason from runs where ticket_id = 'TKT-002' order by seq")] == [
        ("transient", "The run was stopped before it was done. Its work so far is kept."), ("merged", None)]
    assert db.value("select failures from tickets where id = 'TKT-002'") == 0


BUSY = {
    "files that are made": "for i in 1 2 3 4 5 6; do echo $i > f$i; sleep 0.5; done",
    "one file that is written again and again": "for i in 1 2 3 4 5 6; do date > f; sleep 0.5; done",
    "files outside the work tree": 'for i in 1 2 3 4 5 6; do echo $i > "$HOME/f"; sleep 0.5; done; touch done',
    "a program that computes": 'timeout 3 sh -c "while :; do :; done" || touch done',
}


@pytest.mark.parametrize("what", BUSY)
def test_a_quiet_run_that_works_is_not_stalled(bench: Bench, what: str) -> None:
    result, _ = bench.run(BUSY[what], stall_seconds=1.5)
    assert (result.outcome, result.reason) == ("ok", None)


@pytest.mark.parametrize("what", ["sleep 1000", "until [ -e never ]; do sleep 0.5; done", "sleep 1000 & wait"])
def test_a_run_that_only_waits_is_stalled(bench: Bench, what: str) -> None:
    result, _ = bench.run(what, stall_seconds=1.5)
    assert result.reason == "The run wrote nothing for 1.5 seconds, so it was stopped."


def test_a_stopped_run_that_was_refused_says_both(db: Database, real: Config) -> None:
    real = dataclasses.replace(real, run_seconds=2.0, max_attempts=1)
    session = build(db, real, {"name": "Both", "features": [feature("F", "ln -s /etc/passwd out; sleep 1000")]})
    with running(db, real):
        run = ended(db, "TKT-002")
        until(lambda: state(db, session) == "failed")
    assert run["reason"].startswith("The run took longer than 2 seconds, so it was stopped. out is a symbolic link that ")
