"""Each limit of a run ends it with its name, leaves no process behind and lets the machine go on: by the real runner, in real sandboxes."""
import dataclasses
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import HANG, build, require, until
from hogs import HOLD
from real_engine import feature, running
from runner_bench import Bench

from engine.config import Config
from engine.host import cgroups
from engine.host.processes import members, sweep
from engine.loop import reap
from engine.run.output import backstop
from engine.store.db import Database
from engine.tickets import actions

ENDLESS_FILES = 'i=0; while head -c 10000000 /dev/zero > "{folder}/$i"; do i=$((i+1)); done; exit 1'

MANY = "The run had more than 256 processes, so it was stopped."
HOGS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "a fork bomb": ("bomb() { bomb | bomb & }; bomb; sleep 60", {}, {"": MANY}),
    "a fork bomb that goes away": ("i=0; while [ $i -lt 400 ]; do sleep 60 & i=$((i+1)); done; exit 0", {}, {"": MANY}),
    "a file of 20 GB": ('head -c 20000000000 /dev/zero > "$SWARM_WORK/big"', {}, {"": "The work tree is full (64 MB)."}),
    "a file of 20 GB, again and again": ('while :; do head -c 20000000000 /dev/zero > big || :; done', {}, {"": "The work tree is full (64 MB)."}),
    "a log of 1 GB": ("head -c 1000000000 /dev/zero", {}, {"": "The run wrote more than 2 MB of log, so it was stopped."}),
    "a sleep without end": ("sleep 100000", {"stall_seconds": 1.0}, {"": "The run wrote nothing for 1 seconds, so it was stopped."}),
    "a run without end": ("while :; do echo on; sleep 0.1; done", {"run_seconds": 2.0}, {"": "The run took longer than 2 seconds, so it was stopped."}),
    "10 GB of memory in 20 processes": ("\n".join([HOLD] * 20) + "\nsleep 60", {"memory_mb": 256},
                                        {"": "The run used more than 256 MB of memory, so it was stopped."}),
    "many files in the outputs": ('i=0; while :; do : > "$SWARM_OUT/$i"; i=$((i+1)); done', {},
                                  {"": "The run put more than 1000 files or 512 MB into its outputs, so it was stopped."}),
    "files nested beyond reach": ("cd \"$SWARM_OUT\"; n=$(head -c 250 /dev/zero | tr '\\0' a); i=0\n"
                                  "while [ $i -lt 20 ]; do mkdir $n; cd -P $n; i=$((i+1)); done", {},
                                  {"": "The run put more than 1000 files or 512 MB into its outputs, so it was stopped."}),
    "temporary files without end": (ENDLESS_FILES.format(folder="$TMPDIR"), {},
                                    {"bubblewrap": "/tmp is full (512 MB).", "process": "The work tree is full (64 MB)."}),
    "a home without end": (ENDLESS_FILES.format(folder="$HOME"), {},
                           {"bubblewrap": "The home folder is full (512 MB).", "process": "The work tree is full (64 MB)."}),
    "a file with holes": ("truncate -s 20G big", {}, {"": "The run wrote a file of more than 64 MB, so it was stopped."}),
}


