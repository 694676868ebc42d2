"""What every request stands in: the parts of the application, and whose data it may see."""
from dataclasses import dataclass

from flask import current_app

from engine.config import Config
from engine.loop.status import RunningEngine, Slot
from engine.store.db import Database
from engine.store.journal import Changes


@dataclass
class Swarm:
    """What the routes need of the world; app.extensions["swarm"]."""

    config: Config
    db: Database
    changes: Changes
    slot: Slot

    @property
    def engine(self) -> RunningEngine | None:
        """The engine, if it runs in this process."""
        return self.slot.engine


def swarm() -> Swarm:
    """The parts of the application that answers this request."""
    found: Swarm = current_app.extensions["swarm"]
    return found


def tenant() -> str:
    """Whose data this request may see. Local mode knows one tenant."""
    return "default"
