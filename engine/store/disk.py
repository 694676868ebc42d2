"""The disks of the data folder: whether they have enough room, and whether one caused a failure."""
import re
from pathlib import Path

from engine.files import DISK_ERRORS, shortage
from engine.store.place import unwritable

_SPACE = re.compile(r"no space left on device|disk quota exceeded|the disk is full|database or disk is full|read-only file system|input/output error", re.I)


def trouble(database: Path) -> str | None:
    """A sentence if nothing new should start, because the folder of the database or of the runs cannot take it, otherwise None."""
    data = database.parent
    try:
        return shortage(data) or _of_runs(data / "runs") or unwritable(database)
    except OSError as error:
        return f"The data folder {data} cannot be read: {error.strerror}. Check the folder and its disk."


def _of_runs(folder: Path) -> str | None:
    """The same for the folder of the runs, which may be on a disk of its own."""
    try:
        return shortage(folder)
    except FileNotFoundError:  # no run yet
        return None


def is_at_fault(what: BaseException | str) -> bool:
    """True if a disk caused this failure, so it is no ticket's fault."""
    if isinstance(what, OSError) and what.errno in DISK_ERRORS:
        return True
    return _SPACE.search(str(what)) is not None
