"""The short form of `make chaos`: some rounds of kill -9, and then everything must be there exactly once. docs/chaos.md has the long form."""
import subprocess
import sys

from conftest import require

from engine.config import ROOT


def test_whatever_is_killed_nothing_is_lost_and_nothing_is_done_twice() -> None:
    require("bwrap")
    ended = subprocess.run([sys.executable, "-m", "tests.whole.chaos", "--rounds", "10", "--seed", "2729", "--features", "9"], cwd=ROOT,
                           capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
