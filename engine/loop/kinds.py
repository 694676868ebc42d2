"""The kinds of runs without a ticket: how the job of each is made, and what happens at its end."""
from collections.abc import Callable
from typing import Any, NamedTuple

from engine.config import Config
from engine.jobs import Job, Result
from engine.runtimes.base import Runtime
from engine.store.db import Database
from engine.tickets.rows import Outcome, OwnedRunRow, RunKind


class Kind(NamedTuple):
    """job: makes the job from the run's row and its task; raises RunFailure, which ends the run. ended: called in the transaction that ends the run,
    with its outcome, a sentence, and its result if there is one; not called for a run that is tried again. isolated: False for a run
    that executes nothing from outside."""

    job: Callable[[Database, Config, OwnedRunRow, dict[str, Any], Runtime], Job]
    ended: Callable[[Database, Config, OwnedRunRow, Outcome, str | None, Result | None], None]
    isolated: bool = True


KINDS: dict[RunKind, Kind] = {}
