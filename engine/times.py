"""Time as text in the tables, and the pause before a ticket is claimed again after a failure."""
import random
import time
from datetime import UTC, datetime

NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"  # in SQL: the same as utc()
LONGEST = 300.0  # seconds


def delay(failures: int, first: float) -> float:
    """Seconds: min(first · 2^(failures-1), 5 min), plus or minus a fifth, so that many failures with one cause do not retry at the same time."""
    return min(first * 2.0 ** min(failures - 1, 30), LONGEST) * random.uniform(0.8, 1.2)


def utc(after: float = 0.0, seconds: float | None = None) -> str:
    """UTC time as text, as in the tables: `after` seconds later than `seconds` (since the epoch), or later than now."""
    moment = datetime.fromtimestamp((time.time() if seconds is None else seconds) + after, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
