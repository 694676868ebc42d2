"""Control groups of a run: where they may be made, what they count, how they end. Real ones, where this machine has any."""
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HANG, until

from engine.host import cgroups
from engine.jobs import Limits

LIMITS = Limits(run_seconds=60, stall_seconds=60, check_seconds=60, log_mb=1, work_mb=16, memory_mb=512, processes=20)
V1 = "36 35 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n39 31 0:36 / /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids\n"
V2 = "41 31 0:38 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"


@pytest.fixture
def run() -> Iterator[str]:
    run_id = f"run-groups-{os.getpid()}"
    yield run_id
    cgroups.sweep(run_id)


@pytest.fixture
def groups(run: str) -> list[Path]:
    made = cgroups.create(run, LIMITS)
    if not made:
        pytest.skip("no control groups can be had here: run the tests as root, or in a systemd unit with Delegate=yes")
    return made


def inside(groups: list[Path], script: str) -> subprocess.Popen:
    return subprocess.Popen(cgroups.joining(groups, ["/bin/sh", "-c", script]), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.mark.parametrize("own, mounts, found", [
    ("8:pids:/\n4:memory:/x\n0::/\n", V1, [("/sys/fs/cgroup/pids", True)]),
    ("8:pids:/docker/abc\n0::/\n", V1, [("/sys/fs/cgroup/pids/docker/abc", False)]),
    ("0::/user.slice/session-1.scope\n", V2, [("/sys/fs/cgroup/user.slice/session-1.scope", False)]),
    ("0::/\n", V2, [("/sys/fs/cgroup", True)]),
    ("0::/docker/abc\n", V2.replace(" / /sys", " /docker/abc /sys"), [("/sys/fs/cgroup", True)]),
    ("0::/other\n", V2.replace(" / /sys", " /docker/abc /sys"), []),
    ("0::/\n", "22 1 0:5 / /proc rw - proc proc rw\n", [])])
def test_the_own_group_is_found_in_each_usable_hierarchy(own: str, mounts: str, found: list[tuple[str, bool]]) -> None:
    assert cgroups.places(own, mounts) == [(Path(path), top) for path, top in found]


def test_a_group_that_somebody_else_made_for_us_is_left_alone() -> None:
    """Which one that is depends on the machine: nothing of ours may be in any but at the top or where it was handed over."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        path = line.split(":", 2)[2]
        controllers = line.split(":", 2)[1]
        folder = Path("/sys/fs/cgroup", controllers, path.lstrip("/"))
        if path != "/" and folder.is_dir() and not cgroups._handed_over(folder):
            assert not (folder / cgroups.PARENT).exists()


def test_a_command_is_in_its_groups_from_its_first_moment(groups: list[Path], run: str) -> None:
    child = inside(groups, "cat /proc/self/cgroup; exec sleep 60")  # exec: a sweep lets nothing fork, and sh would end by itself
    assert child.stdout is not None
    until(lambda: child.pid in cgroups.members(run))
    assert f"/{cgroups.PARENT}/{run}" in child.stdout.readline() + child.stdout.readline() + child.stdout.readline()
    cgroups.sweep(run)
    assert child.wait(HANG) == -9
    child.stdout.close()


def test_a_sweep_ends_what_left_its_session_and_its_environment_and_removes_the_groups(groups: list[Path], run: str) -> None:
    child = inside(groups, "(setsid env -i sleep 661 > /dev/null &) ; (setsid env -i sh -c 'kill -STOP $$' > /dev/null &) ; exit 0")
    child.communicate()
    left = until(lambda: pids if len(pids := cgroups.members(run)) == 2 else None)
    cgroups.sweep(run)
    assert cgroups.members(run) == [] and not any(group.exists() for group in groups)
    assert not any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left)


def test_a_fork_bomb_is_held_and_counted_and_ended(groups: list[Path], run: str) -> None:
    if not any((group / "pids.max").exists() for group in groups):
        pytest.skip("the groups that can be had here have no limits")
    assert cgroups.hits(groups) == {}
    child = inside(groups, "bomb() { bomb | bomb & }; bomb; sleep 60")
    until(lambda: set(cgroups.hits(groups)) == {"processes"})
    assert len(cgroups.members(run)) <= LIMITS.processes
    cgroups.sweep(run)
    child.wait(HANG)
    assert child.stdout is not None
    child.stdout.close()
    assert cgroups.members(run) == []


def test_whoever_is_about_to_enter_a_swept_group_never_begins(groups: list[Path], run: str) -> None:
    cgroups.sweep(run)
    said = subprocess.run(cgroups.joining(groups, ["echo", "begun"]), capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (125, "")


def test_groups_are_made_anew_for_each_sandbox(groups: list[Path], run: str) -> None:
    inside(groups, "i=0; while [ $i -lt 40 ]; do sleep 9 > /dev/null & i=$((i+1)); done").communicate(timeout=HANG)
    cgroups.sweep(run)
    assert cgroups.create(run, LIMITS) == groups and cgroups.hits(groups) == {}


def test_the_sentence_for_people_says_what_holds() -> None:
    sentence = cgroups.describe()
    assert sentence.endswith(".") and ("The kernel counts the processes" in sentence) == any(cgroups._has(p, "pids") for p in cgroups._parents())


def test_without_groups_a_command_is_started_as_it_is() -> None:
    assert cgroups.joining([], [sys.executable]) == [sys.executable]
