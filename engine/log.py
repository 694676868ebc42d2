"""The engine's log: one line an event, stable key=value pairs."""
import logging

logger = logging.getLogger("swarm")


def event(name: str, level: int = logging.INFO, **values: object) -> None:
    """event=claimed ticket=TKT-002 run=… attempt=1. Values with spaces or quotes are quoted; None is left out."""
    logger.log(level, " ".join([f"event={name}", *(f"{key}={_value(value)}" for key, value in values.items() if value is not None)]))


def _value(value: object) -> str:
    text = str(value)
    if text and all(character.isprintable() and character not in ' "=' for character in text):
        return text
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text.replace("\\", "\\\\").replace('"', '\\"')) + '"'
