"""What is promised of virtual machines, claim by claim, and what guests that are not ours any more come to. Many boots: make vm-test."""
import os
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pytest
from conftest import until
from sandbox_bench import PATIENCE, Bench
from vms import hostile, vm_image, vm_spec

from engine.errors import AgentFailed, RunFailure, Transient
from engine.run.outputs import take_bundle
from engine.runtimes import make

pytestmark = pytest.mark.vm


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench("qemu", tmp_path)


def failure(bench: Bench, command: str = "echo up; sleep 600") -> RunFailure:
    with pytest.raises(RunFailure) as failed:
        bench.run(command)
    return failed.value


def test_there_is_no_route_no_device_and_no_other_way_to_a_host(bench: Bench) -> None:
    _, said = bench.run("ls /sys/class/net; ls /sys/bus/pci/drivers; tail -n +2 /proc/net/route | wc -l; ls /dev/vsock /dev/kvm 2>&1 | grep -c 'No such';"
                        " bash -c 'exec 3<>/dev/tcp/10.0.2.2/80' 2>&1; bash -c 'exec 3<>/dev/tcp/1.1.1.1/53' 2>&1")
    assert said.startswith("lo\n")
    assert "virtio_net" not in said and "\n0\n2\n" in said
    assert "/dev/tcp/10.0.2.2/80: Network is unreachable" in said and "/dev/tcp/1.1.1.1/53: Network is unreachable" in said


def test_no_file_of_the_host_is_there_and_no_disk_but_its_own(bench: Bench) -> None:
    (bench.folder / "secret").write_text("of the host")
    _, said = bench.run(f"ls {bench.folder} /mnt /media /srv 2>&1; cat /proc/partitions | tail -n +3; mount | grep -cE '9p|virtiofs|nfs|cifs'")
    assert "secret" not in said and f"cannot access '{bench.folder}'" in said
    assert [line.split()[3] for line in said.splitlines() if len(line.split()) == 4 and line.split()[0].isdigit()] == ["vda", "vdb", "vdc"]
    assert said.split()[-1] == "0"


def test_the_agent_cannot_touch_the_system_its_disks_or_its_ports(bench: Bench) -> None:
    code, said = bench.run("for path in /etc/passwd /usr/bin/git /dev/vda /dev/vdb /dev/vport*p1 /dev/vport*p3 /run/main /proc/sysrq-trigger /in/x; do"
                           " (echo x > $path) 2> /dev/null && echo wrote $path; done; cat /dev/vdb 2> /dev/null && echo read; mount -t tmpfs x /mnt;"
                           " unshare -n true; su -c id < /dev/null; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; date -s 2001-01-01; exit 0")
    assert code == 0 and "wrote" not in said and "read" not in said.split() and "uid=0" not in said
    assert "CapEff:\t0000000000000000" in said and "CapBnd:\t0000000000000000" in said and "NoNewPrivs:\t1" in said
    assert "cannot set date: Operation not permitted" in said


def test_a_guest_that_sets_its_clock_changes_no_other(bench: Bench, tmp_path: Path) -> None:
    before = time.time(), time.monotonic()
    bench.runtime = make("qemu", hostile(tmp_path / "image", lambda main: main.replace("say begin\n", "say begin\ndate -s 2001-01-01; hwclock -w\n")))
    assert bench.run("date +%Y")[1].split()[-1] == "2001"
    assert abs((time.time() - before[0]) - (time.monotonic() - before[1])) < 1


def test_machines_see_nothing_of_each_other(bench: Bench, tmp_path: Path) -> None:
    other = Bench("qemu", tmp_path / "other") if (tmp_path / "other").mkdir() is None else None
    assert other is not None
    (other.inputs / "secret").write_text("of the other")
    first = other.start('echo up; echo mark-of-the-other > /tmp/mark; cat "$SWARM_IN/secret"; sleep 600', run="run-of-the-other")
    other.hear("up")
    _, said = bench.run('ls "$SWARM_IN" /tmp; ps -e 2> /dev/null; grep -rl mark-of-the-other /tmp /home /work /dev/shm; cat /proc/*/environ | tr "\\0" "\\n"')
    other.runtime.stop(first)
    assert "secret" not in said and "mark" not in said.split() and "run-of-the-other" not in said


