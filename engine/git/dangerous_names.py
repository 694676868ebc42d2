"""Names and link targets by which a tree could reach outside itself, on any file system.

Which names stand for .git on HFS+ and NTFS: git's own path checks (core.protectHFS, core.protectNTFS)."""
import re

# HFS+ ignores these within a name
_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_GITMODULES_SHORT = re.compile(r"gitmod~[1-4]|gi7eba~[1-9]|gi7eb~[1-9][0-9]")


def is_dot_git(part: bytes) -> bool:
    """True for a part of a path that some file system reads as .git: .GIT, "git~1", ".git ", ".git::$INDEX_ALLOCATION", a\\.git …"""
    return any(name in (".git", "git~1") for name in _readings(part))


def is_gitmodules(part: bytes) -> bool:
    return any(name == ".gitmodules" or _GITMODULES_SHORT.fullmatch(name) for name in _readings(part))


def _readings(part: bytes) -> list[str]:
    """The names that file systems could read in one part: without HFS+'s ignored characters, split where Windows splits, without the
    stream name and the trailing dots and spaces that NTFS drops."""
    text = _IGNORED.sub("", part.decode("utf-8", "surrogateescape")).casefold()
    return [piece.split(":")[0].rstrip(" .") for piece in text.split("\\")]


def link_problem(folder: bytes, target: bytes) -> str | None:
    """The problem of a symbolic link to `target` in `folder` (b"" for the root), or None if it certainly stays inside the tree.

    `..` is allowed only at the beginning. After a folder's name it could lead anywhere, because the folder may be a link, now or in a
    later commit. So each link goes up only through real folders, and then down; the links there follow the same rule."""
    if target.startswith(b"/"):
        return "leaves the tree"
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    ups = next((number for number, part in enumerate(parts) if part != b".."), len(parts))
    if ups > len([part for part in folder.split(b"/") if part]):
        return "leaves the tree"
    if b".." in parts[ups:]:
        return "goes up again after it went down and so could leave the tree"
    if any(is_dot_git(part) for part in parts):
        return "leads into git's own folder"
    return None
