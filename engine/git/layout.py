"""Where the parts of a local repository are: bare, with a .git folder, a linked worktree or a submodule (.git is a file), with borrowed objects.

Reads files only. It runs no git, so nothing of the repository's configuration can act."""
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LONGEST_FILE = 65536   # bytes of a .git file, of commondir and of a list of alternates
MOST_ALTERNATES = 50   # folders; git itself follows five levels of them


class Layout(NamedTuple):
    """Folders of a repository, with links resolved. git_dir has HEAD; common has config, objects and refs: another folder for a linked worktree."""

    git_dir: Path
    common: Path
    pointer: bool  # .git is a file

    @property
    def linked(self) -> bool:
        return self.git_dir != self.common


def layout_of(path: Path) -> Layout | None:
    """The layout of the repository at `path`, or None if there is none. Raises OSError for what may not be read."""
    dot_git = path / ".git"
    pointer = dot_git.is_file()
    git_dir = _named_in(dot_git, "gitdir: ", path) if pointer else dot_git if os.path.lexists(dot_git) else path
    if git_dir is None or not os.path.lexists(git_dir / "HEAD"):
        return None
    git_dir = git_dir.resolve()
    common = _named_in(git_dir / "commondir", "", git_dir) or git_dir
    return Layout(git_dir, common.resolve(), pointer) if (common / "objects").is_dir() else None


def enclosing(path: Path) -> Path | None:
    """The nearest folder above `path` that is a repository, or None."""
    for parent in path.parents:
        try:
            if layout_of(parent):
                return parent
        except OSError:
            return None
    return None


def object_folders(layout: Layout) -> Iterator[Path]:
    """The folder of the repository's objects, then those that it borrows from (objects/info/alternates), whether they exist or not."""
    waiting, seen = [layout.common / "objects"], set[Path]()
    while waiting and len(seen) < MOST_ALTERNATES:
        folder = waiting.pop(0).resolve()
        if folder not in seen:
            seen.add(folder)
            yield folder
            waiting += [folder / line for line in _lines(folder / "info" / "alternates") if not line.startswith("#")]


def _named_in(file: Path, prefix: str, relative_to: Path) -> Path | None:
    """The path in the first line of a file, after `prefix`."""
    line = next(iter(_lines(file)), "")
    return relative_to / line.removeprefix(prefix) if line.startswith(prefix) and line != prefix else None


def _lines(file: Path) -> list[str]:
    """The lines of a small file; [] if there is no such file."""
    try:
        with open(file, "rb") as stream:
            return [os.fsdecode(line) for line in stream.read(LONGEST_FILE).split(b"\n") if line]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return []
