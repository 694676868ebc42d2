"""The folder of a database: no empty database hides the work of another one, and a folder that this user cannot write is called that."""
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import require
from memory_engine import make_engine
from old_databases import old_database

from engine.commands.backup import backup, restore
from engine.config import Config
from engine.errors import Refused, Unavailable
from engine.store import disk
from engine.store.db import Database, open_database
from engine.store.place import unwritable
from engine.store.sqlite_errors import from_sqlite

WORK: dict[str, Callable[[Path], object]] = {
    "1 run folder": lambda data: (data / "runs" / "TKT-001-1-abc").mkdir(parents=True),
    "1 repository": lambda data: (data / "repos" / "a.git").mkdir(parents=True),
    "1 write-ahead log": lambda data: (data / "swarm.db-wal").write_bytes(b"x" * 5000),
    "backups of one": lambda data: ((data / "backups").mkdir(), old_database(data / "backups" / "a.db", 1)),
}


@pytest.mark.parametrize("left", [None, b""])
@pytest.mark.parametrize("what", WORK)
def test_no_empty_database_is_made_over_the_work_of_another(tmp_path: Path, what: str, left: bytes | None) -> None:
    WORK[what](tmp_path)
    if left is not None:
        (tmp_path / "swarm.db").write_bytes(left)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(Refused) as refused:
        open_database(tmp_path / "swarm.db")
    sentence = refused.value.sentence
    assert what in sentence and ("is missing" if left is None else "is empty") in sentence
    assert "make restore FILE=" in sentence and "to begin with nothing, move " in sentence
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_folder_without_work_gets_a_database(tmp_path: Path) -> None:
    for name in ("images/default", "agents", "owners", "backups", "runs", "repos"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "engine.lock").touch()
    (tmp_path / "swarm.db-wal").touch()
    assert open_database(tmp_path / "swarm.db").value("select count(*) from hitl_sessions") == 0


def test_the_backup_that_is_named_can_be_restored(config: Config) -> None:
    db = open_database(config.database)
    made = backup(config)
    db.close()
    config.database.unlink()
    with pytest.raises(Refused, match=f"make restore FILE={made}"):
        open_database(config.database)
    restore(config, made)
    open_database(config.database).close()


def another(path: Path) -> None:
    """An older state of the database, as `cp` over a removed file or `mv` leaves it."""
    os.rename(path, path.with_name("moved"))
    with sqlite3.connect(path.with_name("moved")) as source, sqlite3.connect(path) as target:
        source.backup(target)


@pytest.mark.parametrize(("how", "words"), [(lambda path: path.unlink(), "is gone"), (another, "was replaced by another file")])
def test_nothing_is_written_to_a_file_that_is_gone_and_none_is_made(db: Database, config: Config, how: Callable[[Path], object], words: str) -> None:
    engine = make_engine(db, config)
    how(config.database)
    inode = config.database.stat().st_ino if config.database.exists() else None
    with pytest.raises(Unavailable, match=words), db.transaction():
        db.execute("update counters set value = 5")
    assert not db.connection.in_transaction
    with pytest.raises(Unavailable, match=words) as gone:
        db.connect()
    assert gone.value.code == "storage_gone" and "Stop the server." in gone.value.sentence and "make restore FILE=" in gone.value.sentence
    with pytest.raises(Unavailable, match=words):
        engine.tick()
    assert (config.database.stat().st_ino if config.database.exists() else None) == inode


def test_a_file_that_is_taken_away_within_a_transaction_gets_nothing(db: Database, config: Config) -> None:
    with pytest.raises(Unavailable, match="was replaced by another file"), db.transaction(durable=False):
        db.execute("update counters set value = 5")
        another(config.database)
    assert db.value("pragma synchronous") == {"OFF": 0, "NORMAL": 1, "FULL": 2}[db.synchronous]
    for path in (config.database, config.data / "moved"):
        with sqlite3.connect(path) as there:
            assert 5 not in [value for (value,) in there.execute("select value from counters")]


def test_a_file_that_is_put_back_goes_on(db: Database, config: Config) -> None:
    os.rename(config.database, config.data / "away")
    with pytest.raises(Unavailable):
        db.check()
    os.rename(config.data / "away", config.database)
    with db.transaction():
        db.execute("update counters set value = 5")
    assert Database(config.database).value("select value from counters") == 5


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """A folder that becomes read-only when it is asked for: of a file system for root, to whom modes do not apply."""
    folder = tmp_path / "ro"
    folder.mkdir()
    root = os.geteuid() == 0
    if root:
        require("mount")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True)

    def make() -> Path:
        if root:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        else:
            folder.chmod(0o555)
        return folder
    yield make
    if root:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    else:
        folder.chmod(0o755)


def told(sentence: str | None, folder: Path) -> bool:
    import pwd
    return sentence is not None and f"The data folder {folder} is read-only for the user {pwd.getpwuid(os.geteuid()).pw_name}." in sentence


@pytest.mark.parametrize("there", [True, False])
def test_a_start_on_a_read_only_folder_is_refused_as_that(tmp_path: Path, read_only: Callable[[], Path], there: bool) -> None:
    if there:
        db = open_database(tmp_path / "ro" / "swarm.db")
        db.close()
    folder = read_only()
    with pytest.raises(Refused) as refused:
        open_database(folder / "swarm.db")
    assert told(refused.value.sentence, folder) and "or set SWARM_DATA to another folder" in refused.value.sentence
    with pytest.raises(Refused) as refused:
        open_database(folder / "below" / "swarm.db")
    assert f"The data folder {folder / 'below'} cannot be created" in refused.value.sentence
    with pytest.raises(Refused) as refused:
        restore(Config(data=folder), folder / "some.db")
    assert told(refused.value.sentence, folder)


def test_a_folder_that_becomes_read_only_holds_the_engine_and_a_failed_write_is_told_as_that(tmp_path: Path, read_only: Callable[[], Path]) -> None:
    path = tmp_path / "ro" / "swarm.db"
    open_database(path).close()
    assert disk.trouble(path) is None
    folder = read_only()
    assert told(disk.trouble(path), folder)
    with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as connection, pytest.raises(sqlite3.Error) as failed:
        connection.execute("update counters set value = 1")
    answer = from_sqlite(failed.value, path)
    assert answer.as_json()["code"] == "storage_read_only" and told(answer.sentence, folder) and answer.status == 503


def test_a_file_that_another_user_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "swarm.db"
    open_database(path).close()
    (tmp_path / "engine.lock").touch()
    may = os.access
    for name in ("swarm.db", "engine.lock"):
        monkeypatch.setattr(os, "access", lambda file, mode, name=name, **more: Path(file).name != name and may(file, mode, **more))
        assert str(unwritable(path)).startswith(f"The file {tmp_path / name} cannot be opened by the user ")


@pytest.mark.parametrize(("script", "code"), [("select * from nowhere", "internal"), ("damaged", "storage_damaged")])
def test_damage_is_not_called_a_full_disk(tmp_path: Path, script: str, code: str) -> None:
    path = tmp_path / "swarm.db"
    open_database(path).close()
    if script == "damaged":
        path.write_bytes(path.read_bytes()[:4096] + b"\x07" * 40960)
        script = "select count(*) from events e join tickets t"
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.Error) as failed:
        connection.execute(script).fetchall()
    assert from_sqlite(failed.value, path).as_json()["code"] == code
