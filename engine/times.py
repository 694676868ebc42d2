"""Time as the tables hold it, and when a ticket may be claimed again after a failure."""
import random
import time
from datetime import UTC, datetime

NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"  # in SQL: what utc() gives
LONGEST = 300.0  # seconds


def delay(failures: int, first: float) -> float:
    """Seconds: min(first · 2^(failures-1), 5 min), give or take a fifth, so that many failures of one cause do not come back at once."""
    return min(first * 2.0 ** min(failures - 1, 30), LONGEST) * random.uniform(0.8, 1.2)


def utc(after: float = 0.0, seconds: float | None = None) -> str:
    """UTC text as the tables hold it: `after` seconds from `seconds` since the epoch, or from now."""
    moment = datetime.fromtimestamp((time.time() if seconds is None else seconds) + after, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
