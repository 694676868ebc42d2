"""The child processes that may outlive this process. The kernel reports their end only to this process, for whichever object started them, so they
are recorded only here; after a restart they are found by their locks."""
import subprocess
from pathlib import Path
from typing import Any

from engine.host import descriptors

_CHILDREN: dict[Path, subprocess.Popen[bytes]] = {}


def spawn(folder: Path, argv: list[str], **options: Any) -> None:
    """Starts the program of this folder in its own session. options: for subprocess.Popen. Raises OSError."""
    child = _CHILDREN[folder] = subprocess.Popen(argv, start_new_session=True, **options)
    descriptors.restore_limit(child.pid)


def pid_of(folder: Path) -> int | None:
    """Process id of the folder's program; None if this process has not started it, or has reaped it."""
    child = _CHILDREN.get(folder)
    return None if child is None else child.pid


def reap(folder: Path) -> None:
    """Reaps the folder's program if it has ended; until then it stays a zombie."""
    child = _CHILDREN.get(folder)
    if child is not None and child.poll() is not None:
        del _CHILDREN[folder]
