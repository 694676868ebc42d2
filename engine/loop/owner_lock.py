"""A lock for each process that claims runs, held from before its first claim. While it is held, other processes leave its runs alone."""
import os
from pathlib import Path

from engine.config import Config
from engine.errors import Refused
from engine.host.processes import is_held, take_lock

PROBED = 1.0  # seconds; others test a lock by taking it for a moment


class OwnerLock:
    """data/owners/<id>, held until release() or the end of this process."""

    def __init__(self, config: Config, owner: str) -> None:
        self._path = _path(config, owner)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = take_lock(self._path, PROBED)
        if self._descriptor is None or not _is_file(self._path, self._descriptor):
            raise Refused(f"{self._path} is in use by another process. Try again.")

    def release(self) -> None:
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None


def _is_file(path: Path, descriptor: int) -> bool:
    """True if this is still the file at `path`: sweep_owners() may have removed it between open and lock."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def is_owned(config: Config, owner: str) -> bool:
    """True while the process that claims as `owner` lives."""
    return owner != "" and is_held(_path(config, owner))


def sweep_owners(config: Config) -> None:
    """Removes the lock files of processes that are gone."""
    for path in (config.data / "owners").glob("*"):
        if not is_held(path):
            path.unlink(missing_ok=True)


def _path(config: Config, owner: str) -> Path:
    return config.data / "owners" / owner
