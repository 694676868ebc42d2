"""Runs in virtual machines that do not end by themselves: the guest ends the agent and saves its work. Many boots: make vm-test."""
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import git, until
from runner_bench import Bench, bench_of, log_of
from vms import vm_spec

from engine.jobs import Result

pytestmark = pytest.mark.vm
COMMITTED = "echo one > committed.txt; git add -A; git commit -qm one; echo two > left.txt\n"
PATIENCE = 400.0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from bench_of("qemu", tmp_path)


def ended(bench: Bench, script: str, stop: signal.Signals | None = None, **values: float) -> tuple[Result, Path]:
    folder, runner = bench.start(bench.job(script, vm=vm_spec(), run_seconds=PATIENCE, **values))
    try:
        if stop is not None:
            until(lambda: (folder / "log").exists() and "\nup\n" in log_of(folder), PATIENCE, what="the agent's first line")
            runner.send_signal(stop)
        runner.wait(PATIENCE)
    finally:
        runner.kill()
    result = Result.read(folder)
    assert result is not None and (folder / "runner.err").read_text() == ""
    return result, folder


@pytest.mark.parametrize("agent", ["sleep 1000", "trap '' TERM; (setsid env -i sleep 1000 &); while :; do sleep 1; done", "kill -STOP $PPID; kill -STOP $$"])
def test_a_stalled_agent_leaves_its_work(bench: Bench, agent: str) -> None:
    result, folder = ended(bench, COMMITTED + agent, stall_seconds=10.0)
    assert (result.outcome, result.failure, result.stopped) == ("failed", "agent", True), log_of(folder)
    assert result.reason == "The run wrote nothing for 10 seconds, so it was stopped."
    assert git(bench.take(folder), "show", f"{result.tip}:committed.txt", f"{result.tip}:left.txt") == "one\ntwo\n"


def test_sigterm_ends_the_agent_and_its_work_is_kept(bench: Bench) -> None:
    result, folder = ended(bench, COMMITTED + "echo up; sleep 1000", signal.SIGTERM)
    assert (result.outcome, result.failure, result.stopped) == ("failed", "transient", True), log_of(folder)
    assert git(bench.take(folder), "show", f"{result.tip}:committed.txt", f"{result.tip}:left.txt") == "one\ntwo\n"


def test_a_cancel_ends_it_with_nothing(bench: Bench) -> None:
    result, folder = ended(bench, COMMITTED + "echo up; sleep 1000", signal.SIGINT)
    assert (result.outcome, result.tip, (folder / "out" / "out.bundle").exists()) == ("failed", None, False)


@pytest.mark.parametrize("work", ["for i in $(seq 1 30); do echo $i > f$i; sleep 1; done", 'timeout 30 sh -c "while :; do :; done" || touch done'])
def test_a_quiet_agent_that_works_is_not_stalled(bench: Bench, work: str) -> None:
    result, folder = ended(bench, work, stall_seconds=10.0)
    assert (result.outcome, result.reason) == ("ok", None), log_of(folder)
