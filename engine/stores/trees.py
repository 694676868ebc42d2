"""The files of a base commit, made once. They lie below the work trees of its builds, so that a run checks out only what differs from them.

    data/trees/<repository id>/<commit>/   repo/  the files    home/  nothing    index  git's index of these very files    tree.json (written last)

A tree is made under a temporary name and renamed when it is whole and on the disk. It is never changed after that: the index knows its files by inode and
time of change, so git would notice."""
import json
import os
import subprocess
from pathlib import Path

from engine.files import fsync_folder, write_json
from engine.host.folders import remove

ABOUT, INDEX = "tree.json", "index"
LEAST_FILES = 500  # with fewer, a checkout is as quick


def root(data: Path) -> Path:
    return data / "trees"


def name_of(store: Path, commit: str) -> str:
    """The name of the tree of a commit in a store, relative to root()."""
    return f"{store.name.removesuffix('.git')}/{commit}"


def read(data: Path, name: str) -> Path | None:
    """The folder of a tree that can be used; its use is noted. None if there is none."""
    folder = root(data) / name
    try:
        os.utime(folder / ABOUT)
    except OSError:
        return None
    return folder if (folder / INDEX).is_file() else None


def temporary(data: Path, name: str, run: str) -> Path:
    folder = root(data) / f"{name}.{run}.tmp"
    remove(folder)
    for part in ("repo", "home"):
        (folder / part).mkdir(parents=True)
    return folder


def finish(data: Path, name: str, folder: Path, index: Path) -> None:
    """Makes a temporary folder, filled by a sandbox, the tree of its name. One that is there already stays."""
    os.rename(index, folder / INDEX)
    subprocess.run(["sync", "-f", str(folder)], check=True)  # all of it, and not file by file
    write_json(folder / ABOUT, {"bytes": _bytes(folder)})
    target = root(data) / name
    if not (target / ABOUT).exists():
        remove(target)
        os.rename(folder, target)
        fsync_folder(target.parent)


def size_of(folder: Path) -> int:
    """Bytes of a tree."""
    try:
        return int(json.loads((folder / ABOUT).read_bytes())["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _bytes(folder: Path) -> int:
    return sum(os.lstat(os.path.join(parent, name)).st_blocks * 512 for parent, folders, names in os.walk(folder) for name in (*folders, *names))
