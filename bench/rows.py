"""A line of the table, and how its numbers come about: medians of subjects that take turns."""
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

Subject = TypeVar("Subject")
Target = tuple[str, float]  # ("≤" or "≥", limit)


@dataclass
class Row:
    """`ours`, `raw` and `peers` are in `unit`. The target is for ours, or for `ratio` (how ours stands to something else) where there is one."""

    name: str
    unit: str
    ours: float
    raw: float | None = None
    peers: dict[str, float] = field(default_factory=dict)
    ratio: float | None = None
    target: Target | None = None
    note: str = ""

    @property
    def judged(self) -> float:
        return self.ours if self.ratio is None else self.ratio

    @property
    def met(self) -> bool | None:
        """None: nothing was promised."""
        if self.target is None:
            return None
        sign, limit = self.target
        return self.judged <= limit if sign == "≤" else self.judged >= limit

    @property
    def margin(self) -> float | None:
        """How often better than the target; below 1 it is missed."""
        if self.target is None:
            return None
        sign, limit = self.target
        better, worse = (limit, self.judged) if sign == "≤" else (self.judged, limit)
        return better / worse if worse else (1.0 if better == 0 else math.inf)


def interleaved(subjects: Mapping[Subject, Callable[[], float]], times: int) -> dict[Subject, float]:
    """A B A B …, so that whatever else this machine does falls on all alike. -> the median of each"""
    found: dict[Subject, list[float]] = {name: [] for name in subjects}
    for _ in range(times):
        for name, measure in subjects.items():
            found[name].append(measure())
    return {name: statistics.median(values) for name, values in found.items()}


def rate(count: int, work: Callable[[], object]) -> float:
    """How many a second, where `work` does `count` of them."""
    since = time.perf_counter()
    work()
    return count / (time.perf_counter() - since)


def pace(cycle: Callable[[], object], count: int, seconds: float = 1.0) -> float:
    """How many a second of `count` calls, or of as many as `seconds` have room for: some peers slow down with the number of rows."""
    since, done = time.perf_counter(), 0
    while done < count and (done == 0 or time.perf_counter() - since < seconds):
        cycle()
        done += 1
    return done / (time.perf_counter() - since)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
