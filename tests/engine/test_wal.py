"""A write-ahead log that is cut or junk: what was finished and is lost is said, once and exactly; what a kill tears is no loss."""
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from conftest import until

from engine.commands.backup import backup, restore
from engine.config import ROOT, Config
from engine.errors import Refused
from engine.store import damage
from engine.store.damage import notices
from engine.store.db import Database, open_database
from engine.store.wal import examine

FRAME = 24 + 4096
BEGIN = """
import os, pathlib, random, signal, sqlite3, sys
from engine.store.db import open_database
db = open_database(pathlib.Path(sys.argv[1]))
def add(*numbers):
    with db.transaction():
        for number in numbers:
            db.execute("insert into hitl_sessions (id, project_name, description) values (?, 'P', ?)", (f"{number:04d}", "x" * 3000))
def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""
TEN = BEGIN + "for number in range(10): add(number)\n"


def killed(path: Path, script: str) -> Path:
    """The files of a process that ran this and was killed."""
    ended = subprocess.run([sys.executable, "-c", script + "die()", path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return path


def log(path: Path) -> Path:
    return path.with_name("swarm.db-wal")


def index(path: Path) -> Path:
    return path.with_name("swarm.db-shm")


def names(db: Database) -> list[str]:
    return [row[0] for row in db.all("select id from hitl_sessions order by id")]


@pytest.fixture(autouse=True)
def each_start_is_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage, "_looked", set())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "swarm.db"


def start(path: Path) -> tuple[list[str], list[str]]:
    """(sessions that are served, notices), as a new process finds them."""
    damage._looked.clear()
    db = open_database(path)
    try:
        assert db.value("pragma integrity_check") == "ok"
        return names(db), db.all_notices()
    finally:
        db.close()


def ends(path: Path) -> list[int]:
    """Frames up to the end of each transaction."""
    data = log(path).read_bytes()
    return [n + 1 for n in range((len(data) - 32) // FRAME) if int.from_bytes(data[32 + n * FRAME + 4:32 + n * FRAME + 8], "big")]


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 0xFF
    file.write_bytes(data)


NORMAL = {
    "killed after its last commit": lambda path: None,
    "the next transaction was torn in its first page": lambda path: _append(path, 1000),
    "the next transaction was torn in its last page": lambda path: _append(path, 30),
    "the file was made longer and never filled": lambda path: _extend(path, bytes(3 * FRAME)),
}


def _extend(path: Path, data: bytes) -> None:
    with open(log(path), "ab") as file:
        file.write(data)


def _append(path: Path, size: int) -> None:
    """A frame as its writer begins it: the last one's header, and a part of its page."""
    last = log(path).read_bytes()[-FRAME:]
    _extend(path, (last[:24] + bytes(4096))[:size])


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize("how", NORMAL)
def test_what_a_kill_leaves_is_no_loss(path: Path, how: str, with_index: bool) -> None:
    killed(path, TEN)
    NORMAL[how](path)
    if not with_index:
        index(path).unlink()
    assert start(path) == ([f"{n:04d}" for n in range(10)], [])


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize("script", [
    BEGIN + "db.execute('pragma cache_size = 5')\nadd(1)\nwith db.transaction():\n    [db.execute('insert into hitl_sessions (id, project_name, description)"
    " values (?, 1, ?)', (n, 'x' * 9000)) for n in range(500)]\n    die()\n",
    TEN + "db.execute('pragma wal_checkpoint(restart)')\nadd(99)\n",
    TEN + "db.execute('pragma wal_checkpoint(restart)')\n",
    TEN + "db.execute('pragma wal_checkpoint(truncate)')\n",
    TEN + "db.execute('pragma wal_checkpoint(passive)')\n",
    BEGIN + "with db.transaction(durable=False):\n    db.execute('update counters set value = 1')\nadd(1)\n",
], ids=["unfinished and spilled", "left-overs of an earlier round", "begun again", "cut", "copied", "one that did not wait for the disk"])
def test_what_sqlite_leaves_is_no_loss(path: Path, script: str, with_index: bool) -> None:
    killed(path, script)
    if not with_index:
        index(path).unlink()
    found, said = start(path)
    assert said == [] and found


