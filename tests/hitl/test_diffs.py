import pytest
from conftest import git

from hitl.changes import parse as diffs


@pytest.fixture
def tree(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "kept.txt").write_text("".join(f"line {n}\n" for n in range(1, 21)))
    (tmp_path / "gone.txt").write_text("-- a/looks like a header\n+++ so does this\n")
    (tmp_path / "old name.txt").write_text("the same text on several lines\n" * 5)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def change(tree):
    git(tree, "add", "-A")
    return diffs.parse(git(tree, "diff", "--cached", "-M", "--no-color"))


def test_rows_have_the_numbers_of_both_sides(tree):
    (tree / "kept.txt").write_text((tree / "kept.txt").read_text().replace("line 10\n", "line ten\nline ten and a half\n"))
    [file] = change(tree)
    assert (file.path, file.change, file.added, file.removed) == ("kept.txt", "changed", 2, 1)
    assert [(row.kind, row.old, row.new, row.text) for row in file.rows if row.kind in ("added", "removed")] == [
        ("removed", 10, None, "line 10"), ("added", None, 10, "line ten"), ("added", None, 11, "line ten and a half")]
    assert [(row.old, row.new) for row in file.rows if row.kind == "same"] == [(7, 7), (8, 8), (9, 9), (11, 12), (12, 13), (13, 14)]


def test_a_removed_line_that_looks_like_a_header_is_a_line(tree):
    (tree / "gone.txt").unlink()
    [file] = change(tree)
    assert (file.path, file.change, file.removed) == ("gone.txt", "deleted", 2)
    assert [row.text for row in file.rows if row.kind == "removed"] == ["-- a/looks like a header", "+++ so does this"]


def test_a_rename_names_both_paths(tree):
    (tree / "old name.txt").rename(tree / "new name.txt")
    [file] = change(tree)
    assert (file.change, file.old_path, file.path) == ("renamed", "old name.txt", "new name.txt")


def test_a_name_with_unusual_bytes_is_shown_as_it_is(tree):
    (tree / "grüße\t\"x\".txt").write_text("a\n")
    [file] = change(tree)
    assert (file.path, file.change) == ('grüße\t"x".txt', "new")


def test_a_binary_file_and_a_new_mode_are_said_in_words(tree):
    (tree / "b.bin").write_bytes(b"\0\1\2")
    (tree / "kept.txt").chmod(0o755)
    binary, kept = change(tree)
    assert (binary.notes, binary.folded, binary.path) == (["Binary file, not shown."], "binary", "b.bin")
    assert (kept.notes, kept.folded) == (["Now executable."], "")


def test_a_missing_end_of_line_is_a_note(tree):
    (tree / "n.txt").write_text("no end")
    [file] = change(tree)
    assert [(row.kind, row.text) for row in file.rows[1:]] == [("added", "no end"), ("note", "No newline at end of file")]


def test_what_is_beyond_the_limit_is_counted(tree):
    (tree / "long.txt").write_text("x\n" * 500)
    (tree / "z.txt").write_text("y\n")
    git(tree, "add", "-A")
    long, last = diffs.parse(git(tree, "diff", "--cached"), most_rows=100)
    assert (len(long.rows), long.cut, long.added) == (100, 401, 500)
    assert (len(last.rows), last.cut, last.added) == (0, 2, 1)


def test_a_mark_that_reorders_text_is_shown_by_name(tree):
    (tree / "t.txt").write_text("if admin\u202e {\n")
    [file] = change(tree)
    assert file.rows[-1].text == "if admin[U+202E] {"


@pytest.mark.parametrize("text", ["", "no diff at all\n", "diff --git a/x b/x\n@@ -1,5 +1,5 @@\n x", "@@ -1 +1 @@\n-a\n+b\n", 'diff --git "a/x'])
def test_a_cut_or_foreign_text_is_no_error(text):
    assert all(file.path is not None for file in diffs.parse(text))
