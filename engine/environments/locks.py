"""The two locks of a snapshot: of its key, for who makes it, and of its folder, for the runs that stand on it."""
import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.errors import Transient

LOCK = "lock"  # a file in the folder of a snapshot


@contextlib.contextmanager
def locked(path: Path, exclusive: bool, wait: float, waits: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Holds the lock of a key, which is the file `path`: exclusive to make its snapshot, shared while nobody may make it. waits: called once if it is not free.
    Raises Transient after `wait` seconds."""
    descriptor = _take(path, exclusive, wait, waits)
    try:
        yield
    finally:
        os.close(descriptor)


def _take(path: Path, exclusive: bool, wait: float, waits: Callable[[], object]) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end, how, is_told = time.monotonic() + wait, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, False
    try:
        while True:
            try:
                fcntl.flock(descriptor, how | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() > end:
                    raise Transient("Another run is making this environment, and it takes long. This run tries again later.") from None
                if not is_told:
                    is_told = waits() is not False
                time.sleep(0.05)
    except BaseException:
        os.close(descriptor)
        raise


def held(folder: Path, how: int) -> int | None:
    """how: LOCK_SH or LOCK_EX. -> the descriptor of the lock of a snapshot's folder; None if it cannot be had at once."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        return descriptor
    except BlockingIOError:
        os.close(descriptor)
        return None
