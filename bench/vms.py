"""A job in a virtual machine: how long until its first command runs, as a clone of a template and by a cold boot, and what memory a VM takes.

Needs an image (make vm-image); without one there are no rows. A bare boot is the same VM until its PID 1 says that it waits for a job."""
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.rows import Row
from bench.sizes import Size
from engine.config import Config
from engine.host.processes import take_lock
from engine.jobs import Limits, VmSpec
from engine.runtimes.base import SandboxJob
from engine.runtimes.qemu.vms import Vms

WORK = ("git clone -q $SWARM_IN/in.bundle r && cd r && echo x > f && git add f && git -c user.name=a -c user.email=a@b commit -qm x"
        " && git bundle create -q $SWARM_OUT/out.bundle HEAD~1..HEAD")
LIMITS = Limits(600, 60, 60, 1, 64, 512, 64)


def measure(size: Size, folder: Path) -> Iterator[Row]:
    spec = Config.from_env().vm
    if Vms(spec).probe() is not None or size.vms == 0:
        return
    bundle = _bundle(folder)
    _job(folder / "first", bundle, spec._replace(templates=True))  # which makes the template
    rounds = [(_job(folder / f"cold-{n}", bundle, spec._replace(templates=False)), _job(folder / f"clone-{n}", bundle, spec._replace(templates=True)))
              for n in range(size.vms)]
    cold, clone = ([pair[n] for pair in rounds] for n in (0, 1))
    bare, started = (statistics.median(each[n] for each in cold) for n in (0, 1))
    note = f"{spec.memory_mb} MB, median of {size.vms}"
    yield Row("qemu: template clone, launch to first command, p50", "s", statistics.median(each[1] for each in clone), target=("≤", 1.2), note=note)
    yield Row("qemu: cold boot, launch to first command, against a bare boot, p50", "s", started, bare, ratio=started / bare, target=("≤", 1.6), note=note)
    for name, found in (("clone", clone), ("cold boot", cold)):
        yield Row(f"qemu: whole job by {name}, p50", "s", statistics.median(each[2] for each in found))
        yield Row(f"qemu: memory of a VM by {name}, most", "MB", max(each[3] for each in found), target=("≤", 400), note="PSS")


def _bundle(folder: Path) -> bytes:
    git = ("git", "-C", str(folder / "repo"), "-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder / "repo")], check=True)
    (folder / "repo" / "file").write_text("text\n" * 1000)
    for arguments in (("add", "file"), ("commit", "-qm", "first"), ("bundle", "create", "-q", str(folder / "in.bundle"), "HEAD", "main")):
        subprocess.run([*git, *arguments], check=True)
    return (folder / "in.bundle").read_bytes()


def _job(place: Path, bundle: bytes, spec: VmSpec) -> tuple[float, float, float, float]:
    """-> seconds until PID 1 waits, until the first command, in all; and the most memory in MB"""
    for name in ("in", "out"):
        (place / name).mkdir(parents=True)
    (place / "in" / "in.bundle").write_bytes(bundle)
    log, lock = os.open(place / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), take_lock(place / "lock")
    vms, since, most = Vms(spec), time.monotonic(), 0.0
    handle = vms.start(SandboxJob("bench", ("/bin/sh", "-c", WORK), place / "in", place / "out", place / "work", {}, LIMITS, log, lock))
    while (code := vms.poll(handle)) is None:
        most = max(most, _pss(handle["pid"]))
        time.sleep(0.02)
    total, vm = time.monotonic() - since, vms._vms[handle["pid"]]
    ready, begun = vm.ports.heard.ready, vm.ports.heard.begun
    vms.stop(handle)
    os.close(log)
    if code != 0 or begun is None or not (place / "out" / "out.bundle").exists():
        raise RuntimeError(f"the job ended with {code}: {(place / 'log').read_text(errors='replace')[-300:]}")
    return (ready or begun) - since, begun - since, total, most


def _pss(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("Pss:")), 0.0)
