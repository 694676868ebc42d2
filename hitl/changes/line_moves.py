"""Finds where the lines of an earlier state of a change are now, so that a comment stays next to its line or becomes outdated."""
import re

from engine.git.repository import PLAIN_DIFF, Repository
from hitl.changes.parse import name_in_header

LIMIT = 4_000_000  # bytes of a diff without context
Hunk = tuple[int, int, int]  # first line before, how many, how many more after

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@")


class Moves:
    """The changes between two commits, by file. If they are too large to keep, everything counts as changed."""

    def __init__(self, repository: Repository, earlier: str, now: str) -> None:
        plain = [option for option in PLAIN_DIFF if option != "-M"]
        with repository.stream("diff", "--no-color", "--no-renames", "-U0", *plain, "--end-of-options", earlier, now) as stream:
            data = stream.read(LIMIT + 1)
        self.complete = len(data) <= LIMIT
        self._files: dict[str, list[Hunk]] = {}
        hunks: list[Hunk] = []
        for line in data.decode("utf-8", "surrogateescape").split("\n"):  # no line of a file's content starts like one of these
            if line.startswith("diff --git "):
                hunks = self._files.setdefault(name_in_header(line), [])
            elif found := _HUNK.match(line):
                before, after = int(found[2] or 1), int(found[3] or 1)
                hunks.append((int(found[1]) + (before == 0), before, after - before))

    def changed(self, name: str) -> bool:
        return not self.complete or name in self._files

    def line(self, name: str, line: int) -> int | None:
        """The current number of an earlier line; None if the line has changed, or too much of its file is unknown."""
        if not self.changed(name):
            return line
        hunks = self._files.get(name, [])
        if not hunks:  # the diff was too large, the file is binary, or only its mode changed
            return None
        if any(first <= line < first + before for first, before, _ in hunks):
            return None
        return line + sum(more for first, before, more in hunks if first + before <= line)
