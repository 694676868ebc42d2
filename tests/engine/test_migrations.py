"""Databases of earlier versions are brought to this one with their rows, behind a backup, and never to something in between."""
import fcntl
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from old_databases import all_columns, normalised, objects, old_database, rows, version_of

from engine.commands.backup import restore
from engine.config import ROOT, Config
from engine.crash import UPGRADE_POINTS, VARIABLE
from engine.errors import Refused
from engine.store import migrations, upgrade
from engine.store.columns import VERSION, schema_sql
from engine.store.db import open_database

# sha256 of schema.sql, normalised, of each version that databases exist of.
SCHEMAS = {
    1: "a00521788998f5306bd188fe182aeec1dd3a5ffcd2c2c6539df0ad035b25738a",
    2: "ecd3a988a1b22409ae2f8b6c7245f8e8fe4e5dec2e03727ce8b7e98742ceb078",
    3: "ec15f472c1c268649133afebe600f69dd7ae4969f54a61a7419f4895901b763b",
}
RENAMED = {2: {"runs": {"machine": "vm"}}}  # {version: {table: {column before: column since}}}
OLD = range(1, VERSION)
OPEN = "import sys, pathlib; from engine.store.db import open_database; open_database(pathlib.Path(sys.argv[1]))"


def backups(folder: Path) -> list[Path]:
    return sorted((folder / "backups").glob("*")) if (folder / "backups").exists() else []


def in_new_words(before: dict[str, Any], version: int) -> dict[str, Any]:
    """Rows of that version with the column names of this one."""
    for later in range(version + 1, VERSION + 1):
        for table, names in RENAMED.get(later, {}).items():
            before = {**before, table: [{names.get(name, name): value for name, value in row.items()} for row in before[table]]}
    return before


def kept(path: Path, before: dict[str, Any]) -> dict[str, Any]:
    """The rows that are there, without the columns and tables that `before` has not."""
    now = rows(path)
    return {table: [{name: row[name] for name in found[0]} if found else row for row in now[table]] for table, found in before.items()}


@pytest.fixture()
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """next_version(sql): a program with one more migration."""
    folder = tmp_path / "migrations"
    shutil.copytree(ROOT / "migrations", folder)

    def write(sql: str) -> None:
        (folder / f"{VERSION + 1:04d}_next.sql").write_text(sql)
        monkeypatch.setattr(migrations, "FOLDER", folder)
        monkeypatch.setattr(migrations, "VERSION", VERSION + 1)
    return write


def test_a_schema_that_has_changed_has_a_new_version_and_a_migration() -> None:
    now = hashlib.sha256(normalised(schema_sql()).encode()).hexdigest()
    assert VERSION in SCHEMAS, f"Version {VERSION} is new: when schema.sql is as it will be, add {VERSION}: '{now}' to SCHEMAS."
    assert SCHEMAS[VERSION] == now, (
        f"schema.sql is not what was recorded for version {VERSION}. Databases of that version exist: set VERSION = {VERSION + 1} in "
        f"engine/store/columns.py, write migrations/{VERSION + 1:04d}_<what>.sql (engine/store/migrations.py says how), and add {VERSION + 1}: '{now}' here.")
    first = hashlib.sha256(normalised((ROOT / "migrations" / "0001_first.sql").read_text()).encode()).hexdigest()
    assert SCHEMAS[1] == first, "migrations/0001_first.sql is what databases of version 1 are: it never changes"
    assert [int(path.name[:4]) for path in sorted((ROOT / "migrations").glob("*.sql"))] == list(range(1, VERSION + 1))
    assert [path.name for path in sorted((ROOT / "tests" / "data" / "databases").glob("*.sql"))] == [f"version_{n}.sql" for n in range(VERSION)], (
        "a database of each version before, with rows in every table")


@pytest.mark.parametrize("version", OLD)
def test_a_migrated_database_is_made_of_the_same_as_a_new_one(tmp_path: Path, version: int) -> None:
    old = open_database(old_database(tmp_path / "old.db", version)).connection
    new = open_database(tmp_path / "new" / "new.db").connection
    assert objects(old) == objects(new)
    assert all_columns(old) == all_columns(new)
    assert objects(migrations.schema_at(VERSION)) == objects(new)


@pytest.mark.parametrize("version", OLD)
def test_a_database_of_a_version_before_opens_with_its_rows(tmp_path: Path, version: int) -> None:
    before = rows(old_database(tmp_path / "swarm.db", version))
    db = open_database(tmp_path / "swarm.db")
    expected = in_new_words(before, version)
    assert kept(db.path, expected) == expected and all(before.values()), "the fixture has rows in every table"
    assert (db.value("pragma user_version"), db.value("pragma foreign_keys"), db.all("pragma foreign_key_check")) == (VERSION, 1, [])
    assert json.loads(db.value("select vm from runs where vm is not null"))["accelerator"] == "tcg"
    (backup,) = backups(tmp_path)
    assert backup.name.startswith(f"swarm-version-{version}-") and version_of(backup) == version and rows(backup) == before
    open_database(tmp_path / "swarm.db")
    assert backups(tmp_path) == [backup], "another is made only before another migration"