def test_orphans_are_reaped(bench: Bench) -> None:
    code, said = bench.run("i=0; while [ $i -lt 40 ]; do (setsid true &); i=$((i+1)); done; sleep 1;"
                           " grep -l 'State:.Z' /proc/[0-9]*/status 2> /dev/null | wc -l")
    assert (code, said.split()) == (0, ["0"])


def test_a_fork_bomb_stays_inside_and_stop_ends_it(bench: Bench) -> None:
    handle = bench.start("echo up; bomb() { bomb | bomb & }; bomb; sleep 600")
    bench.hear("up")
    time.sleep(3)
    began = time.monotonic()
    bench.runtime.stop(handle)
    assert time.monotonic() - began < 2


def test_a_machine_that_runs_out_of_memory_says_so_and_its_agent_alone_is_ended(bench: Bench) -> None:
    bench.runtime = make("qemu", vm_spec()._replace(disk_mb=64, templates=False))
    handle = bench.start("python3 -c 'x = [bytes([i]) * 10_000_000 for i in range(95)]'")
    try:
        until(lambda: bench.runtime.poll(handle) is not None, PATIENCE)
        said = bench.runtime.full(handle)
    finally:
        bench.runtime.stop(handle)
    assert said == "The virtual machine ran out of its 512 MB of memory."


def test_more_than_the_memory_fits_into_its_files_because_of_the_disk(bench: Bench) -> None:
    code, said = bench.run("i=0; while [ $i -lt 60 ]; do head -c 10000000 /dev/zero > /tmp/$i || exit 9; i=$((i+1)); done; du -s --apparent-size -B1 /tmp")
    assert code == 0 and 600_000_000 <= int(said.split()[0]) < 601_000_000


def test_a_kernel_that_panics_at_boot_is_tried_again_and_named(bench: Bench, tmp_path: Path) -> None:
    bench.runtime = make("qemu", hostile(tmp_path / "image", lambda main: "echo c > /proc/sysrq-trigger\n" + main))
    failed = failure(bench)
    assert isinstance(failed, Transient) and "ended during its start: " in failed.sentence and "Kernel panic" in failed.sentence


def test_a_kernel_that_panics_in_the_middle_of_the_work_is_a_failed_run_and_named(bench: Bench, tmp_path: Path) -> None:
    bench.runtime = make("qemu", hostile(tmp_path / "image", lambda main: main.replace("wait $job\n", "sleep 1; echo c > /proc/sysrq-trigger\n")))
    failed = failure(bench)
    assert isinstance(failed, AgentFailed) and "crashed during its work: " in failed.sentence and "Kernel panic" in failed.sentence


def test_a_boot_that_hangs_ends_after_its_time_and_is_tried_again(bench: Bench, tmp_path: Path) -> None:
    slow = hostile(tmp_path / "image", lambda main: "while :; do sleep 100; done\n")
    bench.runtime = make("qemu", type(slow)(slow.image, slow.memory_mb, slow.cpus, slow.disk_mb, False, 6.0))
    failed = failure(bench)
    assert isinstance(failed, Transient) and "did not start within" in failed.sentence
    assert not list(Path("/proc").glob(f"[0-9]*/cwd/../../{tmp_path.name}"))


def test_a_guest_that_writes_without_end_where_the_result_goes_fails_its_run_and_fills_no_disk(bench: Bench, tmp_path: Path) -> None:
    bench.runtime = make("qemu", hostile(tmp_path / "image", lambda main: main.replace("say begin\n", 'say begin\ncat /dev/zero > "${ports}3"\n')))
    failed = failure(bench)
    assert isinstance(failed, AgentFailed) and "more than 1000 files or 512 MB" in failed.sentence
    assert sum(path.stat().st_blocks for path in bench.folder.rglob("*") if path.is_file()) * 512 < 700_000_000


def malicious(**fields: object) -> bytes:
    info = tarfile.TarInfo("x")
    for name, value in fields.items():
        setattr(info, name, value)
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)


