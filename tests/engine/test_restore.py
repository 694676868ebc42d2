"""make backup and make restore: a restore works whatever became of the database, takes sound backups of ours alone, and is done or not done."""
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from old_databases import old_database, version_of

from engine.commands.backup import backup, restore
from engine.config import ROOT, Config
from engine.crash import RESTORE_POINTS, VARIABLE
from engine.errors import Refused
from engine.host.processes import take_lock
from engine.store.columns import VERSION
from engine.store.db import Database, open_database

ADD = "insert into hitl_sessions (id, project_name) values (?, 'P')"


def filled(config: Config, *names: str) -> Database:
    db = open_database(config.database)
    with db.transaction():
        db.connection.executemany(ADD, [(name,) for name in names])
    return db


def names(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("select id from hitl_sessions order by id")]


def files(folder: Path) -> dict[str, bytes]:
    """All files, and what is in them."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def command(config: Config, *arguments: object, crash: str = "") -> subprocess.CompletedProcess[str]:
    """make backup, or make restore with --restore, as a process."""
    return subprocess.run([sys.executable, "-m", "engine.commands.backup", *map(str, arguments)], cwd=ROOT, text=True, capture_output=True,
                          check=False, env={**os.environ, "SWARM_DATA": str(config.data), VARIABLE: crash})


@pytest.fixture
def saved(config: Config) -> Path:
    """A backup of a database with the session `old`. The database has `new` besides, in its write-ahead log."""
    db = filled(config, "old")
    made = backup(config)
    with db.transaction():
        db.execute(ADD, ("new",))
    copies = {each: each.read_bytes() for each in config.data.glob("swarm.db*")}
    db.close()
    for path, data in copies.items():  # as a kill leaves them
        path.write_bytes(data)
    (config.data / "engine.lock").touch()
    return made


DAMAGE = {
    "no database at all": lambda path: path.write_bytes(b"these are my notes " * 1000),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "no page but the first": lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\x07" * 40960),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-5000]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "its log is junk": lambda path: path.with_name("swarm.db-wal").write_bytes(b"\x07" * 50_000),
    "newer": lambda path: _newer(path),
}


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"pragma user_version = {VERSION + 1}")


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_database_is_replaced_and_kept_as_it_was_found(config: Config, saved: Path, how: str) -> None:
    DAMAGE[how](config.database)
    found = {name: data for name, data in files(config.data).items() if name.startswith("swarm.db")}
    kept = restore(config, saved)
    assert names(config.database) == ["old"]
    assert {f"swarm.db{path.name.removeprefix(kept.name)}": path.read_bytes() for path in config.data.glob(f"{kept.name}*")} == found \
        if kept else not any(name == "swarm.db" for name in found)
    assert not (config.data / "restoring").exists()


UNFIT = {
    "a missing file": (lambda path: None, "There is no file"),
    "an empty file": (lambda path: path.touch(), "is empty"),
    "a database without tables": (lambda path: _script(path, "pragma user_version = 0; vacuum"), "is empty: it has no tables|is empty"),
    "notes": (lambda path: path.write_text("my notes" * 999), "is not a readable SQLite database"),
    "another program's database": (lambda path: _script(path, "create table notes (id)"), "is not a database of HITL Swarm"),
    "another program's database with a number": (lambda path: _script(path, "create table notes (id); pragma application_id = 7; pragma user_version = 1"),
                                                 "is not a database of HITL Swarm"),
    "a folder": (lambda path: path.mkdir(), "is not a file"),
    "a pipe": (lambda path: os.mkfifo(path), "is not a file"),
}


def _script(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)


def refused(config: Config, source: Path, words: str) -> None:
    """With a sentence that names the file and the next step, and nothing is touched."""
    before = files(config.data)
    with pytest.raises(Refused, match=words) as why:
        restore(config, source)
    assert str(source) in why.value.sentence and "Nothing was replaced. Name another backup: make restore FILE=" in why.value.sentence
    assert files(config.data) == before and not (config.data / "restoring").exists()


@pytest.mark.parametrize("what", UNFIT)
def test_what_is_no_backup_is_refused_and_nothing_is_touched(config: Config, saved: Path, tmp_path: Path, what: str) -> None:
    make, words = UNFIT[what]
    make(tmp_path / "given.db")
    refused(config, tmp_path / "given.db", words)


def test_a_damaged_or_newer_backup_and_the_database_itself_are_refused(config: Config, saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    (tmp_path / "cut.db").write_bytes(whole[:-4096])
    refused(config, tmp_path / "cut.db", "is damaged|is not a readable")
    (tmp_path / "junk.db").write_bytes(whole[:8192] + b"\x07" * 4096 + whole[12288:])
    refused(config, tmp_path / "junk.db", "is damaged|is not a readable")
    shutil.copy(saved, tmp_path / "newer.db")
    _newer(tmp_path / "newer.db")
    refused(config, tmp_path / "newer.db", "newer HITL Swarm")
    refused(config, config.database, "is the database itself")


def test_a_backup_of_an_earlier_version_and_the_older_form_are_taken(config: Config, saved: Path, tmp_path: Path) -> None:
    for version in (0, 1):
        restore(config, old_database(tmp_path / f"{version}.db", version))
        assert version_of(config.database) == version
    open_database(config.database).close()
    assert version_of(config.database) == VERSION


def test_a_restore_can_be_taken_back_with_what_was_in_the_log_of_the_database_before(config: Config, saved: Path) -> None:
    kept = restore(config, saved)
    assert kept is not None and names(config.database) == ["old"]
    restore(config, kept)
    assert names(config.database) == ["new", "old"]


@pytest.mark.parametrize("where", [*(each for each in RESTORE_POINTS if each != "restore-moved"), *(f"restore-moved:{n}" for n in (1, 2, 3))])
@pytest.mark.parametrize("by", ["start", "restore"])
def test_a_kill_between_the_steps_is_finished_or_undone_and_said(config: Config, saved: Path, where: str, by: str) -> None:
    before = names_without_opening(config)
    killed = command(config, "--restore", saved, crash=where)
    assert killed.returncode == -9, killed.stderr
    decided = where not in ("restore-begun", "restore-copied")
    sentence = ("is finished now. The database before it is kept as" if decided else
                "was stopped before it replaced anything" if where == "restore-copied" else "")
    if by == "start":
        db = open_database(config.database)
        assert sentence in " ".join(db.notices) and bool(db.notices) == bool(sentence)
        assert [row[0] for row in db.all("select id from hitl_sessions order by id")] == (["old"] if decided else before)
        db.close()
    else:
        again = command(config, "--restore", saved)
        assert again.returncode == 0 and sentence in again.stdout and "Restored" in again.stdout
        assert names(config.database) == ["old"]
    kept = [names(path) for path in config.data.glob("swarm-before-restore-*.db")]
    assert before in kept or (not decided and by == "start")
    assert not (config.data / "restoring").exists()
    assert open_database(config.database).notices == [], "it is said once"


def names_without_opening(config: Config) -> list[str]:
    copy = config.data.with_name("looked-at")
    shutil.copytree(config.data, copy)
    found = names(copy / "swarm.db")
    shutil.rmtree(copy)
    return found


def test_a_start_waits_for_a_restore_that_goes_on(config: Config, saved: Path) -> None:
    from engine.store.place import held
    opens = [sys.executable, "-c", "import sys, pathlib; from engine.store.db import open_database; open_database(pathlib.Path(sys.argv[1]))"]
    with held(config.data):
        (config.data / "restoring").mkdir()
        (config.data / "restoring" / "swarm.db").write_text("half")
        start = subprocess.Popen([*opens, config.database], cwd=ROOT)
        with pytest.raises(subprocess.TimeoutExpired):
            start.wait(2)  # time is the subject: it does nothing meanwhile
        assert (config.data / "restoring" / "swarm.db").read_text() == "half"
    assert start.wait(60) == 0


def test_there_may_be_no_database_to_replace(tmp_path: Path, saved: Path) -> None:
    config = Config(data=tmp_path / "fresh")
    answer = command(config, "--restore", saved)
    assert answer.returncode == 0 and "kept as" not in answer.stdout and names(config.database) == ["old"]


def test_the_command_says_what_it_did_and_a_refusal_is_one_sentence(config: Config, saved: Path, tmp_path: Path) -> None:
    answer = command(config, "--restore", tmp_path / "nothing.db")
    assert answer.returncode == 2 and answer.stderr.count("\n") == 1 and f"make restore FILE={saved}" in answer.stderr
    answer = command(config, "--restore", saved)
    assert answer.returncode == 0 and f"Restored {saved}. The database before it is kept as {config.data}" in answer.stdout
    lock = take_lock(config.data / "engine.lock")
    assert lock is not None
    assert "Stop it first" in command(config, "--restore", saved).stderr
    os.close(lock)


@pytest.mark.parametrize("by", ["backup", "start"])
def test_a_killed_backup_leaves_nothing_for_long(config: Config, by: str) -> None:
    filled(config, "old").close()
    assert command(config, crash="backup-written").returncode == -9
    folder = config.data / "backups"
    assert len(files(folder)) == 1 and not list(folder.glob("*.db"))
    (folder / "swarm-20260101T000000Z.db.part").write_text("left by a program of before")
    if by == "backup":
        assert command(config).returncode == 0
        assert [path.name for path in folder.iterdir()] == [path.name for path in folder.glob("swarm-*.db")] != []
    else:
        open_database(config.database).close()
        assert files(folder) == {}


def test_a_backup_elsewhere_clears_its_own_leavings_alone(config: Config, tmp_path: Path) -> None:
    filled(config, "old").close()
    other = tmp_path / "other"
    other.mkdir()
    (other / "film.part").write_text("somebody's download")
    assert command(config, other / "a.db", crash="backup-written").returncode == -9
    assert command(config, other / "b.db").returncode == 0
    assert sorted(path.name for path in other.iterdir()) == ["b.db", "film.part"]


def test_a_backup_that_is_being_written_is_not_cleared_away(config: Config) -> None:
    from engine.store.copies import PART, _writing, sweep
    folder = config.data / "backups"
    folder.mkdir(parents=True)
    part = folder / f".swarm-1.db{PART}"
    part.touch()
    with _writing(folder):
        sweep(folder)
        assert part.exists()
    sweep(folder)
    assert not part.exists()
