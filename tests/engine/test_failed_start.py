"""A run whose start failed leaves nothing half-written."""
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import build, until
from real_engine import feature, running

from engine.config import Config
from engine.jobs import Job
from engine.loop.loop import SwarmEngine
from engine.store.db import Database


def test_a_job_that_could_not_be_written_leaves_no_temporary_file(db: Database, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: Job, folder: Path) -> None:
        (folder / "job.json.tmp").write_text("{")
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Job, "write", write)
    monkeypatch.setattr(SwarmEngine, "_housekeeping", lambda self: None)  # which clears up, too, but only every ten minutes
    real = replace(config, runtime="process", backoff_seconds=3600.0)
    build(db, real, {"name": "One", "features": [feature("A", "true")]})
    with running(db, real):
        run = until(lambda: db.value("select id from runs where outcome = 'transient'"), what="the run that could not start has ended")
        until(lambda: not list((real.data / "runs" / run).glob("*.tmp")), what="nothing is left of it")
