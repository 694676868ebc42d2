"""One writer at a time in a repository, across processes, with a clean-up after a writer that was killed."""
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
    """The descriptor of the lock. Every git child must inherit it, so that the lock stays held while a child of a killed process lives.

    The file says "busy" from entry to a clean exit. If it says so at entry, the process before, or its git, was killed. Then this one
    sweeps first, because the lock proves that no git writes here now. Raises Transient after `wait` seconds."""
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
    """Removes files of a killed git: lock files of refs, half-written objects, quarantines. Only while the lock is held. -> removed paths"""
    gone = [path for pattern in LEFT_BEHIND for path in repository.glob(pattern)]
    for path in gone:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return gone
