"""Snapshots on the disk.

    data/environments/<key>          a link to the folder of the snapshot that is used now
    data/environments/<key>.<run>/   repo/  files that setup made in the work tree    home/  the home folder
                                     environment.json  (written last)    lock  held shared by each run that stands on it
    data/environments/<key>.lock     held exclusively by the run that makes a snapshot of this key

A snapshot is made under a temporary name, and renamed and linked when it is whole and on the disk. It is never changed after that. One that is made
again gets a folder of its own, so runs that stand on the older one are not disturbed."""
import contextlib
import fcntl
import json
import os
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.crash import point
from engine.environments.key import FORMAT
from engine.environments.locks import LOCK, held, locked
from engine.errors import Transient
from engine.files import fsync_folder, write_json
from engine.host.folders import measure, remove

if TYPE_CHECKING:  # a run that makes no snapshot does not load it
    from engine.environments.steps import Steps

ABOUT = "environment.json"
MOST_FILES = 5_000_000


class Snapshot(NamedTuple):
    """folder: its own, not the link. bytes: on the disk. length: of all its files together. env: variables for every sandbox: of the steps, and those
    that their commands left. services: as in the steps."""

    folder: Path
    bytes: int
    entries: int
    length: int
    seconds: float
    env: dict[str, str]
    services: dict[str, Any]


def root(data: Path) -> Path:
    return data / "environments"


def lock_of(data: Path, key: str) -> Path:
    return root(data) / f"{key}.lock"