@pytest.fixture(params=["bubblewrap", "process"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "bubblewrap":
        require("bwrap")
    bench = Bench(request.param, tmp_path).prepared()
    yield bench
    for runner in bench.runs:
        runner.kill()
        runner.wait()


@contextmanager
def healthy_host() -> Iterator[None]:
    """In the meantime, new processes can be started: one that cannot raises in its thread, which fails the test."""
    started, over = 0, threading.Event()

    def fork() -> None:
        nonlocal started
        while not over.wait(0.05):
            subprocess.run(["true"], check=True, timeout=HANG)
            started += 1
    thread = threading.Thread(target=fork)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert started


@pytest.mark.parametrize("name", HOGS)
def test_a_limit_ends_the_run_with_its_name_and_the_host_stays_healthy(bench: Bench, name: str) -> None:
    script, limits, reasons = HOGS[name]
    began = time.monotonic()
    with healthy_host():
        result, folder = bench.run(script, **limits)
    assert (result.outcome, result.failure, result.reason) == ("failed", "agent", reasons.get(bench.runtime, reasons.get("")))
    assert time.monotonic() - began < HANG
    assert cgroups.members(result.run) == [] and not (folder / "work").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide the control groups from a process")
@pytest.mark.parametrize("script, limits, reason", [
    ("i=0; while [ $i -lt 400 ]; do sleep 60 & i=$((i+1)); done; sleep 60", {}, MANY),
    ("\n".join([HOLD] * 4) + "\nsleep 60", {"memory_mb": 256}, "The run used more than 256 MB of memory, so it was stopped.")])
def test_where_no_control_groups_can_be_had_processes_and_memory_are_watched(bench: Bench, script: str, limits: dict[str, Any], reason: str) -> None:
    bench.prefix = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', "sh")
    result, _ = bench.run(script, **limits)
    assert (result.failure, result.reason) == ("agent", reason)


def test_a_limit_holds_in_a_check_too(bench: Bench) -> None:
    result, _ = bench.run("touch x", checks=("bomb() { bomb | bomb & }; bomb; sleep 60",))
    assert (result.failure, result.reason) == ("agent", MANY)


def test_memory_that_forked_processes_share_counts_once(bench: Bench) -> None:
    program = "import os, time; held = b'x' * 300_000_000; [os.fork() or (time.sleep(3), os._exit(0)) for _ in range(6)]; time.sleep(3)"
    result, _ = bench.run(f'/usr/bin/python3 -c "{program}"', memory_mb=1000)
    assert (result.outcome, result.reason) == ("no_change", None)


def test_stopped_processes_are_ended_like_others(bench: Bench) -> None:
    result, _ = bench.run("sleep 641 & kill -STOP $!; kill -STOP $$", stall_seconds=1.0)
    assert result.reason == "The run wrote nothing for 1 seconds, so it was stopped."


def test_the_backstop_leaves_the_runner_some_time_and_no_more_than_a_minute() -> None:
    """Besides the 40 seconds that it may need to save the work."""
    assert [backstop(seconds) - 40 for seconds in (1, 50, 100, 600, 3600, 604800)] == [6, 55, 110, 660, 3660, 604860]


def test_a_stopped_runner_is_ended_by_the_engine_with_its_sandbox(db: Database, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    require("bwrap")
    monkeypatch.setattr(reap, "backstop", lambda seconds: seconds + 1)
    real = dataclasses.replace(config, runtime="bubblewrap", slots=2, poll_seconds=0.2, run_seconds=2.0, max_attempts=1)
    build(db, real, {"name": "Stopped", "features": [feature("F", "echo begun", "(setsid env -i sleep 651 &)", "sleep 651")]})
    with running(db, real):
        run = until(lambda: db.one("select id from runs where ticket_id = 'TKT-002'"))["id"]
        folder = real.data / "runs" / run
        until(lambda: (folder / "log").exists() and b"begun" in (folder / "log").read_bytes(), what="the agent has begun")
        began, pid = time.monotonic(), json.loads((folder / "started.json").read_text())["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            reason = until(lambda: db.value("select reason from runs where id = ? and ended_at is not null", (run,)), what="the backstop")
            left = members(run, folder)
        finally:
            sweep(run, folder)  # where the engine did not
        assert time.monotonic() - began > 1.0, "the engine leaves the runner its time"
        assert "took longer than 2 seconds" in reason
        assert left == []
        until(lambda: db.one("select id from runs where ticket_id = 'TKT-002' and id <> ?", (run,)), what="a new run")
        actions.cancel(db, "default", "TKT-002")
        until(lambda: not db.value("select count(*) from runs where ended_at is null"), what="the new run is gone")
