"""Work tree, home and /tmp of a bubblewrap sandbox: in memory with fixed sizes, on the host's disk, or on a snapshot that nothing can change.

A snapshot lies below as the lower layer of an overlay, and what the sandbox writes goes to an upper layer of its own on the disk. Where this machine
can make no overlays, the snapshot is copied for each sandbox."""
import functools
import os
import subprocess
import tempfile
from itertools import product
from pathlib import Path

from engine.errors import Transient
from engine.host.folders import copy
from engine.runtimes import bwrap
from engine.runtimes.base import SandboxJob

WORK, HOME = "/work", "/home/agent"
TEMPORARY_MB = 512
TRIAL_SECONDS = 10.0


def mounts(job: SandboxJob) -> list[str]:
    """Options of bwrap for these places. Creates the folders that they need on the host."""
    if job.disk is None:
        return [*in_memory("/tmp", TEMPORARY_MB, "1777"), *in_memory(HOME, TEMPORARY_MB, "0700"), *in_memory(WORK, job.limits.work_mb, "0700")]
    for name in ("work", "home", "tmp", "repo"):
        (job.disk / name).mkdir(parents=True, exist_ok=True)
    argv = ["--bind", str(job.disk / "tmp"), "/tmp", "--bind", str(job.disk / "work"), WORK]
    if job.filled:
        return [*argv, "--bind", str(job.filled / "home"), HOME, "--bind", str(job.filled / "repo"), f"{WORK}/repo"]
    layers = [layer for layer in (job.ground, job.tree) if layer]  # the last is the top
    if not layers:
        return [*argv, "--bind", str(job.disk / "home"), HOME]
    if program_for(job) is None:
        for layer, name in product(layers, ("home", "repo")):
            why = copy(layer / name, job.disk / name)
            if why:
                raise Transient(f"The environment could not be copied for a sandbox: {why}")
        return [*argv, "--bind", str(job.disk / "home"), HOME, "--bind", str(job.disk / "repo"), f"{WORK}/repo"]
    for name, place in (("home", HOME), ("repo", f"{WORK}/repo")):
        (job.disk / f"{name}.kernel").mkdir(exist_ok=True)
        for layer in layers:
            argv += ["--overlay-src", str(layer / name)]
        argv += ["--overlay", str(job.disk / name), str(job.disk / f"{name}.kernel"), place]
    return argv


def in_memory(path: str, megabytes: int, mode: str) -> list[str]:
    return ["--size", str(megabytes * 1_000_000), "--perms", mode, "--tmpfs", path]


def program_for(job: SandboxJob) -> str | None:
    """The bwrap that lays what a sandbox writes over its ground and tree; None: they are copied."""
    return overlaying((job.disk or job.work).parent) if job.overlays is None else job.overlays or None


@functools.cache
def overlaying(folder: Path) -> str | None:
    """The bwrap that can make an overlay on the disk that a folder is on; None if none can. Tries it once in each process."""
    for program in bwrap.candidates():
        if b"overlay-src" in Path(program).read_bytes() and bwrap.altered(program) is None and _works(program, folder):
            return program
    return None


def _works(program: str, place: Path) -> bool:
    with tempfile.TemporaryDirectory(prefix="overlay-", suffix=".tmp", dir=place) as folder:
        lower, upper, kernel = (os.path.join(folder, name) for name in ("lower", "upper", "kernel"))
        for path in (lower, upper, kernel):
            os.mkdir(path)
        try:
            tried = subprocess.run([program, "--unshare-user", "--uid", "1000", "--gid", "1000", "--ro-bind", "/", "/", "--overlay-src", lower,
                                    "--overlay", upper, kernel, folder, "--", "/bin/sh", "-c", f"mkdir {folder}/a"],
                                   stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIAL_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return tried.returncode == 0 and os.path.isdir(os.path.join(upper, "a"))