def test_a_log_that_is_killed_at_any_moment_is_never_called_damaged(path: Path) -> None:
    script = BEGIN + "db.execute('pragma wal_autocheckpoint = 40')\nprint(flush=True)\nn = int(sys.argv[2])\nwhile True:\n    n += 1\n    add(n)\n"
    chance = random.Random(4)
    for round in range(12):
        writer = subprocess.Popen([sys.executable, "-c", script, path, str(round * 100_000)], cwd=ROOT, stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        size = chance.randrange(1, 60) * 10_000
        until(lambda size=size: log(path).exists() and log(path).stat().st_size > size % 160_000)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        if round % 3 == 2:
            index(path).unlink()
        assert examine(path) is None, round


CUTS = {
    "cut in a page": lambda path: os.truncate(log(path), 32 + ends(path)[4] * FRAME + 5000),
    "cut at the end of a transaction": lambda path: os.truncate(log(path), 32 + ends(path)[4] * FRAME),
    "a bit of a page": lambda path: flip(log(path), 32 + ends(path)[4] * FRAME + 300),
    "a bit of a frame's salt": lambda path: flip(log(path), 32 + ends(path)[4] * FRAME + 9),
    "junk from there on": lambda path: _junk(path, 32 + ends(path)[4] * FRAME),
    "zeros from there on": lambda path: _zeros(path, 32 + ends(path)[4] * FRAME),
}


def _junk(path: Path, at: int) -> None:
    data = log(path).read_bytes()
    log(path).write_bytes(data[:at] + random.Random(1).randbytes(len(data) - at))


def _zeros(path: Path, at: int) -> None:
    data = log(path).read_bytes()
    log(path).write_bytes(data[:at] + bytes(len(data) - at))


@pytest.mark.parametrize("how", CUTS)
def test_lost_pages_are_counted_and_the_log_is_kept_until_somebody_has_looked(path: Path, how: str) -> None:
    killed(path, TEN)
    all_of_it = ends(path)
    CUTS[how](path)
    damaged = log(path).read_bytes()
    served, (said,) = start(path)
    assert served == [f"{n:04d}" for n in range(10)][:len(served)] and 0 < len(served) < 10
    assert f"{all_of_it[-1] - all_of_it[4]} of the last {all_of_it[-1]} saved pages cannot be read." in said and str(log(path)) in said
    (folder,) = (path.parent / "damaged").iterdir()
    assert (folder / "swarm.db-wal").read_bytes() == damaged and str(folder) in said and "make restore FILE=" in said
    assert start(path) == (served, [said]), "it is said until somebody has dealt with it, and once"
    shutil.rmtree(folder)
    assert start(path) == (served, [])


WHOLE = {
    "junk": (lambda path: _junk(path, 0), "is damaged"), "zeros": (lambda path: _zeros(path, 0), "is damaged"),
    "its header": (lambda path: flip(log(path), 20), "is damaged"), "emptied": (lambda path: os.truncate(log(path), 0), "is empty"),
    "cut in its header": (lambda path: os.truncate(log(path), 20), "is damaged"), "deleted": (lambda path: log(path).unlink(), "is missing"),
}


@pytest.mark.parametrize("how", WHOLE)
def test_a_log_of_which_nothing_can_be_read_is_missed(path: Path, how: str) -> None:
    killed(path, BEGIN + "add(1)\nadd(2)\ndb.execute('pragma wal_checkpoint(restart)')\nadd(3)\nadd(4)\n")
    WHOLE[how][0](path)
    served, (said,) = start(path)
    assert served == ["0001", "0002"] and WHOLE[how][1] in said and "saved pages cannot be read" in said
    assert start(path)[0] == served


@pytest.mark.parametrize(("how", "words"), [
    (lambda path: flip(log(path), 32 + 300), "9 or more finished changes cannot be read. They are lost."),
    (lambda path: flip(log(path), 32 + ends(path)[6] * FRAME + 300), "2 or more finished changes cannot be read. They are lost."),
    (lambda path: flip(log(path), 20), "can be read. What it held and swarm.db did not is lost; how much that was cannot be known."),
    (lambda path: _junk(path, 0), "how much that was cannot be known"),
    (lambda path: _junk(path, 32 + ends(path)[6] * FRAME), "Whether finished changes were there cannot be known."),
], ids=["the first page", "the eighth transaction", "the header", "junk", "junk from there on"])
def test_without_an_index_only_what_is_certain_is_said(path: Path, how: Callable[[Path], object], words: str) -> None:
    killed(path, TEN)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("select 1 from sqlite_schema")
    killed(path, BEGIN + "db.execute('pragma wal_checkpoint(restart)')\nfor number in range(10, 20): add(number)\n")
    how(path)
    index(path).unlink()
    served, (said,) = start(path)
    assert words in said and served[:10] == [f"{n:04d}" for n in range(10)] and len(served) < 20
    assert start(path) == (served, [said])


def test_a_torn_last_transaction_is_no_loss_even_if_its_end_was_written(path: Path) -> None:
    """A power cut may bring the last page of a transaction to the disk and not the first: nobody was told that it was finished."""
    killed(path, TEN)
    flip(log(path), 32 + ends(path)[8] * FRAME + 300)
    index(path).unlink()
    assert start(path) == ([f"{n:04d}" for n in range(9)], [])


def test_nothing_is_lost_if_the_database_has_it_already(path: Path) -> None:
    killed(path, TEN + "db.execute('pragma wal_checkpoint(passive)')\n")
    flip(log(path), 32 + ends(path)[4] * FRAME + 300)
    served, (said,) = start(path)
    assert len(served) == 10 and "Nothing was lost." in said


# A reader keeps the log from being copied beyond the fifth transaction.
HALF = BEGIN + """
for number in range(5): add(number)
reader = sqlite3.connect(sys.argv[1]); reader.execute("begin"); reader.execute("select count(*) from hitl_sessions").fetchone()
for number in range(5, 10): add(number)
db.execute('pragma wal_checkpoint(passive)')
"""


def copying(path: Path) -> None:
    """As a kill leaves the index while a checkpoint copies the rest: nBackfillAttempted is mxFrame."""
    data = bytearray(index(path).read_bytes())
    data[128:132] = data[16:20]
    index(path).write_bytes(data)
    flip(log(path), 32 + ends(path)[6] * FRAME + 300)


@pytest.mark.parametrize("how", [lambda path: flip(log(path), 32 + ends(path)[1] * FRAME + 300), lambda path: os.truncate(log(path), 0),
                                 lambda path: log(path).unlink(), lambda path: _junk(path, 0), copying],
                         ids=["a page", "emptied", "deleted", "junk", "while it was copied"])
def test_a_log_of_which_a_part_was_copied_leaves_nothing_whole_and_is_refused_as_often_as_it_is_tried(path: Path, how: Callable[[Path], None]) -> None:
    killed(path, HALF)
    how(path)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    for _ in range(2):
        with pytest.raises(Refused, match=r"neither of them is whole\. They were not changed\. Restore a backup .* move swarm.db-wal and swarm.db-shm away\."):
            start(path)
        assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    for file in (log(path), index(path)):
        file.unlink(missing_ok=True)
    assert start(path)[1] == []


def test_what_was_copied_and_can_be_read_is_served(path: Path) -> None:
    killed(path, HALF)
    flip(log(path), 32 + ends(path)[6] * FRAME + 300)
    served, (said,) = start(path)
    assert served == [f"{n:04d}" for n in range(7)] and "saved pages cannot be read" in said


def test_a_log_in_use_is_left_to_those_who_use_it(path: Path) -> None:
    script = TEN + "print(flush=True)\nsys.stdin.read()"
    live = subprocess.Popen([sys.executable, "-c", script, path], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert live.stdin is not None and live.stdout is not None
    live.stdout.readline()
    data = log(path).read_bytes()
    flip(log(path), 32 + ends(path)[4] * FRAME + 300)
    assert examine(path) is None
    log(path).write_bytes(data)
    live.communicate()
    assert live.returncode == 0


def test_looking_changes_nothing(path: Path) -> None:
    killed(path, TEN)
    flip(log(path), 32 + ends(path)[4] * FRAME + 300)
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.parent.iterdir()}
    assert examine(path) == examine(path) is not None
    assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.parent.iterdir()} == before


