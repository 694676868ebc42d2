"""Measures and removes folders that a sandbox writes to. Links are not followed."""
import errno
import os
import stat
import subprocess
import time
from pathlib import Path


def measure(folder: Path, most_files: int, most_bytes: int) -> tuple[int, int]:
    """-> (entries, bytes on the disk) below a folder. Stops counting above the limits. Folders that are nested too deep
    to be read count as too many."""
    count, size, folders = 0, 0, [str(folder)]
    while folders and count <= most_files and size <= most_bytes:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    count += 1
                    status = entry.stat(follow_symlinks=False)
                    size += status.st_blocks * 512
                    if stat.S_ISDIR(status.st_mode):
                        folders.append(entry.path)
                    if count > most_files or size > most_bytes:
                        break
        except OSError as error:  # the folder changes while we read it
            if error.errno == errno.ENAMETOOLONG:
                return most_files + 1, size
    return count, size


def changed_within(folder: Path, seconds: float, most: int = 1_000_000) -> bool:
    """True if something in a folder was changed in the last `seconds`, by the time that a program cannot set. Looks at no more than `most` entries."""
    now, folders = time.time(), [str(folder)]
    while folders and most > 0:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    most -= 1
                    status = entry.stat(follow_symlinks=False)
                    if now - seconds < status.st_ctime <= now + 1:  # later than now: the clock was set back
                        return True
                    if stat.S_ISDIR(status.st_mode):
                        folders.append(entry.path)
        except OSError:  # the folder changes while we read it, or is nested too deep
            continue
    return False


def remove(folder: Path) -> None:
    """Removes a folder with rm, which works at any depth. Folders without permissions for their owner are opened first."""
    delete = ["rm", "-rf", "--", str(folder)]
    if os.path.lexists(folder) and subprocess.run(delete, stderr=subprocess.DEVNULL).returncode:
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(folder)], stderr=subprocess.DEVNULL)
        subprocess.run(delete)
