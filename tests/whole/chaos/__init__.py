"""The server under kill -9: a program of its own, `python -m tests.whole.chaos`. See docs/chaos.md."""
import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "doubles")]  # as pytest has them
