"""How far a fetch is, in words, from git's own messages."""
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

EVERY = 2.0      # seconds between two sentences
TAIL = 4096      # bytes of the messages that are read
_RECEIVED = re.compile(r"Receiving objects: +\d+% \((\d+)/(\d+)\)(?:, ([\d.]+) (bytes|KiB|MiB|GiB))?")
_RESOLVED = re.compile(r"Resolving deltas: +(\d+)%")
_PREPARED = re.compile(r"remote: (?:Enumerating|Counting|Compressing) objects: +(\d+)")
_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class Progress:
    """Calls tell() with a sentence whenever look() finds that the fetch has come further. size: bytes of the whole repository, if they are known."""

    def __init__(self, messages: Path, tell: Callable[[str], None], size: int | None = None) -> None:
        self._messages, self._tell, self._size, self._said, self._next = messages, tell, size, "", 0.0

    def look(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        sentence = words(_tail(self._messages), self._size)
        if sentence and sentence != self._said:
            self._said = sentence
            self._tell(sentence)


def words(messages: str, size: int | None = None) -> str:
    """A sentence about the newest of git's messages; '' if they say nothing about progress."""
    told = (found for pattern in (_RECEIVED, _RESOLVED, _PREPARED) for found in pattern.finditer(messages))
    newest = max(told, key=lambda found: found.start(), default=None)
    if newest is None:
        return ""
    if newest.re is _RESOLVED:
        return f"Everything is here. Its parts are put together: {newest[1]} %."
    if newest.re is _PREPARED:
        return "The other side prepares what will be fetched."
    done, total = int(newest[1]), int(newest[2])
    fetched = float(newest[3]) * _UNITS[newest[4]] / 1e6 if newest[3] else 0.0
    most = f" of {max(size / 1e6, fetched):,.0f}" if size else ""
    return f"Fetching {fetched:,.0f}{most} MB, {done:,} of {total:,} objects."


def _tail(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return file.read(TAIL).decode("utf-8", "replace")
    except OSError:
        return ""