def test_a_backup_after_the_damage_says_it_and_a_backup_before_it_brings_all_back(path: Path) -> None:
    config = Config(data=path.parent)
    killed(path, TEN)
    made = subprocess.run([sys.executable, "-m", "engine.commands.backup"], cwd=ROOT, text=True, capture_output=True, check=True,
                          env={**os.environ, "SWARM_DATA": str(config.data)}).stdout.split()[-1]
    killed(path, BEGIN + "for number in range(10, 20): add(number)\n")
    os.truncate(log(path), 32 + ends(path)[2] * FRAME + 100)
    answer = subprocess.run([sys.executable, "-m", "engine.commands.backup", path.parent / "late.db"], cwd=ROOT, text=True, capture_output=True, check=True,
                            env={**os.environ, "SWARM_DATA": str(config.data)})
    assert "saved pages cannot be read" in answer.stderr and len(notices(config.data)) == 1
    restore(config, Path(made))
    assert start(path)[0] == [f"{n:04d}" for n in range(10)]


def test_a_backup_with_a_damaged_log_beside_it_is_not_restored_as_half(path: Path, tmp_path: Path) -> None:
    config = Config(data=path.parent)
    open_database(path).close()
    other = killed(tmp_path / "other" / "swarm.db", TEN)
    flip(log(other), 32 + ends(other)[4] * FRAME + 300)
    with pytest.raises(Refused, match=r"saved pages cannot be read.*move the log away first\. Nothing was replaced") as refused:
        restore(config, other)
    assert str(log(other)) in refused.value.sentence
    log(other).unlink()
    index(other).unlink()
    restore(config, other)


