"""A run that does not end by itself (a limit, a person's stop, a shutdown) leaves its work to the next attempt: by the real runner, in real sandboxes."""
import contextlib
import dataclasses
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import runner_bench
import sandbox_bench
from conftest import HANG, build, git, require, state, statuses, until
from hogs import HOLD
from real_engine import completed, ended, feature, integration, running
from runner_bench import Bench, bench_of, log_of
from sandbox_bench import sleeping

from engine.config import Config
from engine.host.processes import members
from engine.jobs import Result
from engine.run import ending
from engine.run.limits import LimitWatch
from engine.run.output import Log, Output
from engine.store.db import Database
from engine.tickets import actions

SLEEP = f"sleep {10_000_000 + os.getpid()}"  # other tests on this machine sleep, too
COMMITTED = "echo one > committed.txt; git add -A; git commit -qm one; echo two > left.txt\n"
LOG = "The run wrote more than 2 MB of log, so it was stopped."
LIMITS: dict[str, tuple[str, dict[str, Any], str]] = {
    "time": ("while :; do echo on; sleep 0.1; done", {"run_seconds": 5.0}, "The run took longer than 5 seconds, so it was stopped."),
    "silence": (SLEEP, {"stall_seconds": 3.0}, "The run wrote nothing for 3 seconds, so it was stopped."),
    "log": ("yes on", {}, LOG),
    "memory": ("\n".join([HOLD] * 10) + f"\n{SLEEP}", {"memory_mb": 256}, "The run used more than 256 MB of memory, so it was stopped."),
    "processes": (f"i=0; while [ $i -lt 400 ]; do {SLEEP} & i=$((i+1)); done; {SLEEP}", {}, "The run had more than 256 processes, so it was stopped."),
    "a fork bomb": ("bomb() { bomb | bomb & }; bomb; " + SLEEP, {}, "The run had more than 256 processes, so it was stopped."),
    "outputs": ('i=0; while :; do : > "$SWARM_OUT/$i"; i=$((i+1)); done', {},
                "The run put more than 1000 files or 512 MB into its outputs, so it was stopped."),
    "an agent that stays": ("trap '' TERM; yes on", {}, LOG),
    "one that left its session": (f"(trap '' TERM; setsid env -i {SLEEP} &); yes on", {}, LOG),
    "stopped processes": ("(yes on &); kill -STOP $PPID; kill -STOP $$", {}, LOG),
    "git in the middle": ('touch .git/index.lock; mkfifo "$SWARM_OUT/out.part" "$SWARM_OUT/out.bundle"; yes on', {}, LOG),
}
BOTH = ("log", "a fork bomb", "one that left its session", "stopped processes")  # what the runtimes do differently


