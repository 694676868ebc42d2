"""What an agent needs to go on in its session: a tar of some of its home, kept on the host between runs of a ticket, unpacked in sandboxes only."""
import os
import shutil
from pathlib import Path

from engine.errors import Permanent
from engine.files import open_foreign
from engine.jobs import Job

NAME = "session.tar"
LIMIT = 50_000_000  # bytes; what is larger is not kept, and the next run begins a session of its own


def give(folder: Path, job: Job, inputs: Path) -> None:
    """folder: of this run. Nothing where that of the earlier run is gone."""
    earlier = folder.parent / job.means.home / NAME
    if job.means.home and earlier.is_file():
        shutil.copyfile(earlier, inputs / NAME)


def keep(folder: Path) -> str | None:
    """Takes what the sandbox left into the run's folder. -> why it was not kept, if it was not"""
    source, target = folder / "out" / NAME, folder / NAME
    if not os.path.lexists(source):
        return None
    try:
        with os.fdopen(open_foreign(source, LIMIT), "rb") as file, open(target, "wb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
        source.unlink()
    except Permanent as error:
        return error.sentence
    return None
