"""Wall time can jump; monotonic time cannot. Limits use only monotonic time. not_before is wall time, so that people can
read it, and it is moved when the two clocks drift apart."""
import logging
import time
from collections.abc import Callable

from engine.log import event
from engine.store.db import Database
from engine.times import LONGEST, utc

JUMP = 2.0                   # seconds of drift between two checks that count as a jump
MOST_AHEAD = LONGEST * 1.25  # no back-off is longer; a later time was set by another clock


class Clock:
    """Notices jumps of the wall clock. `wall` and `monotonic` return seconds."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._offset: float | None = None

    def follow(self, db: Database) -> None:
        """Moves every not_before by the jump of the wall clock since the last call. The first call caps times that are too far ahead."""
        offset = self._wall() - self._monotonic()
        drift = 0.0 if self._offset is None else offset - self._offset
        if self._offset is None:
            _cap(db, self._wall())
        elif abs(drift) > JUMP:
            _shift(db, drift)
            event("clock_jumped", logging.WARNING, seconds=round(drift, 1))
        self._offset = offset

    def now(self) -> str:
        """UTC text."""
        return utc(seconds=self._wall())


def _shift(db: Database, seconds: float) -> None:
    with db.transaction():
        db.execute("update tickets set not_before = strftime('%Y-%m-%dT%H:%M:%fZ', not_before, ? || ' seconds') where not_before is not null",
                   (f"{seconds:+.3f}",))


def _cap(db: Database, now: float) -> None:
    with db.transaction():
        db.execute("update tickets set not_before = ? where not_before > ?", (utc(seconds=now), utc(seconds=now + MOST_AHEAD)))
