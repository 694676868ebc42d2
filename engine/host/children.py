"""The children of this process that may outlive it. The kernel tells their end to this process alone, whichever object started them, so they
are kept here and nowhere else; after a restart they are found by their locks."""
import subprocess
from pathlib import Path
from typing import Any

_CHILDREN: dict[Path, subprocess.Popen[bytes]] = {}


def spawn(folder: Path, argv: list[str], **options: Any) -> None:
    """Starts the program whose folder this is, in a session of its own. options: of subprocess.Popen. Raises OSError."""
    _CHILDREN[folder] = subprocess.Popen(argv, start_new_session=True, **options)


def pid_of(folder: Path) -> int | None:
    """None for what this process has not started, or has reaped."""
    child = _CHILDREN.get(folder)
    return None if child is None else child.pid


def reap(folder: Path) -> None:
    """Takes note of its end, if it has ended: until then it stays a zombie."""
    child = _CHILDREN.get(folder)
    if child is not None and child.poll() is not None:
        del _CHILDREN[folder]
