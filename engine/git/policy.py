"""The rules for the result of a run. They apply to every entry that any commit of base..tip changes, because all commits are pushed.

A merge is checked where it differs from all its parents; the rest is in the merged commits. Two git processes are enough."""
import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, NamedTuple

from engine.errors import Permanent, PolicyViolation
from engine.git.dangerous_names import is_dot_git, is_gitmodules, link_problem
from engine.git.repository import NOTHING, Repository
from engine.text import shown

GONE, LINK, GITLINK = b"000000", b"120000", b"160000"
LONGEST_LINK = 4096  # bytes; no system follows longer links
CHUNK = 1 << 16
CHANGES = ("--format=", "--raw", "-z", "-c", "-r", "--root", "--no-abbrev", "--no-renames", "--ignore-submodules=none", "--no-notes",
           "--no-show-signature")
MEMORY = 512_000_000  # bytes for git log, which holds the changes of one commit at once: a few small trees within trees can unfold to billions


@dataclass(frozen=True)
class PolicyLimits:
    """Limits for the changes of one run. Sizes are bytes. `changes` limits the work over all commits; `files` is usually reached first."""

    files: int = 10_000
    blob_bytes: int = 25_000_000
    total_bytes: int = 100_000_000
    changes: int = 1_000_000


DEFAULT_LIMITS = PolicyLimits()


class Entry(NamedTuple):
    mode: bytes
    oid: bytes
    path: bytes


def check(repository: Repository, base: str, tip: str, limits: PolicyLimits = DEFAULT_LIMITS, env: Mapping[str, str] = NOTHING) -> int:
    """Checks base..tip -> the number of changed files. env: where the objects are, if they are not in the repository yet.
    Raises PolicyViolation, which names the path and the rule."""
    paths: set[bytes] = set()
    blobs: dict[bytes, Entry] = {}  # by object: files with the same content are checked once …
    links: dict[bytes, list[Entry]] = {}  # … but where a link leads depends on where it is
    for number, entry in enumerate(_changes(repository, base, tip, limits, env)):
        paths.add(entry.path)
        if len(paths) > limits.files or number >= limits.changes:
            name = shown(entry.path)
            raise PolicyViolation(f"The run changes more than {limits.files} files; {name} is the first above the limit.", path=name)
        _check_name(entry)
        if entry.mode == LINK:
            links.setdefault(entry.oid, []).append(entry)
        elif entry.mode != GONE:
            blobs.setdefault(entry.oid, entry)
    if blobs or links:
        _check_contents(repository, blobs, links, limits, env)
    return len(paths)


def _changes(repository: Repository, base: str, tip: str, limits: PolicyLimits, env: Mapping[str, str]) -> Iterator[Entry]:
    """Every changed entry in its new state. It is read as a stream, because a small pack can describe more changes than fit into memory."""
    with _bounded(limits), repository.stream("log", *CHANGES, "--end-of-options", f"{base}..{tip}", "--", env=env, memory=MEMORY) as stream:
        words = _words(stream)
        for word in words:
            if not word.startswith(b":"):
                raise Permanent("The output of git log is not understood.")
            parents = len(word) - len(word.lstrip(b":"))
            columns = word[parents:].split(b" ")  # a mode per parent and the new one, then objects likewise, then the letters
            yield Entry(columns[parents], columns[2 * parents + 1], next(words))


@contextmanager
def _bounded(limits: PolicyLimits) -> Iterator[None]:
    try:
        yield
    except Permanent as error:
        if re.search("out of memory|attempting to allocate|mmap failed", error.sentence, re.I):
            raise PolicyViolation(f"The run changes far more than {limits.files} files in one commit, too many to name one.") from error
        raise


def _words(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(CHUNK):
        *words, rest = (rest + chunk).split(b"\0")
        yield from words


def _check_name(entry: Entry) -> None:
    path = shown(entry.path)
    parts = entry.path.split(b"/")
    if any(is_gitmodules(part) for part in parts):
        raise PolicyViolation(f"{path} was changed. .gitmodules must not change, because it can make git run and fetch things.", path=path)
    if entry.mode == GONE:
        return
    if entry.mode == GITLINK:
        raise PolicyViolation(f"{path} is a submodule. Links to other repositories are not allowed.", path=path)
    if any(is_dot_git(part) for part in parts):
        raise PolicyViolation(f"{path} has a part that some system reads as .git, git's own folder. Such names are not allowed.", path=path)
    if any(part in (b"", b".", b"..") for part in parts):
        raise PolicyViolation(f"{path} is not a valid path.", path=path)


def _check_contents(repository: Repository, blobs: dict[bytes, Entry], links: dict[bytes, list[Entry]], limits: PolicyLimits,
                    env: Mapping[str, str]) -> None:
    """Checks all sizes and the targets of links, with one git process."""
    questions = [b"info %s\n" % oid for oid in blobs] + [b"contents %s\n" % oid for oid in links]
    total = 0
    with repository.stream("cat-file", "--batch-command", stdin=b"".join(questions), env=env) as stream:
        for entry in blobs.values():
            size = _size(stream, entry)
            total += size
            path = shown(entry.path)
            if size > limits.blob_bytes:
                raise PolicyViolation(f"{path} has {_mb(size)}, and a file may have at most {_mb(limits.blob_bytes)}.", path=path)
            if total > limits.total_bytes:
                raise PolicyViolation(f"The changed files have more than {_mb(limits.total_bytes)} in total; {path} exceeds the limit.", path=path)
        for places in links.values():
            size = _size(stream, places[0])
            target = stream.read(size) if size <= LONGEST_LINK else None
            for entry in places:
                problem = link_problem(posixpath.dirname(entry.path), target) if target is not None else "is too long"
                if problem:
                    raise PolicyViolation(f"{shown(entry.path)} is a symbolic link that {problem}{_arrow(target)}.", path=shown(entry.path))
            stream.read(1)  # the line's end after the contents


def _size(stream: IO[bytes], entry: Entry) -> int:
    words = stream.readline().split()
    if len(words) != 3 or words[1] != b"blob":
        raise Permanent(f"The content of {shown(entry.path)} is missing or is not a file.")
    return int(words[2])


def _arrow(target: bytes | None) -> str:
    return f" ({shown(target)})" if target is not None else ""


def _mb(size: int) -> str:
    return f"{size / 1_000_000:.4g} MB" if size >= 10_000 else f"{size} bytes"
