"""Disk, backups and what is thrown away."""
import dataclasses
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import build, by_hand, require, state, until
from memory_engine import drive, make_engine
from running import CARD, Server

from engine.commands.backup import backup, restore
from engine.config import Config
from engine.errors import Refused
from engine.host.processes import take_lock
from engine.jobs import ledgers_of
from engine.loop.loop import prune
from engine.store.db import Database, open_database


def test_a_backup_is_whole_while_somebody_writes_and_can_be_restored(db: Database, config: Config) -> None:
    session = build(db, config, CARD)
    with db.transaction():
        db.execute("update counters set value = 99")
        made = backup(config)
    drive(make_engine(db, config))
    assert state(db, session) == "completed"
    db.close()
    kept = restore(config, made)
    restored = open_database(config.database)
    assert state(restored, session) == "building" and restored.value("select value from counters") == 2
    restored.close()
    assert sqlite3.connect(kept).execute("select state from hitl_sessions").fetchone() == ("completed",)
    assert [path.name for path in made.parent.iterdir()] == [made.name]


def test_a_backup_that_is_not_sound_is_not_restored_and_nothing_is_touched(db: Database, config: Config, tmp_path: Path) -> None:
    before = config.database.read_bytes()
    (tmp_path / "broken.db").write_bytes(before[:5000] + b"x" * 5000)
    with pytest.raises(Refused, match="is damaged"):
        restore(config, tmp_path / "broken.db")
    assert config.database.read_bytes() == before


def test_a_database_in_use_is_not_replaced(db: Database, config: Config) -> None:
    made = backup(config)
    lock = take_lock(config.data / "engine.lock")
    with pytest.raises(Refused, match="Stop it first"):
        restore(config, made)
    os.close(lock)


def test_old_run_folders_go_and_those_of_open_tickets_stay(db: Database, config: Config) -> None:
    build(db, config, CARD)
    drive(make_engine(db, config))
    build(db, config, CARD)
    drive(make_engine(db, config, script=None), 2)
    by_hand(config, "update runs set ended_at = '2020-01-01T00:00:00.000Z' where ended_at is not null")
    runs = [row[0] for row in db.all("select id from runs order by seq")]
    for run in runs:
        (config.data / "runs" / run).mkdir(parents=True)
        (config.data / "runs" / run / "log").write_text("x" * 1000)
    opened = {row[0] for row in db.all("select r.id from runs r join tickets t on t.id = r.ticket_id"
                                       " where t.status not in ('completed', 'cancelled', 'failed')")}
    assert opened and len(runs) > len(opened)
    assert prune.prune(db, config) == 1000 * (len(runs) - len(opened))
    assert {path.name for path in (config.data / "runs").iterdir()} == opened


def test_the_oldest_folders_go_first_when_there_are_too_many_bytes(db: Database, config: Config) -> None:
    build(db, config, CARD)
    drive(make_engine(db, config))
    runs = [row[0] for row in db.all("select id from runs order by seq")]
    for run in runs:
        (config.data / "runs" / run).mkdir(parents=True)
        (config.data / "runs" / run / "log").write_bytes(b"x" * 600_000)
    prune.prune(db, dataclasses.replace(config, keep_mb=1))
    assert [run for run in runs if (config.data / "runs" / run).exists()] == runs[-1:]


def test_ledgers_go_with_the_age_of_their_session_once_it_has_ended(db: Database, config: Config) -> None:
    old, young, live = (build(db, config, CARD) for _ in range(3))
    for session in (old, young, live, "nobody's"):
        folder = ledgers_of(config.data, session)
        folder.mkdir(parents=True)
        (folder / "TKT-001-1-abc.json").write_text("{}")
        os.utime(folder, (1, 1))
    by_hand(config, "update hitl_sessions set state = 'completed' where id <> ?", (live,))
    by_hand(config, "update hitl_sessions set updated_at = '2020-01-01T00:00:00.000Z' where id <> ?", (young,))
    prune.prune(db, config)
    assert {path.name for path in (config.data / "budgets").iterdir()} == {young, live}


def test_the_write_ahead_log_is_cut_once_a_long_reader_is_gone(db: Database, config: Config) -> None:
    wal = config.data / "swarm.db-wal"
    reader = sqlite3.connect(config.database)
    reader.execute("begin")
    reader.execute("select count(*) from counters").fetchone()
    for number in range(200):
        with db.transaction():
            db.execute("insert into hitl_sessions (id, project_name, description) values (?, 'P', ?)", (f"s{number}", "x" * 50_000))
    assert wal.stat().st_size > 10_000_000
    prune.prune(db, config, wal_bytes=1_000_000)
    assert wal.stat().st_size > 10_000_000, "nothing can cut it while it is read"
    reader.close()
    prune.prune(db, config, wal_bytes=1_000_000)
    assert wal.stat().st_size == 0
    assert db.value("select count(*) from hitl_sessions") == 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB: room for one build."""
    require("mount")
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_answers_503_reads_go_on_and_the_engine_resumes_by_itself(small_disk: Path) -> None:
    data = small_disk / "data"
    server = Server(data, SWARM_RUNTIME="process", SWARM_SYNCHRONOUS="NORMAL")
    try:
        made = server.call("/api/hitl", {"project_name": "Before", "spec_card": CARD})[1]
        filler = small_disk / "filler"
        with pytest.raises(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        def refused() -> dict | None:
            status, body = server.call("/api/hitl", {"project_name": "Full", "description": "x" * 90_000})
            return body if status == 503 else None
        answer = until(refused)
        assert answer["code"] == "storage_full" and "Free some space" in answer["error"]
        assert server.call(f"/api/hitl/{made['id']}")[1]["project_name"] == "Before"
        waiting = until(lambda: (lambda e: e if e.get("trouble") else None)(server.call("/api/engine")[1]))
        assert "disk is full" in waiting["trouble"]
        filler.unlink()
        server.call(f"/api/hitl/{made['id']}/approve", {"spec_sha256": made["spec_sha256"]})
        assert server.call(f"/api/hitl/{made['id']}/start-build", {"confirmed": True})[0] == 200
        until(lambda: server.state(made["id"]) == "completed")
        assert server.sqlite("select count(*) from tickets where failures > 0") == [["0"]]
    finally:
        server.stop()
