"""All files that differ between two commits. If the whole diff is too long, the other files are only listed, and each is read on request."""
from dataclasses import replace

from engine.git.repository import PLAIN_DIFF, Repository
from hitl.changes import parse as diffs
from hitl.changes.diff_text import visible
from hitl.changes.names import name_of, path_of, shown
from hitl.changes.span import DIFF_LIMIT

NO_SPACE = ("--ignore-all-space",)


def read(repository: Repository, base: str, tip: str, only: str | None = None, start: int = 0, most_rows: int = diffs.MOST_ROWS,
         options: tuple[str, ...] = ()) -> list[diffs.File]:
    """The files. See diffs.parse for only, start and most_rows. A rename in the part that was not read appears as a deleted file and a new file."""
    text = repository.diff(base, tip, DIFF_LIMIT, *options)
    files = diffs.parse(text, most_rows, only, start)
    if not diffs.is_cut(text):
        return files
    files = files[:-1]  # its end is missing
    known = {each.name for each in files} | {each.old_name for each in files}
    return [*files, *(_one(repository, base, tip, each, start, options) if each.name == only else each
                      for each in _listed(repository, base, tip, options) if each.name not in known)]


def without_space(repository: Repository, base: str, tip: str, files: list[diffs.File], only: str | None = None, start: int = 0) -> list[diffs.File]:
    """The same files without lines that differ only in white space. A file with no other differences has no rows and a note.
    Lines keep their numbers."""
    found = {each.name: each for each in read(repository, base, tip, only, start, options=NO_SPACE)}
    hidden = []
    for each in files:
        other = found.get(each.name)
        if other is None or (each.total and not other.total):  # a new mode or name still has a header
            other = replace(each, added=0, removed=0, total=0, skipped=0, cut=0, folded="", rows=[], notes=[*each.notes, "Only white space differs."])
        hidden.append(other)
    return hidden


def _listed(repository: Repository, base: str, tip: str, options: tuple[str, ...]) -> list[diffs.File]:
    plain = [option for option in PLAIN_DIFF if option != "-M"]
    found = []
    for part in repository.git("diff", "--numstat", "-z", "--no-renames", *plain, *options, "--end-of-options", base, tip).split(b"\0")[:-1]:
        added, removed, path = part.split(b"\t", 2)
        binary = added == b"-"
        counts = (0, 0) if binary else (int(added), int(removed))
        found.append(diffs.File(name_of(path), visible(shown(path)), added=counts[0], removed=counts[1], total=sum(counts), cut=sum(counts),
                                folded="binary" if binary else "large", notes=["Binary file, not shown."] if binary else []))
    return found


def _one(repository: Repository, base: str, tip: str, file: diffs.File, start: int, options: tuple[str, ...]) -> diffs.File:
    path = path_of(file.name).decode("utf-8", "surrogateescape")
    with repository.stream("diff", "--no-color", *PLAIN_DIFF, *options, "--end-of-options", base, tip, "--", path) as stream:
        data = stream.read(4 * DIFF_LIMIT)
    found = diffs.parse(data[:data.rfind(b"\n") + 1].decode("utf-8", "backslashreplace"), only=file.name, start=start)
    return found[0] if len(found) == 1 else file
