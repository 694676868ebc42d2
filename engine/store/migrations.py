"""Migrations: each file, such as migrations/0002_vm_and_criteria.sql, changes a database from the version before to its own. 0001 is the whole first version.

How to change the schema, for example from version 2 to 3:

1. Change schema.sql, and set VERSION = 3 in engine/store/columns.py. A new column goes after the existing columns.
2. Write migrations/0003_<what>.sql. It runs in one transaction together with its version number, so write no begin and no commit. `create table`,
   `create index`, `alter table … add column`, `alter table … rename column`, `update` and similar statements are written as usual.
   What SQLite cannot alter (a CHECK, a type, NOT NULL) needs a new table: write its whole new CREATE TABLE below the line `-- rebuild`.
   Rows, indexes and triggers are kept by name. Drop an index or trigger that changes before it, and create it after it.
   A column that is not copied as it is has its own line, an expression over the old row:

       -- rebuild
       -- kind = iif(kind = 'asked', 'question', kind)
       create table requests (
         …
       ) strict;

3. Write the database that version 2 leaves behind, for the tests:
   python -m tests.doubles.old_databases > tests/data/databases/version_2.sql
4. tests/engine/test_migrations.py compares a migrated database with a new one, and says what to record for version 3.
   Never change a file in this folder after a version with it was in use."""
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from engine.config import ROOT
from engine.crash import point
from engine.errors import Refused
from engine.store.columns import VERSION
from engine.store.rebuild import rebuild

FOLDER = ROOT / "migrations"
_VALUE = re.compile(r"--\s*(\w+)\s*=\s*(.+)")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Migrates from `version` to VERSION, with one transaction per step. After a crash the database has the last version that was reached.

    Raises Refused when a migration would leave a reference to a missing row, and sqlite3.Error when it fails; that step is rolled back."""
    connection.execute("pragma foreign_keys = off")
    broken = _broken(connection)  # broken before, by hand: the sqlite3 shell does not check references
    for number in range(version + 1, VERSION + 1):
        connection.execute("begin immediate")
        try:
            apply(connection, number)
            point("in-migration")
            worse = _broken(connection) - broken
            if worse:
                raise Refused(f"Migration {number} would leave rows of {', '.join(sorted(worse))} that refer to missing rows.")
            connection.execute(f"pragma user_version = {number}")
            point("before-migrated")
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise
        point("after-migrated")


def _broken(connection: sqlite3.Connection) -> Counter[str]:
    """Number of rows in each table that refer to a missing row."""
    return Counter(row[0] for row in connection.execute("pragma foreign_key_check"))


def apply(connection: sqlite3.Connection, number: int) -> None:
    """Runs the statements of one migration, in the caller's transaction."""
    for comments, statement in statements(_file(number).read_text(encoding="utf-8")):
        if "-- rebuild" in comments:
            rebuild(connection, statement, {found[1]: found[2] for line in comments if (found := _VALUE.fullmatch(line))})
        else:
            connection.execute(statement)


def statements(text: str) -> Iterator[tuple[list[str], str]]:
    """([comment lines before it], statement), in order. A trigger with its body is one statement."""
    comments: list[str] = []
    sql = ""
    for line in text.splitlines(keepends=True):
        if not sql and (not line.strip() or line.startswith("--")):
            comments.append(line.strip())
            continue
        sql += line
        if sqlite3.complete_statement(sql):
            yield comments, sql
            comments, sql = [], ""
    if sql.strip():
        yield comments, sql


def schema_at(version: int) -> sqlite3.Connection:
    """An empty database of that version, in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for number in range(1, version + 1):
        apply(connection, number)
    return connection


def _file(number: int) -> Path:
    (path,) = FOLDER.glob(f"{number:04d}_*.sql")
    return path
