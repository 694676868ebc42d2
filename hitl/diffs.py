"""A unified diff, as git writes it, as files with numbered rows. The text is hostile: it is only ever handed to autoescape."""
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from hitl.ansi import visible

MOST_ROWS = 3000  # rows that one page shows; the rest is counted

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPED = re.compile(r"\\([0-7]{3}|.)")
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


@dataclass
class Row:
    """kind: 'hunk', 'same', 'added', 'removed' or 'note' (what git says about the file, not in it)."""

    kind: str
    text: str
    old: int | None = None
    new: int | None = None


@dataclass
class File:
    """change: 'changed', 'new', 'deleted', 'renamed' or 'copied'. cut: rows that are not shown."""

    path: str
    change: str = "changed"
    old_path: str | None = None
    added: int = 0
    removed: int = 0
    cut: int = 0
    rows: list[Row] = field(default_factory=list)


def parse(diff: str, most_rows: int = MOST_ROWS) -> list[File]:
    """The files of a diff in its order; beyond `most_rows` rows in all they are counted and not kept."""
    files: list[File] = []
    lines = iter(diff.split("\n"))
    shown = 0
    for line in lines:
        if line.startswith("diff --git "):
            files.append(File(visible(_name_in_header(line))))
        elif files:
            file = files[-1]
            hunk = _HUNK.match(line)
            rows = list(_hunk(hunk, line, lines)) if hunk else _header(file, line)
            file.added += sum(row.kind == "added" for row in rows)
            file.removed += sum(row.kind == "removed" for row in rows)
            kept = rows[:max(0, most_rows - shown)]
            file.rows += kept
            file.cut += len(rows) - len(kept)
            shown += len(kept)
    return files


def _hunk(found: re.Match[str], line: str, lines: Iterator[str]) -> Iterator[Row]:
    """The rows of one hunk. Its header says how many lines belong to it, so that a removed line '-- a/x' is not taken for a header."""
    old, new = int(found[1]), int(found[3])
    old_end, new_end = old + int(found[2] or 1), new + int(found[4] or 1)
    yield Row("hunk", visible(line))
    while old < old_end or new < new_end:
        line = next(lines, "")
        mark, text = line[:1], visible(line[1:])
        if mark == "+":
            yield Row("added", text, None, new)
            new += 1
        elif mark == "-":
            yield Row("removed", text, old, None)
            old += 1
        elif mark == "\\":
            yield Row("note", text.strip())
        elif mark == " ":
            yield Row("same", text, old, new)
            old, new = old + 1, new + 1
        else:
            return


def _header(file: File, line: str) -> list[Row]:
    """Reads a line between 'diff --git' and the first hunk into `file`; what a person should see comes back as rows."""
    word, _, rest = line.partition(" ")
    if line.startswith("new file mode"):
        file.change = "new"
        return [Row("note", visible("Symbolic link"))] if rest.endswith("120000") else []
    if line.startswith("deleted file mode"):
        file.change = "deleted"
    elif word in ("rename", "copy"):
        which, _, path = rest.partition(" ")
        file.change = "renamed" if word == "rename" else "copied"
        if which == "from":
            file.old_path = visible(_unquoted(path))
        else:
            file.path = visible(_unquoted(path))
    elif word in ("---", "+++"):
        path = _unquoted(rest.rstrip("\t"))
        if path != "/dev/null":
            file.path = visible(path[2:])
    elif line.startswith("Binary files") or line == "GIT binary patch":
        return [Row("note", "Binary file, not shown.")]
    elif line.startswith("new mode"):
        return [Row("note", "Now executable." if rest.endswith("100755") else "No longer executable.")]
    elif word == "\\":
        return [Row("note", visible(rest))]
    return []


def _name_in_header(line: str) -> str:
    """The path of 'diff --git a/x b/x'. Both halves are equal unless it is a rename, which says so on lines of its own."""
    rest = line[len("diff --git "):]
    if rest.startswith('"'):
        return _unquoted(rest[:len(rest) // 2])[2:]
    return rest[2:len(rest) // 2]


def _unquoted(path: str) -> str:
    """git writes a path with unusual bytes in C's quotes."""
    if len(path) < 2 or path[0] != '"' or path[-1] != '"':
        return path
    raw = _ESCAPED.sub(lambda found: chr(int(found[1], 8)) if len(found[1]) == 3 else _SHORT.get(found[1], found[1]), path[1:-1])
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")
