"""A runner that dies in the first milliseconds of its sandbox: bwrap's own tie to its parent does not hold yet."""
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HANG, require, until
from runner_bench import Bench

from engine.config import Config
from engine.host import cgroups
from engine.host.processes import RUN_VARIABLE, is_held, members, send, sweep
from engine.loop.launch import Look, ProcessLauncher

SCRIPT = 'while :; do echo beat >> "$SWARM_OUT/beats"; done & (setsid env -i sh -c "while :; do :; done" &); sleep 600'
# For 0.4 seconds like a process in the middle of its exec: the kernel shows neither its arguments nor its environment.
HIDDEN = """import ctypes, struct, time
values = [int(value) for value in open("/proc/self/stat").read().rpartition(")")[2].split()[1:]]
code, code_end, stack, data, data_end, heap, arguments, arguments_end, environment, environment_end = values[22:25] + values[41:48]
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
def show(arguments_end, environment_end):
    memory_map = struct.pack("12Q2I", code, code_end, data, data_end, heap, libc.sbrk(0), stack, arguments, arguments_end, environment, environment_end,
                             0, 0, 2**32 - 1)
    return libc.prctl(35, 14, memory_map, len(memory_map), 0) == 0
print(show(arguments, environment), flush=True)
time.sleep(0.4)
show(arguments_end, environment_end)
time.sleep(60)
"""
KILLS = {"bubblewrap": 30, "process": 10}


@pytest.fixture(params=["bubblewrap", "process"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "bubblewrap":
        require("bwrap")
    yield Bench(request.param, tmp_path).prepared()


def killed_early(bench: Bench, launcher: ProcessLauncher, number: int, delay: float) -> Path:
    """Starts a run and kills its runner `delay` seconds after it began to start its sandbox."""
    job = bench.job(SCRIPT)._replace(run=f"run-{os.getpid()}-{bench.runtime}-{number}")
    launcher.launch(job)
    folder = launcher.folder(job.run)
    descriptor = launcher.pidfd(job.run)
    assert descriptor is not None
    until((folder / "started.json").exists)
    end = time.monotonic() + HANG
    while not (folder / "sandbox.lock").exists():
        assert time.monotonic() < end
    began = time.monotonic()
    while time.monotonic() - began < delay:
        pass
    send(descriptor, signal.SIGKILL)
    os.close(descriptor)
    return folder


def test_nothing_of_a_run_is_left_wherever_its_runner_was_killed(bench: Bench, config: Config) -> None:
    launcher, chance, stopped = ProcessLauncher(config), random.Random(7), []
    for number in range(KILLS[bench.runtime]):
        folder = killed_early(bench, launcher, number, chance.uniform(0, 0.012))
        launcher.stop(folder.name)
        assert members(folder.name, folder) == [] and cgroups.members(folder.name) == []
        assert not is_held(folder / "sandbox.lock") and launcher.look(folder.name) is Look.LOST
        beats = folder / "out" / "beats"
        stopped.append((beats, beats.stat().st_size if beats.exists() else None))
    time.sleep(0.2)  # for what must not happen
    assert [(beats, beats.stat().st_size if beats.exists() else None) for beats, _ in stopped] == stopped
    assert not any(group.exists() for beats, _ in stopped for group in (parent / beats.parent.parent.name for parent in cgroups._parents()))


def test_a_process_that_is_just_starting_is_waited_for(tmp_path: Path) -> None:
    run = f"run-hidden-{os.getpid()}"
    with subprocess.Popen([sys.executable, "-c", HIDDEN], env={RUN_VARIABLE: run}, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            if child.stdout.readline() != "True\n":
                pytest.skip("this kernel cannot hide a process's arguments: it lacks CONFIG_CHECKPOINT_RESTORE")
            assert members(run, tmp_path) == []
            sweep(run, tmp_path)
            assert child.wait(HANG) == -signal.SIGKILL
        finally:
            child.kill()
