"""Parses a unified diff from git into files with numbered rows. The text is hostile and must always be escaped."""
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from hitl.changes.diff_text import Piece, spelled, visible
from hitl.changes.folding import FIRST_LINES, LARGE, is_generated
from hitl.changes.names import name_of, shown, unquoted

MOST_ROWS = 2000  # rows that one page shows; the rest is counted, and one click shows it

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_KINDS = {"+": "added", "-": "removed", " ": "same"}


@dataclass(slots=True)
class Row:
    """kind: 'hunk', 'same', 'added', 'removed' or 'note' (git's remark about the file, not its content). raw: the line as it is in the file."""

    kind: str
    raw: str
    old: int | None = None
    new: int | None = None

    @property
    def text(self) -> str:
        return visible(self.raw)

    @property
    def pieces(self) -> list[Piece]:
        return spelled(self.raw)


@dataclass
class File:
    """name: see hitl/changes/names.py; path: the name for people. change: 'changed', 'new', 'deleted', 'renamed' or 'copied'.
    folded: '' or why ('binary', 'generated', 'large'). total: all rows; `skipped` rows come before `rows`, and `cut` rows after them."""

    name: str = ""
    path: str = ""
    change: str = "changed"
    old_name: str | None = None
    old_path: str | None = None
    added: int = 0
    removed: int = 0
    total: int = 0
    skipped: int = 0
    cut: int = 0
    folded: str = ""
    notes: list[str] = field(default_factory=list)   # a new mode, a binary file: shown even if the file is folded
    rows: list[Row] = field(default_factory=list)

    def named(self, path: bytes) -> None:
        self.name, self.path = name_of(path), visible(shown(path))


def parse(diff: str, most_rows: int = MOST_ROWS, only: str | None = None, start: int = 0) -> list[File]:
    """The files of a diff in its order. Rows beyond `most_rows` in total, and rows of folded files, are counted but not kept.

    only: the name of the only file whose rows are kept, folded or not, starting at its row `start`."""
    files: list[File] = []
    first: list[str] = []
    lines = iter(diff.split("\n"))
    left = most_rows

    def close() -> None:
        nonlocal left
        if not files:
            return
        file = files[-1]
        if not file.total and not file.notes and file.change != "changed":
            file.notes.append("Only the name differs." if file.old_name else "Empty file.")
        if not file.folded and (is_generated(file.path, first) or file.total > LARGE):
            file.folded = "generated" if is_generated(file.path, first) else "large"
        if (only is None and file.folded) or only not in (None, file.name):
            file.rows = []
        file.skipped = min(start, file.total) if only == file.name else 0
        file.rows = file.rows[file.skipped:file.skipped + left]
        file.cut = file.total - file.skipped - len(file.rows)
        left -= len(file.rows)

    for line in lines:
        if line.startswith("diff --git "):
            close()
            files.append(File())
            files[-1].named(_path_in_header(line))
            first = []
        elif files and (hunk := _HUNK.match(line)):
            wanted = start + most_rows if only == files[-1].name else left if only is None else 0
            _hunk(files[-1], hunk, line, lines, wanted, first)
        elif files:
            _header(files[-1], line)
    close()
    return files


def is_cut(diff: str) -> bool:
    """Whether the diff ends with the note of Repository.diff that it was too long."""
    return diff.rpartition("\n")[0].rpartition("\n")[2].startswith("\\ The diff is longer than ")


def _hunk(file: File, found: re.Match[str], line: str, lines: Iterator[str], wanted: int, first: list[str]) -> None:
    """Reads one hunk. Its header says how many lines belong to it, so a removed line '-- a/x' is not mistaken for a header."""
    old, new = int(found[1]), int(found[3])
    old_end, new_end = old + int(found[2] or 1), new + int(found[4] or 1)
    _keep(file, Row("hunk", line), wanted)
    while old < old_end or new < new_end:
        line = next(lines, "")
        mark = line[:1]
        if mark == "\\":
            _keep(file, Row("note", line[1:].strip()), wanted)
            continue
        kind = _KINDS.get(mark)
        if kind is None:
            return
        if kind != "removed" and len(first) < FIRST_LINES and new <= FIRST_LINES:
            first.append(line[1:])
        file.added += kind == "added"
        file.removed += kind == "removed"
        if len(file.rows) < wanted:
            file.rows.append(Row(kind, line[1:], None if kind == "added" else old, None if kind == "removed" else new))
        file.total += 1
        old, new = old + (kind != "added"), new + (kind != "removed")


def _keep(file: File, row: Row, wanted: int) -> None:
    file.total += 1
    if len(file.rows) < wanted:
        file.rows.append(row)


def _header(file: File, line: str) -> None:
    """Reads a line between 'diff --git' and the first hunk, or after a hunk, into `file`."""
    word, _, rest = line.partition(" ")
    if line.startswith("new file mode"):
        file.change = "new"
        file.notes += {"120000": ["Symbolic link."], "100755": ["Executable."]}.get(rest[-6:], [])
    elif line.startswith("deleted file mode"):
        file.change = "deleted"
    elif word in ("rename", "copy") and rest.startswith(("from ", "to ")):
        which, _, path = rest.partition(" ")
        raw = unquoted(_bytes(path))
        file.change = "renamed" if word == "rename" else "copied"
        if which == "from":
            file.old_name, file.old_path = name_of(raw), visible(shown(raw))
        else:
            file.named(raw)
    elif word in ("---", "+++"):
        raw = unquoted(_bytes(rest.rstrip("\t")))
        if raw != b"/dev/null":
            file.named(raw[2:])
    elif line.startswith("Binary files") or line == "GIT binary patch":
        file.folded = "binary"
        file.notes.append("Binary file, not shown.")
    elif line.startswith("new mode"):
        file.notes.append("Now executable." if rest.endswith("100755") else "No longer executable.")
    elif word == "\\":  # a note on the last line of a hunk
        _keep(file, Row("note", rest), len(file.rows) + (len(file.rows) == file.total))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def name_in_header(line: str) -> str:
    """The name of the file in a line 'diff --git …' of a diff without renames."""
    return name_of(_path_in_header(line))


def _path_in_header(line: str) -> bytes:
    """The path in 'diff --git a/x b/x'. Both halves are equal unless the file was renamed, and separate lines report a rename."""
    rest = line[len("diff --git "):]
    if rest.startswith('"'):
        return unquoted(_bytes(rest[:len(rest) // 2]))[2:]
    return _bytes(rest[2:len(rest) // 2])