@pytest.mark.parametrize(("tar", "says"), [
    (malicious(name="../../escaped"), "is not a name"), (malicious(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "symbolic link"),
    (malicious(type=tarfile.BLKTYPE), "device"), (b"not a tar" * 1000, "malformed"), (malicious()[:700], "cut off")])
def test_a_malicious_result_is_a_named_failure_and_nothing_of_it_is_on_the_host(bench: Bench, tmp_path: Path, tar: bytes, says: str) -> None:
    (bench.inputs / "evil").write_bytes(tar)
    hands_over = 'cat /in/evil > "${ports}3"; say "exit 0"; sleep 100'
    image = hostile(tmp_path / "image", lambda main: main.replace("cd /out || failed", f"{hands_over}; cd /out || failed"))
    bench.runtime = make("qemu", image)
    failed = failure(bench, "true")
    assert isinstance(failed, AgentFailed) and says in failed.sentence
    assert list(bench.outputs.iterdir()) == [] and not list(tmp_path.rglob("escaped"))


def test_links_and_pipes_among_the_outputs_are_a_named_failure(bench: Bench) -> None:
    failed = failure(bench, 'ln -s /etc/passwd "$SWARM_OUT/out.bundle"')
    assert isinstance(failed, AgentFailed) and "'out.bundle' is a symbolic link" in failed.sentence


def test_a_bundle_that_is_none_is_a_named_failure(bench: Bench, tmp_path: Path) -> None:
    assert bench.run('echo nonsense > "$SWARM_OUT/out.bundle"')[0] == 0
    with pytest.raises(AgentFailed, match="a bundle that cannot be read"):
        take_bundle(bench.outputs, tmp_path / "copy")


def clone(bench: Bench) -> bool:
    handle = bench.start("echo fine")
    assert bench.end(handle) == 0
    return bool(handle["vm"]["clone"])


def template() -> Path:
    """The newest."""
    return max((vm_image() / "templates").glob("*/template.json"), key=lambda path: path.stat().st_mtime).parent


def keep_times(path: Path, damage: str) -> None:
    """Damage that no look at size and time can see."""
    status = path.stat()
    subprocess.run(["sh", "-c", damage, "sh", str(path)], check=True)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(("name", "damage"), [
    ("state", 'truncate -s 1000 "$1"'), ("memory", 'truncate -s 0 "$1"'), ("template.json", 'echo "{" > "$1"'), ("state", 'rm "$1"')])
def test_a_template_that_is_seen_to_be_damaged_is_made_again(bench: Bench, name: str, damage: str) -> None:
    assert clone(bench)
    subprocess.run(["sh", "-c", damage, "sh", str(template() / name)], check=True)
    assert clone(bench) and clone(bench)


@pytest.mark.parametrize(("name", "damage"), [
    ("state", 'head -c 100000 /dev/urandom | dd of="$1" conv=notrunc bs=1000 seek=50 2> /dev/null'),
    ("memory", 'head -c 60000000 /dev/zero | dd of="$1" conv=notrunc bs=1000000 seek=16 2> /dev/null')])
def test_where_a_template_does_not_go_on_the_job_boots_cold_and_the_next_one_has_a_new_template(bench: Bench, name: str, damage: str) -> None:
    assert clone(bench)
    keep_times(template() / name, damage)
    assert not clone(bench)
    assert clone(bench)


def test_clones_start_when_nothing_of_the_template_is_in_memory_as_after_a_reboot(bench: Bench) -> None:
    assert clone(bench)
    for name in ("memory", "state"):
        with open(template() / name, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert clone(bench)


def test_many_clones_at_once_all_work_and_share_the_memory_that_they_do_not_write(tmp_path: Path) -> None:
    benches, said = [], {}
    for number in range(6):
        (tmp_path / str(number)).mkdir()
        benches.append(Bench("qemu", tmp_path / str(number)))
    assert clone(benches[0])

    def one(number: int) -> None:
        handle = benches[number].start("head -c 16 /dev/urandom | od -An -tx1; echo up; sleep 20", run=f"run-{number}")
        benches[number].hear("up")
        said[number] = (handle["vm"]["clone"], benches[number].said().split("up")[0], proportional(handle["pid"]))
        benches[number].runtime.stop(handle)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert [said[number][0] for number in range(1, 6)] == [True] * 5
    assert len({said[number][1] for number in range(1, 6)}) == 5
    assert max(said[number][2] for number in range(1, 6)) < 400


def proportional(pid: int) -> float:
    """MB."""
    return int(next(line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")).split()[1]) / 1000
