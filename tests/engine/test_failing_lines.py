"""Two outputs of a check are compared without what differs from run to run, and a failure for another reason is told apart."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import require

from engine.run.failing_lines import failing_lines, same
from engine.run.output import TAIL

PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no")
FAILING = """
import os, time
def test_place():
    x = object()
    assert x is None, os.getcwd()
def test_sum():
    assert sum([1, 2]) == {number}
"""
NODE = """
const test = require('node:test'), assert = require('node:assert');
test('adds', () => {{ assert.strictEqual(1 + 1, {number}); }});
{more}
"""


def run(folder: Path, *command: str) -> tuple[int, str]:
    """Exit code and the part of the output that a run keeps."""
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"})
    return done.returncode, done.stdout[-TAIL:]


def of(folder: Path, files: dict[str, str], *command: str) -> tuple[int, str]:
    folder = folder / "work" / "repo"
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return run(folder, *command)


@pytest.mark.parametrize("option", ["-q", "-v", "-x", "--tb=short"])
def test_pytest(tmp_path: Path, option: str) -> None:
    files = {"test_a.py": FAILING.format(number=4)}
    base = of(tmp_path / "one", files, *PYTEST, option)
    assert base[0] == 1
    assert same(*of(tmp_path / "two", files, *PYTEST, option), *base), "another place, another address, another time"
    more = {"test_a.py": "import sys\n\n" + files["test_a.py"], "test_0.py": "def test_new():\n    assert True\n"}
    assert same(*of(tmp_path / "three", more, *PYTEST, option), *base), "a test that passes, and lines that moved"
    worse = {**more, "test_0.py": "def test_new():\n    assert False\n"}
    assert not same(*of(tmp_path / "four", worse, *PYTEST, option), *base), "one more test fails"
    if option != "-x":  # which ends before it
        assert not same(*of(tmp_path / "five", {"test_a.py": FAILING.format(number=5)}, *PYTEST, option), *base), "it fails for another reason"


@pytest.mark.parametrize("reporter", ["tap", "spec"])
def test_node(tmp_path: Path, reporter: str) -> None:
    require("node")
    command = ("node", "--test", f"--test-reporter={reporter}")

    def files(number: int, more: str = "") -> dict[str, str]:
        return {"a.test.js": NODE.format(number=number, more=more)}
    base = of(tmp_path / "one", files(3), *command)
    assert base[0] == 1
    assert same(*of(tmp_path / "two", files(3), *command), *base)
    assert same(*of(tmp_path / "three", files(3, "test('new', () => {});"), *command), *base)
    assert not same(*of(tmp_path / "four", files(3, "test('new', () => { throw new Error('no'); });"), *command), *base)
    assert not same(*of(tmp_path / "five", files(4), *command), *base)


def test_diff(tmp_path: Path) -> None:
    files = {"want": "a\nb\nc\n", "got": "a\nx\nc\n"}
    for options in (("-u",), ()):
        base = of(tmp_path / "one", files, "diff", *options, "want", "got")
        assert base[0] == 1
        assert same(*of(tmp_path / "two", files, "diff", *options, "want", "got"), *base)
        assert not same(*of(tmp_path / "two", {**files, "got": "a\nx\ny\n"}, "diff", *options, "want", "got"), *base)


def test_a_long_output_that_lost_its_beginning_is_compared_by_the_names_at_its_end(tmp_path: Path) -> None:
    def files(more: str) -> dict[str, str]:
        return {"test_a.py": "import pytest\n@pytest.mark.parametrize('n', range(40))\ndef test_n(n):\n    assert n < 0\n", "test_b.py": more}
    base = of(tmp_path / "one", files(""), *PYTEST, "-q")
    after = of(tmp_path / "two", files("import warnings\ndef test_new():\n    warnings.warn('something new')\n"), *PYTEST, "-q")
    assert len(base[1]) == TAIL and same(*after, *base)
    worse = of(tmp_path / "three", files("def test_new():\n    assert False\n"), *PYTEST, "-q")
    assert not same(*worse, *base)


@pytest.mark.parametrize(("one", "two"), [
    ("E   TimeoutError at 0x7f00aa after 1.02s", "E   TimeoutError at 0x55aa after 12 seconds"),
    ("FAILED /work/repo/tests/test_a.py::test_a - x", "FAILED /srv/d/runs/r-2/work/repo/tests/test_a.py::test_a - x"),
    ("Error: ENOENT /tmp/pytest-of-agent/pytest-0/x", "Error: ENOENT /tmp/pytest-of-agent/pytest-17/y"),
    ("--- FAIL: TestA (0.00s)\n    a_test.go:12: want 1", "--- FAIL: TestA (1.20s)\n    a_test.go:19: want 1"),
    ("2026-01-02T03:04:05.678Z ERROR: no such table: x", "2026-12-02 13:14:15 ERROR: no such table: x"),
    ("Error: connect ECONNREFUSED 127.0.0.1:40001", "Error: connect ECONNREFUSED 127.0.0.1:51234"),
    ("src/a.ts(1,2): error TS2307: no x", "src/a.ts(10,3): error TS2307: no x"),
    ("not ok 1 - adds", "ok 1 - new\nnot ok 2 - adds"),
    ("12 passing (3s)\n  1 failing\n  1) Sum adds:\n", "13 passing (4s)\n  1 failing\n  1) Sum adds:\n"),
])
def test_what_differs_each_time_does_not_count(one: str, two: str) -> None:
    assert same(1, one, 1, two)


@pytest.mark.parametrize(("one", "two"), [
    ((1, "boom"), (2, "boom")), ((1, "FAILED t.py::a - x"), (1, "FAILED t.py::b - x")), ((1, "want 1"), (1, "want 2")), ((None, ""), (1, "")),
    ((1, "--- FAIL: TestA"), (1, "--- FAIL: TestA\n--- FAIL: TestB")),
])
def test_another_failure_is_another(one: tuple, two: tuple) -> None:
    assert not same(*one, *two)


def test_no_line_takes_long() -> None:
    line = "/" + "a/" * 1500 + "x: Error" + ": " * 200 + "1" * 300
    assert re.search("Error", line) and failing_lines("\n".join([line] * 3))