def test_a_backup_of_which_a_part_was_copied_is_refused_and_one_that_was_copied_is_taken(path: Path, tmp_path: Path) -> None:
    config = Config(data=path.parent)
    open_database(path).close()
    half, whole = killed(tmp_path / "half" / "swarm.db", HALF), killed(tmp_path / "whole" / "swarm.db", TEN + "db.execute('pragma wal_checkpoint')\n")
    for each in (half, whole):
        flip(log(each), 32 + ends(each)[1] * FRAME + 300)
    with pytest.raises(Refused, match=r"neither of them is whole\. Nothing was replaced") as refused:
        restore(config, half)
    assert str(log(half)) in refused.value.sentence and "restoring" not in refused.value.sentence
    restore(config, whole)
    assert len(start(path)[0]) == 10


def test_files_that_the_database_does_not_know_are_said(path: Path, config: Config) -> None:
    db = open_database(path)
    with db.transaction():
        db.execute("insert into hitl_sessions (id, project_name) values ('known', 'P')")
    made = backup(Config(data=path.parent))
    db.close()
    for name in ("runs/TKT-001-1-abc", "runs/TKT-002-1-def", "repos/known.git", "repos/lost.git"):
        (path.parent / name).mkdir(parents=True)
    served, (said,) = start(path)
    assert served == ["known"] and said.startswith(f"2 run folders and 1 repository in {path.parent} are not in the database.")
    assert str(made.parent) not in said
    shutil.rmtree(path.parent / "runs")
    shutil.rmtree(path.parent / "repos" / "lost.git")
    assert start(path)[1] == []
