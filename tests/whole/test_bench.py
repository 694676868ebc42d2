"""The benchmark itself: every figure comes out as a number. How large it is is nobody's promise here."""
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import HANG

from bench.__main__ import FIGURES, line, run
from bench.rows import Row, interleaved, percentile
from bench.sizes import LEAST
from engine.config import ROOT


@pytest.mark.parametrize("figure", [figure for figure in FIGURES if figure not in ("vms", "environments", "histories")])
def test_every_row_of_a_figure_has_a_number(figure: str, tmp_path: Path) -> None:
    rows = list(run(LEAST, tmp_path, figure))
    assert rows
    for row in rows:
        assert all(math.isfinite(value) for value in (row.ours, row.judged, *row.peers.values())), row
        assert row.name in line(row) and (row.target is None or f"{row.target[0]} " in line(row))
    assert not list(tmp_path.iterdir()), "what a figure worked on is gone"


@pytest.mark.parametrize("figure", ["vms", "environments", "histories"])
def test_the_least_form_boots_no_machine_and_installs_nothing(figure: str, tmp_path: Path) -> None:
    assert list(run(LEAST, tmp_path, figure)) == []


def test_no_ticket_is_taken_twice_by_four_processes_and_none_is_left(tmp_path: Path) -> None:
    rows = {row.name.partition(": ")[2]: row.ours for row in run(LEAST, tmp_path, "contention")}
    assert (rows["taken twice"], rows["left over"]) == (0, 0)


def test_a_target_is_met_or_missed_and_the_margin_says_by_how_much() -> None:
    assert [(row.met, row.margin) for row in (Row("a", "ms", 5.0, target=("≤", 10.0)), Row("b", "/s", 5.0, target=("≥", 10.0)),
                                              Row("c", "/s", 5.0, ratio=0.9, target=("≥", 0.3)), Row("d", "", 1.0))] == [
        (True, 2.0), (False, 0.5), (True, pytest.approx(3.0)), (None, None)]
    assert Row("none taken twice", "", 0, target=("≤", 0.0)).met is True


def test_subjects_take_turns_and_the_median_counts() -> None:
    turns: list[str] = []
    values = {"a": iter([1.0, 9.0, 2.0]), "b": iter([5.0, 5.0, 7.0])}

    def measured(name: str) -> float:
        turns.append(name)
        return next(values[name])
    assert interleaved({name: lambda name=name: measured(name) for name in values}, 3) == {"a": 2.0, "b": 5.0}  # type: ignore[misc]
    assert "".join(turns) == "ababab"
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 3.0


def test_the_command_prints_machine_and_table_and_writes_the_rows_as_json(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "bench", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0 and all(word in done.stdout for word in ("--quick", "--only", "--json"))
    target = tmp_path / "rows.json"
    done = subprocess.run([sys.executable, "-m", "bench", "--quick", "--only", "pages", "--folder", str(tmp_path), "--json", str(target)],
                          cwd=ROOT, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    found = json.loads(target.read_text())
    assert {"cores", "sqlite", "load before", "file system"} <= found["machine"].keys()
    assert [row["name"] in done.stdout for row in found["rows"]] == [True] * len(found["rows"]) and found["rows"]
