"""One writer at a time in a repository, across processes, and after one that was killed a clean start."""
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import Transient
from engine.host.processes import take_lock

BUSY = b"busy\n"
LEFT_BEHIND = ("*.lock", "refs/**/*.lock", "objects/**/*.lock", "objects/**/tmp_*", "objects/**/incoming-*")


@contextmanager
def hold(lock: Path, repository: Path, wait: float) -> Iterator[int]:
    """The descriptor of the lock. Every git child must inherit it: the lock then stays held while a child of a killed process lives.

    The file says "busy" from entry to a clean exit. Who finds it saying so follows somebody who was killed, or whose git was,
    and sweeps first: holding the lock proves that no git that writes here is alive. Raises Transient after `wait` seconds."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = take_lock(lock, wait)
    if descriptor is None:
        raise Transient(f"The repository {repository.name} was busy for {wait:g} seconds. It will be tried again.")
    try:
        if os.pread(descriptor, len(BUSY), 0):
            sweep_stale(repository)
        os.pwrite(descriptor, BUSY, 0)
        yield descriptor
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def sweep_stale(repository: Path) -> list[Path]:
    """Removes what a killed git leaves: lock files of refs, half-written objects, quarantines. Only while the lock is held. -> what went"""
    gone = [path for pattern in LEFT_BEHIND for path in repository.glob(pattern)]
    for path in gone:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return gone