@pytest.fixture(params=["bubblewrap", "process"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    yield from bench_of(request.param, tmp_path)


@pytest.fixture(params=["bubblewrap", "process"])
def real(request: pytest.FixtureRequest, config: Config) -> Config:
    if request.param == "bubblewrap":
        require("bwrap")
    return dataclasses.replace(config, runtime=request.param, slots=2, synchronous="NORMAL", poll_seconds=0.5)


@pytest.mark.parametrize(("bench", "limit"), [*(("bubblewrap", limit) for limit in LIMITS), *(("process", limit) for limit in BOTH)], indirect=["bench"])
def test_each_limit_leaves_the_work_so_far(bench: Bench, limit: str) -> None:
    script, limits, reason = LIMITS[limit]
    result, folder = bench.run(COMMITTED + script, **limits)
    assert (result.outcome, result.failure, result.reason, result.stopped) == ("failed", "agent", reason, True)
    assert result.tip, log_of(folder)
    clone = bench.take(folder)
    assert git(clone, "show", f"{result.tip}:committed.txt", f"{result.tip}:left.txt") == "one\ntwo\n"
    assert sleeping(SLEEP.split()[1]) == []


def test_what_was_committed_is_left_where_the_work_tree_is_full(bench: Bench) -> None:
    result, folder = bench.run(f"echo one > committed.txt; git add -A; git commit -qm one\ncat /dev/zero > big; {SLEEP}")
    assert result.reason == "The work tree is full (64 MB)." or "wrote a file of more than 64 MB" in (result.reason or "")
    assert git(bench.take(folder), "show", f"{result.tip}:committed.txt") == "one\n"


@pytest.mark.parametrize("bench", ["bubblewrap"], indirect=True)
def test_foreign_commits_are_kept_aside_where_nothing_can_be_rewritten(bench: Bench) -> None:
    result, folder = bench.run("echo one > committed.txt; git add -A; git commit -qm one --author='Some One <one@example.org>'\ncat /dev/zero > big")
    assert result.tip is None and (folder / "out" / "kept.bundle").exists(), log_of(folder)


def test_without_work_there_is_nothing(bench: Bench) -> None:
    result, folder = bench.run("yes on")
    assert (result.tip, result.stopped, (folder / "out" / "out.bundle").exists()) == (None, True, False)


def test_a_commit_phase_that_does_not_end_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ending.COMMIT_SECONDS == 30
    monkeypatch.setattr(ending, "COMMIT_SECONDS", 0.5)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)  # this process is no runner
    sandbox = sandbox_bench.Bench("process", tmp_path)
    handle = sandbox.start(f"trap : TERM; echo up; {SLEEP}; {SLEEP}")
    sandbox.hear("up")
    pipe, end = os.pipe()
    os.set_blocking(pipe, False)
    try:
        ending.save_work(LimitWatch(sandbox.runtime, handle, sandbox.outputs, runner_bench.LIMITS, []), pipe, Output(Log(tmp_path / "run.log", 1), b"none"))
        assert (tmp_path / "run.log").read_text() == "The work so far could not be kept. That took longer than 0.5 seconds.\n"
        assert sandbox.runtime.poll(handle) is None, "the caller stops it"
    finally:
        sandbox.runtime.stop(handle)
        os.close(pipe)
        os.close(end)


def test_sigterm_ends_the_agent_and_its_work_is_kept(bench: Bench) -> None:
    job = bench.job(COMMITTED + f"(setsid env -i {SLEEP} &)\necho up\n{SLEEP}")
    folder, runner = bench.start(job)
    until(lambda: (folder / "log").exists() and "\nup\n" in log_of(folder), what="the agent's first line")
    runner.send_signal(signal.SIGTERM)
    runner.wait(HANG)
    result = Result.read(folder)
    assert result is not None and (result.outcome, result.failure, result.reason) == ("failed", "transient", "The run was stopped before it was done.")
    assert git(bench.take(folder), "show", f"{result.tip}:committed.txt", f"{result.tip}:left.txt") == "one\ntwo\n"
    assert sleeping(SLEEP.split()[1]) == [] and list(members(job.run, folder)) == []


def test_a_cancel_in_the_middle_of_that_ends_it_at_once(bench: Bench) -> None:
    job = bench.job(COMMITTED + "trap 'echo asked' TERM\necho up\nwhile :; do sleep 0.1 || :; done")
    folder, runner = bench.start(job)
    until(lambda: (folder / "log").exists() and "\nup\n" in log_of(folder), what="the agent's first line")
    runner.send_signal(signal.SIGTERM)
    until(lambda: "asked" in log_of(folder), what="the agent was asked")
    runner.send_signal(signal.SIGINT)
    runner.wait(HANG)
    result = Result.read(folder)
    assert result is not None and (result.outcome, result.tip) == ("failed", None), "it did not wait until the agent had its 5 seconds"
    assert list(members(job.run, folder)) == []


STEPS = ("if [ -e two.txt ]; then cat one.txt two.txt > done.txt; exit 0; fi\n"
         "echo one > one.txt; git add -A; git commit -qm one; echo two > two.txt\n")


def test_the_next_attempt_begins_with_the_work_of_one_that_ran_out_of_time(db: Database, real: Config) -> None:
    session = build(db, dataclasses.replace(real, run_seconds=5.0), {"name": "Time", "features": [feature("F", STEPS + SLEEP)]})
    with running(db, dataclasses.replace(real, run_seconds=5.0)):
        completed(db, session)
    repository, branch = integration(db, real, session)
    assert git(repository, "show", f"{branch}:done.txt") == "one\ntwo\n"
    rows = [tuple(row) for row in db.all("select outcome, reason from runs where ticket_id = 'TKT-002' order by seq")]
    assert rows == [("failed", "The run took longer than 5 seconds, so it was stopped. Its work so far is kept."), ("merged", None)]
    assert db.value("select count(*) from runs where ticket_id = 'TKT-002' and outcome = 'failed'") == 1


def test_a_shutdown_that_tells_every_process_keeps_the_work_too(bench: Bench) -> None:
    """As systemd does with the processes of a unit, and at the end with all that there are."""
    job = bench.job(COMMITTED + f"echo up\n{SLEEP}")
    folder, runner = bench.start(job)
    until(lambda: (folder / "log").exists() and "\nup\n" in log_of(folder), what="the agent's first line")
    for pid in sorted(members(job.run, folder), reverse=True):  # the runner last
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    runner.wait(HANG)
    result = Result.read(folder)
    assert result is not None and (result.outcome, result.failure, result.stopped) == ("failed", "transient", True), log_of(folder)
    assert git(bench.take(folder), "show", f"{result.tip}:committed.txt", f"{result.tip}:left.txt") == "one\ntwo\n"
    assert sleeping(SLEEP.split()[1]) == [] and list(members(job.run, folder)) == []


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


def test_a_cancel_after_a_stop_ends_the_run_at_once_and_takes_nothing(db: Database, real: Config) -> None:
    session = build(db, real, {"name": "Both", "features": [feature("F", COMMITTED, "trap 'echo asked' TERM; echo up; while :; do sleep 0.1 || :; done")]})
    with running(db, real):
        run = until(lambda: db.one("select id from runs where ticket_id = 'TKT-002'"))["id"]
        folder = real.data / "runs" / run
        until(lambda: (folder / "log").exists() and b"\nup\n" in (folder / "log").read_bytes(), what="the agent has begun")
        actions.stop(db, "default", "TKT-002")
        until(lambda: b"asked" in (folder / "log").read_bytes(), what="the agent was asked to end")
        actions.cancel(db, "default", "TKT-002")
        until(lambda: db.value("select outcome from runs where id = ?", (run,)) == "cancelled")
        assert list(members(run, folder)) == []
    repository, _ = integration(db, real, session)
    assert "tkt-002" not in git(repository, "for-each-ref")


def test_a_run_whose_runner_gets_sigterm_goes_on_later_and_no_attempt_is_used_up(db: Database, real: Config) -> None:
    session = build(db, real, {"name": "Down", "features": [feature("F", STEPS + f"echo up; {SLEEP}")]})
    with running(db, real):
        run = until(lambda: db.one("select id from runs where ticket_id = 'TKT-002'"))["id"]
        log = real.data / "runs" / run / "log"
        until(lambda: log.exists() and b"\nup\n" in log.read_bytes(), what="the agent has begun")
        os.kill(json.loads((real.data / "runs" / run / "started.json").read_text())["pid"], signal.SIGTERM)
        completed(db, session)
    assert [tuple(row) for row in db.all("select outcome, reason from runs where ticket_id = 'TKT-002' order by seq")] == [
        ("transient", "The run was stopped before it was done. Its work so far is kept."), ("merged", None)]
    assert db.value("select failures from tickets where id = 'TKT-002'") == 0


@pytest.mark.parametrize(("bench", "work"), [("bubblewrap", "for i in 1 2 3 4 5 6 7 8; do echo $i > f$i; sleep 1; done"),
                                             ("process", 'timeout 8 sh -c "while :; do :; done" || touch done')], indirect=["bench"])
def test_a_quiet_run_that_works_is_not_stalled(bench: Bench, work: str) -> None:
    result, _ = bench.run(work, stall_seconds=6)
    assert (result.outcome, result.reason) == ("ok", None)


@pytest.mark.parametrize("what", [SLEEP, "until [ -e never ]; do sleep 0.5; done", f"{SLEEP} & wait"], ids=["a command", "a loop", "a wait"])
def test_a_run_that_only_waits_is_stalled(bench: Bench, what: str) -> None:
    result, _ = bench.run(what, stall_seconds=3)
    assert result.reason == "The run wrote nothing for 3 seconds, so it was stopped."


def test_a_stopped_run_that_was_refused_says_both(db: Database, real: Config) -> None:
    real = dataclasses.replace(real, log_mb=1, max_attempts=1)
    session = build(db, real, {"name": "Both", "features": [feature("F", "ln -s /etc/passwd out; yes on")]})
    with running(db, real):
        run = ended(db, "TKT-002")
        until(lambda: state(db, session) == "failed")
    assert run["reason"].startswith("The run wrote more than 1 MB of log, so it was stopped. out is a symbolic link that ")
