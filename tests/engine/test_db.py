"""The store: created, taken over, or refused with the file untouched; one transaction at a time, all or nothing."""
import hashlib
import sqlite3
import threading
from pathlib import Path

import pytest

from engine.errors import Refused
from engine.store.columns import VERSION
from engine.store.db import Database, open_database
from engine.store.older_form import OLD_TABLES

OLD = "; ".join(f"create table {name} ({', '.join(f'{column} text' for column in columns)})" for name, columns in OLD_TABLES.items())


def old_database(path: Path, extra: str = "") -> None:
    connection = sqlite3.connect(path)
    connection.executescript(OLD + ";" + extra)
    connection.commit()
    connection.close()


def refused_untouched(path: Path, *, words: str) -> None:
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(Refused, match=words):
        open_database(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name], "nothing is left beside it"


def test_a_new_database_has_every_table_strict_and_the_pragmas_that_keep_it(tmp_path: Path) -> None:
    db = open_database(tmp_path / "swarm.db")
    assert (db.value("pragma user_version"), db.value("pragma journal_mode"), db.value("pragma foreign_keys"), db.value("pragma synchronous")) \
        == (VERSION, "wal", 1, 2)
    assert {row["strict"] for row in db.all("pragma table_list") if not row["name"].startswith("sqlite_")} == {1}
    assert open_database(tmp_path / "swarm.db").value("select value from counters") == 0, "opening it again changes nothing"


@pytest.mark.parametrize("script", ["pragma user_version = 99", "create table notes (id)", "pragma application_id = 77"])
def test_an_unknown_database_is_refused_and_untouched(tmp_path: Path, script: str) -> None:
    connection = sqlite3.connect(tmp_path / "swarm.db")
    connection.executescript(script + "; create table something (a)")
    connection.close()
    refused_untouched(tmp_path / "swarm.db", words="is not a database of HITL Swarm")


def test_a_newer_database_is_refused_and_untouched(tmp_path: Path) -> None:
    open_database(tmp_path / "swarm.db").close()
    connection = sqlite3.connect(tmp_path / "swarm.db")
    connection.execute(f"pragma user_version = {VERSION + 1}")
    connection.execute("pragma journal_mode = delete")
    connection.close()
    refused_untouched(tmp_path / "swarm.db", words="newer HITL Swarm")


@pytest.mark.parametrize(("script", "what"), [("drop table questions", "questions"), ("alter table runs drop column detail", "runs.detail")])
def test_a_database_of_ours_from_before_a_table_or_column_was_added_is_refused_and_untouched(tmp_path: Path, script: str, what: str) -> None:
    open_database(tmp_path / "swarm.db").close()
    connection = sqlite3.connect(tmp_path / "swarm.db")
    connection.executescript(f"pragma journal_mode = delete; {script}")
    connection.close()
    refused_untouched(tmp_path / "swarm.db", words=f"earlier, unreleased HITL Swarm and lacks {what}")


def test_a_file_that_is_no_database_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "swarm.db").write_text("these are my notes" * 100)
    refused_untouched(tmp_path / "swarm.db", words="not a readable SQLite database")


def test_a_damaged_database_is_refused_and_untouched(tmp_path: Path) -> None:
    db = open_database(tmp_path / "swarm.db")
    with db.transaction():
        db.connection.executemany("insert into hitl_sessions (id, project_name) values (?, 'P')", [(f"s{n}",) for n in range(500)])
    db.execute("pragma journal_mode = delete")
    db.close()
    data = bytearray((tmp_path / "swarm.db").read_bytes())
    data[-20 * 4096:-19 * 4096] = b"\x07" * 4096
    (tmp_path / "swarm.db").write_bytes(data)
    refused_untouched(tmp_path / "swarm.db", words="damaged|not a readable SQLite database")


