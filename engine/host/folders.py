"""Measures, tames and removes folders that a sandbox writes to. Links are not followed."""
import errno
import os
import stat
import subprocess
import time
from pathlib import Path

LONGEST_PATH = 3500  # characters; the kernel takes 4095, and a name has up to 255


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

    def is_new(status: os.stat_result) -> bool:
        return now - seconds < status.st_ctime <= now + 1  # later than that: the clock was set back

    while folders and most > 0:
        path = folders.pop()
        try:
            if is_new(os.lstat(path)):
                return True
            with os.scandir(path) as entries:
                for entry in entries:
                    most -= 1
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        folders.append(entry.path)
                    elif is_new(status):
                        return True
        except OSError:  # the folder changes while we read it, or is nested too deep
            continue
    return False


def remove(folder: Path) -> None:
    """Removes a folder with rm, which works at any depth. Folders without permissions for their owner are opened first."""
    delete = ["rm", "-rf", "--", str(folder)]
    if os.path.lexists(folder) and subprocess.run(delete, stderr=subprocess.DEVNULL).returncode:
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(folder)], stderr=subprocess.DEVNULL)
        subprocess.run(delete)


def copy(source: Path, target: Path) -> str | None:
    """Copies all in a folder into another one, as it is. -> None, or the last words of cp when it failed"""
    copied = subprocess.run(["cp", "-a", "--reflink=auto", "--", f"{source}/.", str(target)], capture_output=True)
    return copied.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2] or "cp said nothing" if copied.returncode else None


def tame(folder: Path) -> None:
    """Gives all in a folder whose sandbox is dead to this folder's owner alone, without special bits. A file for which that is not possible is
    replaced by an empty one, so that nobody takes it for absent; a folder is removed. If the folder itself is gone, an empty one takes its place."""
    if folder.is_symlink() or not folder.is_dir():
        remove(folder)
        folder.mkdir(mode=0o700)
    of, pending = os.lstat(folder), [str(folder)]
    while pending:
        os.chmod(pending[-1], 0o700)
        with os.scandir(pending.pop()) as entries:
            for entry in list(entries):
                is_folder = entry.is_dir(follow_symlinks=False)
                if not _made_plain(entry, of):
                    remove(Path(entry.path))
                    if not is_folder:
                        os.close(os.open(entry.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
                elif is_folder:
                    pending.append(entry.path)


def _made_plain(entry: os.DirEntry[str], of: os.stat_result) -> bool:
    """False if it cannot be made plain: a foreign file, a further name of a file with special bits, a path that is too long."""
    try:
        status = entry.stat(follow_symlinks=False)
        special = status.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX)
        strange = (status.st_uid, status.st_gid) != (of.st_uid, of.st_gid)
        if stat.S_ISDIR(status.st_mode) and len(entry.path) > LONGEST_PATH:
            return False
        if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:  # the other name may be a file of the host
            return not (special or strange)
        if strange:
            os.chown(entry.path, of.st_uid, of.st_gid, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode) and not stat.S_ISLNK(status.st_mode):
            os.chmod(entry.path, 0o600)
    except OSError:  # the caller removes it, however deep it is
        return False
    return True
