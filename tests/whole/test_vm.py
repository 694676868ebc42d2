"""Virtual machines, in a few boots: a cold one, one that becomes a template, clones of it."""
import time
from pathlib import Path

import pytest
from sandbox_bench import Bench
from vms import vm_spec

from engine.runtimes import make

pytestmark = pytest.mark.vm


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench("qemu", tmp_path)


def test_a_machine_boots_and_runs_a_job_as_an_unprivileged_user_without_a_network(bench: Bench) -> None:
    bench.runtime = make("qemu", vm_spec(templates=False))
    (bench.inputs / "question").write_text("six by nine")
    before = time.time()
    code, said = bench.run('id -u; cd; pwd; tail -n +3 /proc/net/dev | cut -d: -f1; date +%s; cat "$SWARM_IN/question" > "$SWARM_OUT/answer"; exit 7')
    user, home, devices, seconds = said.split()
    assert (code, user, home, devices) == (7, "1000", "/home/agent", "lo")
    assert int(before) <= int(seconds) <= time.time()
    assert (bench.outputs / "answer").read_text() == "six by nine"


def test_clones_of_one_machine_have_the_right_time_and_random_numbers_of_their_own(bench: Bench) -> None:
    numbers, clones = set(), []
    for _ in range(2):
        before = time.time()
        handle = bench.start('date +%s.%N; head -c 16 /dev/urandom | od -An -tx1 | tr -d " "; cat /proc/sys/kernel/random/uuid')
        assert bench.end(handle) == 0
        seconds, random, uuid = bench.said().split()[-3:]
        assert before < float(seconds) < time.time()
        numbers |= {random, uuid}
        clones.append(handle["vm"]["clone"])
    assert (len(numbers), clones) == (4, [True, True])


def test_the_log_can_be_read_while_it_grows_and_stop_ends_the_machine_at_once(bench: Bench) -> None:
    handle = bench.start("echo up; echo problem > /dev/stderr; sleep 600")
    bench.hear("problem")
    began = time.monotonic()
    bench.runtime.stop(handle)
    assert time.monotonic() - began < 2
    assert not Path("/proc", str(handle["pid"])).exists() and bench.runtime.poll(handle) == -9