def test_a_database_in_the_older_form_is_taken_over_with_its_rows(tmp_path: Path) -> None:
    old_database(tmp_path / "swarm.db", """
        insert into hitl_sessions values ('s1', 'default', 'Old', 'd', 'building', '{"name":"Old"}', '2026-01-02 03:04:05', 'nonsense');
        insert into hitl_sessions values ('s2', null, 'Other', null, 'draft', null, null, null);
        insert into tickets values ('TKT-041', 's1', 'default', 'epic', 'E', '', '[]', 'running', null, 'vm1', null, null, '2026-01-02 03:04:05', null);
        insert into tickets values ('TKT-042', 's1', 'default', 'feature', 'F', '', '["works"]', 'completed', 'TKT-041', null, 'b', 'http://x/1', null, null);
        insert into tickets values ('TKT-043', 's1', 'default', 'feature', 'G', '', '[]', 'pending', 'TKT-041', null, null, null, null, null);""")
    db = open_database(tmp_path / "swarm.db")
    assert [tuple(row) for row in db.all("select id, status, parent_id, position, branch_name from tickets order by seq")] == [
        ("TKT-041", "ready", None, 0, None), ("TKT-042", "completed", "TKT-041", 1, "b"), ("TKT-043", "blocked", "TKT-041", 2, None)]
    assert [tuple(row) for row in db.all("select id, state, tenant_id, created_at > '2026' from hitl_sessions order by seq")] == [
        ("s1", "building", "default", 1), ("s2", "draft", "default", 1)]
    assert db.value("select created_at from hitl_sessions where id = 's1'") == "2026-01-02T03:04:05.000Z"
    assert db.value("select value from counters where name = 'ticket'") == 43, "no id is used again"
    assert db.all("pragma foreign_key_check") == [] and db.value("select count(*) from sqlite_schema where name like 'old~_%' escape '~'") == 0


def test_an_older_database_with_a_state_that_does_not_exist_is_refused_and_untouched(tmp_path: Path) -> None:
    old_database(tmp_path / "swarm.db", "insert into hitl_sessions values ('s1', 'default', 'Old', 'd', 'sleeping', null, null, null)")
    before = (tmp_path / "swarm.db").read_bytes()
    with pytest.raises(Refused, match="cannot be prepared"):
        open_database(tmp_path / "swarm.db")
    assert (tmp_path / "swarm.db").read_bytes() == before


def test_a_transaction_is_all_or_nothing_and_joins_the_one_that_is_open(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.transaction():
        db.execute("update counters set value = 5")
        with db.transaction():
            db.execute("update counters set value = 6")
        raise ZeroDivisionError
    assert db.value("select value from counters") == 0
    assert not db.connection.in_transaction


def test_a_rollback_that_sqlite_did_by_itself_hides_no_error(db: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"), db.transaction():
        db.execute("rollback")
        db.execute("select * from nowhere")


def test_writers_of_one_process_queue_and_none_is_lost(db: Database) -> None:
    def work() -> None:
        for _ in range(50):
            with db.transaction():
                db.execute("update counters set value = ?", (db.value("select value from counters") + 1,))
        db.close()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db.value("select value from counters") == 200


def test_subscribers_hear_of_commits_that_changed_something_only(db: Database) -> None:
    heard: list[int] = []
    db.subscribe(lambda: heard.append(1))
    with db.transaction():
        db.execute("update counters set value = value where name = 'nobody'")
    assert heard == []
    with db.transaction():
        db.execute("update counters set value = 1")
    assert heard == [1]


def test_the_journal_is_written_by_whoever_changes_a_state(db: Database) -> None:
    connection = sqlite3.connect(db.path)
    connection.execute("insert into hitl_sessions (id, project_name) values ('s', 'P')")
    connection.execute("update hitl_sessions set state = 'approved'")
    connection.execute("update hitl_sessions set state = 'approved'")
    connection.commit()
    assert [tuple(row) for row in db.all("select kind, from_state, to_state from events")] == [("session", None, "draft"), ("session", "draft", "approved")]
