"""Why a check could not run at the base: the program of its command is not in the sandbox, or a package that a manifest names is not there.

What the base does not have yet, a path or a module, is no such reason: the work will bring it, so the check is red."""
import re
from functools import cached_property

from engine.environments.detect.parts import Tree
from engine.environments.manifests import is_named, named

NOT_EXECUTABLE, NOT_FOUND = 126, 127
# Folders in a work tree that a setup fills, and never a commit.
PREPARED = (".venv/", "venv/", "node_modules/", ".tox/", ".nox/", "vendor/bin/", ".bundle/")
_QUOTE = "['\"‘’`“”]"
_SCRIPT = re.compile(rf"(?:^|\n)(?:[^\n:]*/)?(?:sh|dash|bash|ash|zsh|ksh)(?:: (?:line )?\d+)?: (?:can(?:no|')t open )?{_QUOTE}?([^\s:'’]+){_QUOTE}?"
                     r": No such file")
_ABSENT = re.compile(rf"(?:^|[:\s]){_QUOTE}?([^\s:'\"‘’`“”]+){_QUOTE}?: (?:command not found|not found|inaccessible or not found|No such file or directory)")
_DENIED = re.compile(rf"(?:^|[:\s]){_QUOTE}?([^\s:'\"‘’`“”]+){_QUOTE}?: (?:Permission denied|cannot execute|Exec format error|bad interpreter)")
_IMPORTS = tuple(re.compile(pattern) for pattern in (
    r"No module named ['\"]?([\w.]+)", r"Cannot find (?:module|package) ['\"]([^'\"]+)['\"]", r"Failed to resolve import ['\"]([^'\"]+)['\"]",
    r"Could not resolve ['\"]([^'\"]+)['\"]", r"cannot load such file -- (\S+)", r"Could not find gem ['\"]([\w.-]+)", r"Could not find ([\w.-]+?)-\d[\w.]* in",
    r"(?m)^(?:go: )?(?:\S+: )?([\w.-]+\.[\w-]+/[^\s@:]+)@v\S+: ", r"cannot find module providing package ([^\s:]+)",
    r"no matching package named `([\w-]+)` found", r"failed to get `([\w-]+)` as a dependency", r"failed to download `?([\w-]+)",
    r"can't find crate for `([\w-]+)`", r"PackageNotFoundError: (?:No package metadata was found for )?([\w.-]+)",
    r"DistributionNotFound: The '([\w.-]+)"))


class Base:
    """The files of the base, and what its manifests name, read once."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    @cached_property
    def paths(self) -> frozenset[str]:
        names = self._tree.names()
        return frozenset([*names, *("/".join(name.split("/")[:n]) for name in names for n in range(1, name.count("/") + 1))])

    @cached_property
    def packages(self) -> frozenset[str]:
        return named(self._tree)


def why_cannot_run(base: Base, exit: int | None, output: str, command: str) -> str:
    """A sentence if a check that failed at the base could not run; '' if it ran."""
    if exit in (NOT_EXECUTABLE, NOT_FOUND):
        program = _program(base, exit, output, command)
        if program:
            return f"The program {program} is not in the sandbox (exit {exit})."
    if exit:
        for pattern in _IMPORTS:
            for match in pattern.finditer(output):
                if not match[1].startswith((".", "/", "file:")) and is_named(match[1], base.packages):
                    return f"An import of {match[1]} fails, and a manifest of the repository names it."
    return ""


def _program(base: Base, exit: int, output: str, command: str) -> str:
    """The program that is missing; '' if it is a file that the base lacks, or one that the work can make executable."""
    script = _SCRIPT.search(output) if exit == NOT_FOUND else None
    found = [script[1]] if script else (_ABSENT if exit == NOT_FOUND else _DENIED).findall(output) or command.split()[:1]
    if not found:
        return ""
    name = found[-1]
    if script or "/" in name:
        if not _is_of_work(name):
            return name
        return f"that {name} asks for" if exit == NOT_FOUND and not script and _in_tree(name) in base.paths else ""
    return name


def _is_of_work(name: str) -> bool:
    """True for a path that a commit could bring."""
    inside = _in_tree(name)
    return not inside.startswith(("/", "..")) and not any(inside.startswith(folder) or f"/{folder}" in inside for folder in PREPARED)


def _in_tree(name: str) -> str:
    """A path below the work tree, which is at …/repo in each sandbox."""
    return re.sub(r"^(?:/\S*?/repo/|(?:\./)+)", "", name)