def read(folder: Path) -> Snapshot | None:
    """The snapshot at data/environments/<key>; None if there is none, or none that this program can use. Quick: damage inside shows in damage()."""
    real = Path(os.path.realpath(folder))
    try:
        about = json.loads((real / ABOUT).read_bytes())
        if about["format"] != FORMAT or about["key"] != folder.name or not (real / "repo").is_dir() or not (real / "home").is_dir():
            return None
        return Snapshot(real, int(about["bytes"]), int(about["entries"]), int(about["length"]), float(about["seconds"]), dict(about["env"]),
                        dict(about["services"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def made_of(folder: Path) -> dict[str, Any] | None:
    """What the snapshot in a folder was made of: {commit, ticket, steps, inputs}, as engine/run/setup.py says it; None if there is none."""
    try:
        about = json.loads((folder / ABOUT).read_bytes())
        return dict(about["made_of"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def damage(snapshot: Snapshot) -> str | None:
    """A sentence if files of a snapshot are missing, were added or have another length; None if it is as it was. Takes a walk over all its files."""
    entries, length = _counted(snapshot.folder)
    if (entries, length) == (snapshot.entries, snapshot.length):
        return None
    what = f"{entries:,} files and folders instead of {snapshot.entries:,}" if entries != snapshot.entries else "files of another length"
    return f"The environment was damaged: it has {what}. It is made again."


def _counted(folder: Path) -> tuple[int, int]:
    """-> (files and folders, length of all regular files) of a snapshot."""
    count, length, folders = 0, 0, [str(folder / part) for part in ("repo", "home")]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        length += entry.stat(follow_symlinks=False).st_size
        except OSError:  # it is gone, or may not be read: the count differs then
            continue
    return count, length


def stand(data: Path, key: str, wait: float | None) -> tuple[int, Snapshot] | None:
    """The snapshot of a key, with the descriptor that keeps it from being removed until it is closed. None if there is none. If
    it is being made, waits for that, and raises Transient after `wait` seconds; wait None: who has the lock of this key asks, so nobody makes it."""
    with contextlib.ExitStack() as building:
        if wait is not None and read(root(data) / key) is None:
            building.enter_context(locked(lock_of(data, key), False, wait))
        while (snapshot := read(root(data) / key)) is not None:
            descriptor = held(snapshot.folder, fcntl.LOCK_SH)
            if descriptor is not None and os.path.realpath(root(data) / key) == str(snapshot.folder):
                return descriptor, snapshot
            if descriptor is not None:
                os.close(descriptor)
            time.sleep(0.01)  # it is being replaced or removed at this moment
    return None


def spoiled(data: Path, snapshot: Snapshot) -> str | None:
    """damage(). A damaged snapshot is out of use from then on; its files stay until no run stands on it."""
    why, link = damage(snapshot), root(data) / snapshot.folder.name.partition(".")[0]
    if why and os.path.realpath(link) == str(snapshot.folder):
        link.unlink(missing_ok=True)
    return why


def temporary(data: Path, key: str, run: str) -> Path:
    """A new folder for a snapshot in the making, with empty repo/ and home/. Call it with the lock of the key: what killed runs left of this key is
    removed."""
    for left in root(data).glob(f"{key}.*.tmp"):
        remove(left)
    folder = root(data) / f"{key}.{run}.tmp"
    for part in ("repo", "home"):
        (folder / part).mkdir(parents=True)
    return folder


def finish(data: Path, key: str, folder: Path, seconds: float, env: dict[str, str], steps: "Steps", made_of: dict[str, Any]) -> Snapshot:
    """Makes a temporary folder the snapshot of its key, in place of the one that is there. Call it with the lock of the key."""
    _drop_special_bits(folder)
    (entries, length), size = _counted(folder), measure(folder, MOST_FILES, 1 << 60)[1]
    (folder / LOCK).touch()
    services = steps.as_json().get("services", {})
    write_json(folder / ABOUT, {"format": FORMAT, "key": key, "bytes": size, "entries": entries, "length": length, "seconds": round(seconds, 1),
                                "env": env, "services": services, "made_of": made_of, "at": int(time.time())})
    synced = subprocess.run(["sync", "-f", str(folder)], capture_output=True)  # all of it, and not file by file
    if synced.returncode:
        raise Transient(f"The environment could not be written to the disk: {synced.stderr.decode('utf-8', 'replace').strip()[-300:]}")
    point("snapshot-written")
    link, target, older = folder.with_suffix(".link.tmp"), folder.with_suffix(""), read(root(data) / key)
    remove(target)
    os.rename(folder, target)
    point("snapshot-renamed")
    link.unlink(missing_ok=True)
    link.symlink_to(target.name)
    os.rename(link, root(data) / key)
    fsync_folder(root(data))
    point("snapshot-linked")
    if older:
        _remove_free(older.folder)
    return Snapshot(target, size, entries, length, round(seconds, 1), env, services)


def _remove_free(folder: Path) -> bool:
    """Removes the folder of a snapshot that is not linked any more. False: a run stands on it."""
    descriptor = held(folder, fcntl.LOCK_EX) if folder.exists() else None
    if descriptor is None:
        return not folder.exists()
    remove(folder)
    os.close(descriptor)
    return True


def _drop_special_bits(folder: Path) -> None:
    """Removes setuid and setgid bits. The sandbox is dead, so nothing changes under this walk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                os.chmod(path, stat.S_IMODE(mode) & 0o1777)


def delete(data: Path, key: str) -> bool:
    """Removes a snapshot. False: a run stands on it, or another run makes it."""
    return _drop(data, key, True)


def set_aside(data: Path, key: str) -> bool:
    """Takes a snapshot out of use at once; leftovers() has its files. False: a run stands on it, or another run makes it."""
    return _drop(data, key, False)


def _drop(data: Path, key: str, wholly: bool) -> bool:
    try:
        with locked(lock_of(data, key), True, 0):
            folder = Path(os.path.realpath(root(data) / key))
            if not folder.exists():
                return True
            descriptor = held(folder, fcntl.LOCK_EX)
            if descriptor is None:
                return False
            (root(data) / key).unlink()
            if wholly:
                remove(folder)
            os.close(descriptor)
            return True
    except Transient:
        return False


def of_run(data: Path, run: str) -> list[Path]:
    """What an ended run left half-made."""
    return list(root(data).glob(f"*.{run}.*tmp"))


def leftovers(data: Path, alive: set[str]) -> list[Path]:
    """What runs that are not alive left half-made, and folders of snapshots that were replaced and on which no run stands."""
    linked = {os.path.realpath(link) for link in root(data).glob("*") if link.is_symlink()}
    found = []
    for path in root(data).glob("*.*"):
        run = path.name.split(".")[1]
        if path.name.endswith(".tmp"):
            found += [path] if run not in alive else []
        elif path.is_dir() and str(path) not in linked and run not in alive and (descriptor := held(path, fcntl.LOCK_EX)) is not None:
            os.close(descriptor)  # nobody can stand on it from now on, because it is not linked
            found.append(path)
    return found