def test_the_older_form_opens_with_its_rows_behind_a_backup(tmp_path: Path) -> None:
    before = rows(old_database(tmp_path / "swarm.db", 0))
    db = open_database(tmp_path / "swarm.db")
    assert [tuple(row) for row in db.all("select id, status, branch_name from tickets")] == [("TKT-041", "ready", None), ("TKT-042", "completed", "b")]
    (backup,) = backups(tmp_path)
    assert backup.name.startswith("swarm-version-0-") and rows(backup) == before


@pytest.mark.parametrize(("form", "where"), [*((1, where) for where in UPGRADE_POINTS),
                                             *((0, where) for where in UPGRADE_POINTS if where not in ("in-migration", "after-migrated"))])
def test_a_kill_leaves_the_old_version_or_the_new_one_and_the_next_start_goes_on(tmp_path: Path, form: int, where: str) -> None:
    path = old_database(tmp_path / "swarm.db", form)
    before = rows(path)
    killed = subprocess.run([sys.executable, "-c", OPEN, path], cwd=ROOT, env={**os.environ, VARIABLE: where}, check=False)
    assert killed.returncode == -9
    if where == "after-migrated":  # the first of the steps
        assert version_of(path) == form + 1
    else:
        assert version_of(path) == form and rows(path) == before
    open_database(path)
    assert version_of(path) == VERSION
    if form:
        expected = in_new_words(before, form)
        assert kept(path, expected) == expected


def test_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    path = old_database(tmp_path / "swarm.db", 1)
    started = [subprocess.Popen([sys.executable, "-c", OPEN, path], cwd=ROOT) for _ in range(4)]
    assert [process.wait(60) for process in started] == [0] * 4
    assert version_of(path) == VERSION and len(backups(tmp_path)) == 1


