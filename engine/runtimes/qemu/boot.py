"""How long a VM may take to come up, on a host that may be busy."""
import os

MOST_FACTOR = 4.0
RESUME_SECONDS = 8.0  # for a clone to answer


def patience(seconds: float) -> float:
    """`seconds`, up to four times that where the host has more to do than it has cores."""
    return seconds * min(max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), MOST_FACTOR)
