"""The context of every request: the parts of the application, and the tenant whose data it may see."""
from dataclasses import dataclass, field

from flask import current_app

from engine.config import Config
from engine.loop.status import RunningEngine, Slot
from engine.store.db import Database
from engine.store.journal import Changes
from hitl.web.looks import Looks


@dataclass
class Swarm:
    """The parts that the routes use; stored in app.extensions["swarm"]."""

    config: Config
    db: Database
    changes: Changes
    slot: Slot
    looks: Looks = field(default_factory=Looks)

    @property
    def engine(self) -> RunningEngine | None:
        """The engine, if it runs in this process."""
        return self.slot.engine


def swarm() -> Swarm:
    """The parts of the application that answers this request."""
    found: Swarm = current_app.extensions["swarm"]
    return found


def tenant() -> str:
    """The tenant whose data this request may see. Local mode has one tenant."""
    return "default"
