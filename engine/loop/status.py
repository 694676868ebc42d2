"""What the application knows of its engine: whether it runs here, and what it says of itself."""
from typing import Any, Protocol


class RunningEngine(Protocol):
    """An engine of this process. It can be asked from any thread."""

    def status(self) -> dict[str, Any]:
        """{id, state, trouble, slots, busy, last_tick_age, tick_ms, uptime, runtime: {name, isolation, limits, passed_over}, errors}; seconds."""


class Slot(Protocol):
    """This process's place in the queue for the engine of its data folder."""

    @property
    def engine(self) -> RunningEngine | None:
        """Set while the engine runs here."""

    def elsewhere(self) -> dict[str, object]:
        """{"pid", "where"} of the process that has the engine; {} if it has not said so yet."""

    def start(self, where: str) -> bool:
        """True: the engine runs here now. False: another process has it, and this one takes over when the lock comes free."""

    def stop(self) -> None:
        """Stops the engine if it runs here, and lets go of the lock. Live runs go on."""
