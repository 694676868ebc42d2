"""Snapshots on the disk.

    data/environments/<key>/        repo/  files that setup made in the work tree    home/  the home folder    environment.json  (written last)
    data/environments/<key>.lock    held exclusively while the snapshot is made or removed, shared while a run stands on it

A snapshot is made under a temporary name and renamed when it is whole and on the disk. It is never changed after that."""
import contextlib
import fcntl
import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.environments.key import FORMAT
from engine.errors import Transient
from engine.files import fsync_folder, write_json
from engine.host.folders import measure, remove

if TYPE_CHECKING:  # a run that makes no snapshot does not load it
    from engine.environments.steps import Steps

ABOUT = "environment.json"
MOST_FILES = 5_000_000


class Snapshot(NamedTuple):
    """bytes: on the disk. env: variables for every sandbox: of the steps, and those that their commands left. services: as in the steps."""

    folder: Path
    bytes: int
    entries: int
    seconds: float
    env: dict[str, str]
    services: dict[str, Any]


def root(data: Path) -> Path:
    return data / "environments"


def read(folder: Path) -> Snapshot | None:
    """The snapshot in a folder; None if there is none, or none that this program can use. Quick: damage inside shows in damage()."""
    try:
        about = json.loads((folder / ABOUT).read_bytes())
        if about["format"] != FORMAT or about["key"] != folder.name or not (folder / "repo").is_dir() or not (folder / "home").is_dir():
            return None
        return Snapshot(folder, int(about["bytes"]), int(about["entries"]), float(about["seconds"]), dict(about["env"]), dict(about["services"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def damage(snapshot: Snapshot) -> str | None:
    """A sentence if files of a snapshot are missing or were added since it was made; None if it is as it was. Takes a walk over all its files."""
    count = sum(measure(snapshot.folder / part, MOST_FILES, 1 << 60)[0] for part in ("repo", "home"))
    return f"The snapshot has {count:,} files and folders instead of {snapshot.entries:,}, so it is made again." if count != snapshot.entries else None


@contextlib.contextmanager
def locked(data: Path, key: str, exclusive: bool, wait: float) -> Iterator[None]:
    """Holds the lock of a key. Raises Transient after `wait` seconds."""
    descriptor = take(data, key, exclusive, wait)
    try:
        yield
    finally:
        os.close(descriptor)


def take(data: Path, key: str, exclusive: bool, wait: float) -> int:
    """The descriptor of a key's lock, held until it is closed. Raises Transient after `wait` seconds."""
    root(data).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root(data) / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end, how = time.monotonic() + wait, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(descriptor)
                raise Transient("Another run is making this environment, and it takes long. This run tries again later.") from None
            time.sleep(0.05)


def temporary(data: Path, key: str, run: str) -> Path:
    """A new folder for a snapshot in the making, with empty repo/ and home/. What an earlier try of this run left is removed."""
    folder = root(data) / f"{key}.{run}.tmp"
    remove(folder)
    for part in ("repo", "home"):
        (folder / part).mkdir(parents=True)
    return folder


def finish(data: Path, key: str, folder: Path, seconds: float, env: dict[str, str], steps: "Steps", made_of: dict[str, Any]) -> Snapshot:
    """Makes a temporary folder the snapshot of its key. One that is there, and cannot be used, is replaced."""
    _drop_special_bits(folder)
    entries, size = measure(folder, MOST_FILES, 1 << 60)
    target = root(data) / key
    write_json(folder / ABOUT, {"format": FORMAT, "key": key, "bytes": size, "entries": entries - 2, "seconds": round(seconds, 1), "env": env,
                                "services": steps.as_json().get("services", {}), "made_of": made_of, "at": int(time.time())})
    subprocess.run(["sync", "-f", str(folder)], check=True)  # all of it, and not file by file
    if target.exists():
        remove(target)
    os.rename(folder, target)
    fsync_folder(root(data))
    return Snapshot(target, size, entries - 2, round(seconds, 1), env, steps.as_json().get("services", {}))


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
        with locked(data, key, True, 0):
            doomed = root(data) / f"{key}.removed.tmp"
            if (root(data) / key).exists():
                remove(doomed)
                os.rename(root(data) / key, doomed)
            if wholly:
                remove(doomed)
            return True
    except Transient:
        return False


def leftovers(data: Path, alive: set[str]) -> list[Path]:
    """Temporary folders of runs that are not alive."""
    return [folder for folder in root(data).glob("*.tmp") if folder.name.split(".")[1] not in alive]