def test_nothing_is_migrated_under_a_server_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = old_database(tmp_path / "swarm.db", 1)
    monkeypatch.setattr(upgrade, "STOP_SECONDS", 0.0)
    with open(tmp_path / "engine.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Refused, match=r"server of an earlier version is running.* Stop it first"):
            open_database(path)
    assert version_of(path) == 1 and backups(tmp_path) == []
    open_database(path)
    assert version_of(path) == VERSION


def test_a_backup_that_cannot_be_written_stops_the_migration(tmp_path: Path) -> None:
    path = old_database(tmp_path / "swarm.db", 1)
    (tmp_path / "backups").write_text("in the way")
    with pytest.raises(Refused, match="backup could not be written"):
        open_database(path)
    assert version_of(path) == 1


def test_a_migration_that_fails_leaves_the_database_as_it_was_and_no_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = old_database(tmp_path / "swarm.db", 1)
    before = rows(path)
    folder = shutil.copytree(ROOT / "migrations", tmp_path / "broken")
    (folder / "0002_vm_and_criteria.sql").write_text("alter table runs rename column machine to vm;\ninsert into counters values ('ticket', 1);\n")
    monkeypatch.setattr(migrations, "FOLDER", folder)
    with pytest.raises(Refused, match=r"cannot be prepared.*counters"):
        open_database(path)
    assert version_of(path) == 1 and rows(path) == before and backups(tmp_path) == []


def test_a_newer_database_is_refused_with_the_backup_to_go_back_to(tmp_path: Path) -> None:
    path = old_database(tmp_path / "swarm.db", 1)
    open_database(path).close()
    (backup,) = backups(tmp_path)
    shutil.copy(path, tmp_path / "backups" / "newer.db")
    for newer in (path, tmp_path / "backups" / "newer.db"):
        with closing(sqlite3.connect(newer)) as connection:
            connection.execute(f"pragma user_version = {VERSION + 1}")
    (tmp_path / "backups" / "notes.db").write_text("no database at all")
    with pytest.raises(Refused) as refused:
        open_database(path)
    assert f"update the program, or restore the backup (make restore FILE={backup})" in refused.value.sentence


def test_a_database_of_an_unreleased_program_that_says_version_1_is_refused(tmp_path: Path) -> None:
    path = old_database(tmp_path / "swarm.db", 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("drop table review_viewed; alter table runs drop column merge_group")
    with pytest.raises(Refused, match=r"earlier, unreleased HITL Swarm and lacks review_viewed, runs\.merge_group"):
        open_database(path)
    assert version_of(path) == 1 and backups(tmp_path) == []


def test_the_way_back_restores_the_backup_as_the_version_before_left_it(tmp_path: Path) -> None:
    config = Config(data=tmp_path)
    before = rows(old_database(config.database, 1))
    db = open_database(config.database)
    with db.transaction():
        db.execute("update counters set value = 99")
    db.close()
    kept = restore(config, backups(tmp_path)[0])
    assert version_of(config.database) == 1 and rows(config.database) == before
    assert version_of(kept) == VERSION and rows(kept)["counters"][0]["value"] == 99


def test_a_foreign_database_is_not_restored(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("create table notes (id)")
    config = Config(data=tmp_path)
    open_database(config.database).close()
    with pytest.raises(Refused, match="not a database of HITL Swarm"):
        restore(config, tmp_path / "other.db")
    assert version_of(config.database) == VERSION


def wider_requests(connection: sqlite3.Connection) -> str:
    sql: str = connection.execute("select sql from sqlite_schema where name = 'requests'").fetchone()[0]
    return re.sub(r"'permission'\)", "'permission', 'other')", sql).replace("answer      text", "answer      text default 'none'")


def test_a_check_is_widened_by_making_the_table_again_and_all_else_stays(tmp_path: Path, next_version: Any) -> None:
    path = old_database(tmp_path / "swarm.db", 1)
    connection = open_database(path).connect()
    before, made_of = rows(path), objects(connection)
    new = wider_requests(connection)
    next_version(f"-- More kinds of requests.\n-- rebuild\n-- kind = iif(kind = 'budget', 'other', kind)\n{new};\n"
                 "create index requests_by_kind on requests (kind);\n")
    migrations.migrate(connection, VERSION)
    for row in before["requests"]:
        row["kind"] = {"budget": "other"}.get(row["kind"], row["kind"])
    assert rows(path) == before
    assert {**made_of, ("table", "requests"): normalised(new), ("index", "requests_by_kind"): "create index requests_by_kind on requests(kind)"} \
        == objects(connection)
    connection.execute("pragma foreign_keys = on")
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        connection.execute("update requests set session_id = 'nobody' where owner_kind = 'ticket'")
    events = connection.execute("select count(*) from events").fetchone()[0]
    connection.execute("update requests set state = 'withdrawn' where state = 'open'")
    assert connection.execute("select count(*) from events").fetchone()[0] == events + 1, "its trigger is there again"


def test_a_table_that_others_refer_to_can_be_made_again(tmp_path: Path, next_version: Any) -> None:
    path = old_database(tmp_path / "swarm.db", 1)
    connection = open_database(path).connect()
    before, made_of = rows(path), objects(connection)
    sql = connection.execute("select sql from sqlite_schema where name = 'tickets'").fetchone()[0]
    next_version(f"-- rebuild\n{sql.replace('position            integer', 'position            integer check (position < 100000)', 1)};")
    migrations.migrate(connection, VERSION)
    assert rows(path) == before
    changed = {key for key, text in objects(connection).items() if made_of[key] != text}
    assert changed <= {("table", "tickets")} and set(objects(connection)) == set(made_of)


def test_a_migration_that_would_leave_references_to_nothing_is_refused(tmp_path: Path, next_version: Any) -> None:
    connection = open_database(old_database(tmp_path / "swarm.db", 1)).connect()
    next_version("delete from tickets where id = 'TKT-003';")
    with pytest.raises(Refused, match=r"would leave rows of .*runs"):
        migrations.migrate(connection, VERSION)
    assert version_of(tmp_path / "swarm.db") == VERSION and len(rows(tmp_path / "swarm.db")["tickets"]) == 4


def test_a_reference_that_was_broken_by_hand_before_stops_nothing(tmp_path: Path) -> None:
    path = old_database(tmp_path / "swarm.db", 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("delete from review_viewed")
        connection.execute("delete from hitl_sessions where id like '2%'")  # the shell does not look at foreign keys
        connection.commit()
    open_database(path)
    assert version_of(path) == VERSION


def test_a_copy_that_a_kill_cut_off_is_cleared_away(tmp_path: Path) -> None:
    path = old_database(tmp_path / "swarm.db", 1)
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "swarm-version-1-20260101T000000Z.db.part").write_text("half")
    open_database(path)
    assert [file.suffix for file in backups(tmp_path)] == [".db"]


def test_statements_are_cut_at_their_ends_and_know_the_comments_before_them() -> None:
    text = "-- first\n\ncreate table a (b text default ';');\n-- rebuild\n-- b = 'x; y'\ncreate trigger c after insert on a begin\n  select 1;\nend;\n"
    assert list(migrations.statements(text)) == [
        (["-- first", ""], "create table a (b text default ';');\n"),
        (["-- rebuild", "-- b = 'x; y'"], "create trigger c after insert on a begin\n  select 1;\nend;\n")]


def test_a_start_on_a_database_of_this_version_reads_no_migration_and_copies_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_database(tmp_path / "swarm.db").close()
    monkeypatch.setattr(migrations, "FOLDER", tmp_path / "none")
    open_database(tmp_path / "swarm.db").close()
    assert backups(tmp_path) == []
