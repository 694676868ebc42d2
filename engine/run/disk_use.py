"""How much a sandbox has written to its work tree, home and /tmp on the host's disk."""
import os
import stat
import time
from collections import Counter
from pathlib import Path

NAMED = 3  # folders that are named


class DiskWatch:
    """Compares the blocks of some folders with a limit. A walk over many files takes long, so it is made again after ten times that time; but at once
    when the free space of the disk has shrunk by half of what was left."""

    def __init__(self, folders: list[Path], megabytes: int, already: int = 0) -> None:
        """already: bytes that are in the folders and that the sandbox did not write: an environment, where it is copied for each sandbox."""
        self._folders, self._megabytes = folders, megabytes
        self._most = megabytes * 1_000_000 + already
        self._used, self._next, self._free = 0, 0.0, self._room()

    def _room(self) -> int:
        status = os.statvfs(self._folders[0].parent)
        return status.f_bfree * status.f_frsize

    def look(self, at_once: bool = False) -> str | None:
        """A sentence that names the largest folders, if there is more than the limit."""
        began = time.monotonic()
        if not at_once and began < self._next and self._free - self._room() < (self._most - self._used) // 2:
            return None
        sizes: Counter[str] = Counter()
        for folder in self._folders:
            for part in _children(folder):
                sizes[_name(part)] += _blocks(part)
        self._used, self._free = sizes.total(), self._room()
        self._next = time.monotonic() + 10 * (time.monotonic() - began)
        if self._used <= self._most:
            return None
        largest = ", ".join(f"{name} {size / 1_000_000:,.0f} MB" for name, size in self._detailed().most_common(NAMED))
        return f"The run wrote more than {self._megabytes:,} MB to its disk, so it was stopped. Largest: {largest}."

    def _detailed(self) -> Counter[str]:
        """Sizes two levels below the places, because there are the folders that people know."""
        sizes: Counter[str] = Counter()
        for folder in self._folders:
            for place in _children(folder):
                for part in _children(place):
                    sizes[f"{_name(place)}/{os.path.basename(part)}".removeprefix("repo/")] += _blocks(part)
        return sizes


def is_overlaid(disk: Path) -> bool:
    """True if a sandbox whose folder on the disk this is stands on its environment by an overlay, and not on a copy of it."""
    return (disk / "repo.kernel").exists()


def _name(part: str) -> str:
    return os.path.basename(part).removesuffix(".kernel")


def _children(folder: Path | str) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(folder)]
    except OSError:  # the sandbox removed it meanwhile, or it is a file
        return []


def _blocks(path: str) -> int:
    """Bytes of a file or folder on the disk, with everything in it. Links are not followed."""
    try:
        status = os.lstat(path)
    except OSError:  # removed meanwhile
        return 0
    total, todo = status.st_blocks * 512, [path] if stat.S_ISDIR(status.st_mode) else []
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
        except OSError:  # it changes while we read it
            continue
    return total
