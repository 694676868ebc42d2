"""Folders that a sandbox writes to: how much is in them, and away with them. No link is followed."""
import errno
import os
import stat
import subprocess
from pathlib import Path


def measure(folder: Path, most_files: int, most_bytes: int) -> tuple[int, int]:
    """-> (entries, bytes on the disk) below a folder; counts no further once there are more than the most. What is nested too deep
    to be looked at counts as too many."""
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
        except OSError as error:  # it changes while we look
            if error.errno == errno.ENAMETOOLONG:
                return most_files + 1, size
    return count, size


def remove(folder: Path) -> None:
    """By rm: it minds no depth, and a folder closed to its owner is opened first."""
    delete = ["rm", "-rf", "--", str(folder)]
    if os.path.lexists(folder) and subprocess.run(delete, stderr=subprocess.DEVNULL).returncode:
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(folder)], stderr=subprocess.DEVNULL)
        subprocess.run(delete)
