"""Whether a sandbox without output is at work: files that change and the time of processors count."""
import time
from pathlib import Path

import pytest
from conftest import require, until
from sandbox_bench import LIMITS, Bench

from engine.host import cgroups
from engine.run.limits import LimitWatch
from engine.runtimes.base import Handle

WRITES = {
    "a new file": "echo x > f", "a file that is there": "echo y >> old", "a file in a folder": "mkdir -p a/b; echo x > a/b/c", "a removed file": "rm old",
    "a file with an old date": "touch -d '2001-01-01' old", "its home": 'echo x > "$HOME/f"', "temporary files": 'echo x > "$TMPDIR/f"',
    "its outputs": 'echo x > "$SWARM_OUT/f"',
}


@pytest.fixture(params=["bubblewrap", "process"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    if request.param == "bubblewrap":
        require("bwrap")
    return Bench(request.param, tmp_path)


def watch(bench: Bench, handle: Handle) -> LimitWatch:
    return LimitWatch(bench.runtime, handle, bench.outputs, LIMITS._replace(processes=100_000), [])  # of all that this process has started


def idle_since(bench: Bench, command: str) -> bool:
    """Was the sandbox idle from the moment when it was told to go on until it had done the command?"""
    handle = bench.start(f'touch old; echo up; until [ -e "$SWARM_IN/go" ]; do sleep 0.1; done; {command}; echo done; sleep 617')
    bench.hear("up")
    began = time.time()
    until(lambda: time.time() - began > 0.1)  # the dates of files are coarser than the clock
    (bench.inputs / "go").touch()
    bench.hear("done")
    try:
        return watch(bench, handle).is_idle(time.time() - began)
    finally:
        bench.runtime.stop(handle)


@pytest.mark.parametrize("what", WRITES)
def test_whatever_changes_a_file_is_work(bench: Bench, what: str) -> None:
    assert not idle_since(bench, WRITES[what])


def test_what_only_waits_and_reads_does_no_work(bench: Bench) -> None:
    assert idle_since(bench, "cat old; ls")


def test_what_computes_does_work(bench: Bench) -> None:
    handle = bench.start("echo up; while :; do :; done")
    bench.hear("up")
    limits = watch(bench, handle)

    def has_worked() -> bool:
        limits.look()
        return limits.worked > 0
    try:
        until(has_worked, what="the time that it used")
        assert not limits.is_idle(3600.0)
    finally:
        bench.runtime.stop(handle)


def test_the_kernel_counts_the_time_of_what_has_ended_too(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n")
    assert cgroups.cpu_seconds([tmp_path]) == 2.5
    assert cgroups.cpu_seconds([tmp_path / "none"]) is None and cgroups.cpu_seconds([]) is None
