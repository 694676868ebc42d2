"""Finds what must not leave this machine unseen: secrets in commits to push, and changes to files that control a forge.

It reads the added lines of all commits in base..tip, because all of them are pushed."""
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import IO, NamedTuple

from engine.errors import PolicyViolation
from engine.git.repository import Repository
from engine.text import shown

SECONDS = 900.0
SHORTEST = 8          # characters; shorter values of settings are in too many texts to look for
MOST_NAMED = 10
DIFF = ("-p", "-U0", "-m", "--root", "--text", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv", "--no-notes", "--no-show-signature",
        "--ignore-submodules=none", "--src-prefix=a/", "--dst-prefix=b/")

# name -> pattern. Each has a fixed beginning, so that words that only look random are not taken for secrets.
PATTERNS = {
    "a private key": rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----",
    "a GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b",
    "a GitLab token": rb"\bgl(?:pat|ptt|dt|rt|cbt|soat|ft|agent)-[A-Za-z0-9_\-.]{20,}",
    "an AWS access key": rb"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
    "a Google API key": rb"\bAIza[A-Za-z0-9_\-]{35}\b",
    "a Slack token": rb"\bxox[abeoprs]-[A-Za-z0-9-]{20,}",
    "a Stripe key": rb"\b[rs]k_live_[A-Za-z0-9]{20,}",
    "a model provider's key": rb"\bsk-(?:ant-|proj-|svcacct-)[A-Za-z0-9_\-]{20,}",
    "an npm token": rb"\bnpm_[A-Za-z0-9]{36}\b",
    "a PyPI token": rb"\bpypi-AgE[A-Za-z0-9_\-]{50,}",
    "an Azure storage key": rb"\bAccountKey=[A-Za-z0-9+/]{86}==",
}
_ANY = re.compile(b"|".join(b"(" + pattern + b")" for pattern in PATTERNS.values()))
_NAMES = tuple(PATTERNS)
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


class Leak(NamedTuple):
    """The place of a secret, never the secret itself. known: True if it is the value of one of our own settings."""

    place: str
    what: str
    known: bool


def check_paths(repository: Repository, base: str, tip: str, patterns: tuple[str, ...]) -> list[str]:
    """Changed paths (printable) that match a pattern: a name, a folder with everything in it, or with * and ?. Upper and lower case are the same."""
    out = repository.git("log", "--format=", "--name-only", "-z", "-m", "--root", "--no-renames", "--end-of-options", f"{base}..{tip}", "--", timeout=SECONDS)
    paths = dict.fromkeys(shown(part.strip(b"\n")) for part in out.split(b"\0") if part.strip(b"\n"))
    return [path for path in paths if any(matches(path, pattern) for pattern in patterns)]


def matches(path: str, pattern: str) -> bool:
    path, pattern = path.lower(), pattern.lower().strip("/")
    return fnmatchcase(path, pattern) or fnmatchcase(path, pattern + "/*")


def check_secrets(repository: Repository, base: str, tip: str, known: dict[str, str], cleared: bool = False) -> None:
    """known: {setting: its secret value}. cleared: someone confirmed that text that looks like a secret is none.
    Raises PolicyViolation with file and line; extra["known"] is True if it is the value of a setting, which nobody can clear."""
    found = [leak for leak in leaks(repository, base, tip, known) if leak.known or not cleared]
    if not found:
        return
    ours = any(leak.known for leak in found)
    named = list(dict.fromkeys(f"{leak.place} ({leak.what})" for leak in found))
    more = f" and {len(named) - MOST_NAMED} more places" if len(named) > MOST_NAMED else ""
    what = "a secret" if ours else "what looks like a secret"
    raise PolicyViolation(f"Nothing was pushed, because there is {what} in {', '.join(named[:MOST_NAMED])}{more}."
                          " It would stay in the history even if a later commit removed it.", known=ours)


def leaks(repository: Repository, base: str, tip: str, known: dict[str, str]) -> Iterator[Leak]:
    values = {value.encode("utf-8", "surrogateescape"): f"the value of {name}" for name, value in known.items() if len(value) >= SHORTEST}
    ours = re.compile(b"|".join(re.escape(value) for value in values)) if values else None
    span = f"{base}..{tip}"
    with repository.stream("log", "--format=%H %B%x00", "--end-of-options", span, "--", timeout=SECONDS) as stream:
        for message in stream.read(50_000_000).split(b"\0"):
            yield from _found(message.strip(), f"the message of commit {message.strip()[:12].decode('ascii', 'replace')}", ours, values)
    with repository.stream("log", "--format=", *DIFF, "--end-of-options", span, "--", timeout=SECONDS, config=("core.quotePath=false",)) as stream:
        for path, number, line in _added(stream):
            for leak in _found(line, "", ours, values):
                yield leak._replace(place=f"{shown(path)}:{number}")


def _found(text: bytes, place: str, ours: re.Pattern[bytes] | None, values: dict[bytes, str]) -> Iterator[Leak]:
    if ours and (match := ours.search(text)):
        yield Leak(place, values[match[0]], True)
    elif match := _ANY.search(text):
        yield Leak(place, _NAMES[(match.lastindex or 1) - 1], False)


def _added(stream: IO[bytes]) -> Iterator[tuple[bytes, int, bytes]]:
    """(path, line number, added line) of a diff without context. Lines are counted from the hunk's header, because a line may contain anything."""
    path, removed, number, added = b"", 0, 0, 0
    for line in stream:
        if removed and line.startswith(b"-"):
            removed -= 1
        elif added and line.startswith(b"+"):
            yield path, number, line[1:]
            number, added = number + 1, added - 1
        elif match := _HUNK.match(line):
            removed, number, added = int(match[1] or 1), int(match[2]), int(match[3] or 1)
        elif line.startswith(b"+++ "):
            path = line[4:].rstrip(b"\n").rstrip(b"\t").removeprefix(b'"').removesuffix(b'"').removeprefix(b"b/")


def redacted(text: str, known: dict[str, str]) -> str:
    """The text without the secret values of our settings, and without anything that looks like a secret."""
    for value in known.values():
        if len(value) >= SHORTEST:
            text = text.replace(value, "[redacted]")
    return _ANY.sub(b"[redacted]", text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
