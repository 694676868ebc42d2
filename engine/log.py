"""The engine's log: one line for each event, with stable key=value pairs."""
import logging
import re
import sys

_QUOTED = re.compile(r'[ "=]')
logger = logging.getLogger("swarm")


def to_stderr() -> None:
    """Sends the lines to standard error, with their time. Called once by the program that serves, whichever server that is."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)


def event(name: str, level: int = logging.INFO, **values: object) -> None:
    """event=claimed ticket=TKT-002 run=… attempt=1. Values with spaces or quotes are quoted; values that are None are left out."""
    if not logger.isEnabledFor(level):
        return
    logger.log(level, " ".join([f"event={name}", *(f"{key}={_value(value)}" for key, value in values.items() if value is not None)]))


def _value(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not _QUOTED.search(text):
        return text
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text.replace("\\", "\\\\").replace('"', '\\"')) + '"'
