"""What the figures were measured on."""
import os
import platform
import sqlite3
import statistics
import time
from pathlib import Path


def described(folder: Path) -> dict[str, str]:
    """{what: value}, in the order in which a person reads it."""
    return {
        "cores": str(os.cpu_count()), "cpu": _cpu(), "kernel": platform.release(), "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "file system": _file_system(folder), "write and fsync of 4 kB": f"{_fsync(folder):.2f} ms",
        "load before": " ".join(f"{value:.2f}" for value in os.getloadavg()), "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    """The type of the mount that holds the folder: the longest mount point that is a parent of it."""
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if folder.resolve().is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def _fsync(folder: Path) -> float:
    """Milliseconds, the median of 21: at synchronous FULL no commit is faster."""
    path, times = folder / "fsync", []
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        for _ in range(21):
            since = time.perf_counter()
            os.pwrite(descriptor, os.urandom(4096), 0)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - since)
    finally:
        os.close(descriptor)
        path.unlink()
    return statistics.median(times) * 1000
