"""migrations/0002_vm_and_criteria.sql and so on: what brings a database of the version before to the next. 0001 is the first version, whole.

How to change the schema, say from version 2 to 3:

1. Change schema.sql, and set VERSION = 3 in engine/store/columns.py. A new column stands after the columns that are there.
2. Write migrations/0003_<what>.sql. It runs in one transaction together with its number: no begin, no commit. `create table`,
   `create index`, `alter table … add column`, `alter table … rename column`, `update` and the like are written as they are.
   What SQLite cannot alter (a CHECK, a type, NOT NULL) needs the table anew: write its whole new CREATE TABLE below the line `-- rebuild`.
   Rows, indexes and triggers are carried over by name. An index or trigger that changes is dropped before and created after.
   A column that is not simply copied has a line of its own, an expression over the old row:

       -- rebuild
       -- kind = iif(kind = 'asked', 'question', kind)
       create table requests (
         …
       ) strict;

3. tests/engine/test_migrations.py compares a migrated database with a new one, and says what to record for version 3.
   A file in this folder is never changed once a version with it was in use."""
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
    """From `version` to VERSION, one transaction each: a crash leaves the last version that was reached, with its rows.

    Raises Refused when a migration would leave a reference to nothing, sqlite3.Error when it fails; that one is rolled back."""
    connection.execute("pragma foreign_keys = off")
    broken = _broken(connection)  # by hand, before: the sqlite3 shell does not look
    for number in range(version + 1, VERSION + 1):
        connection.execute("begin immediate")
        try:
            apply(connection, number)
            point("in-migration")
            worse = _broken(connection) - broken
            if worse:
                raise Refused(f"Migration {number} would leave rows of {', '.join(sorted(worse))} that refer to nothing.")
            connection.execute(f"pragma user_version = {number}")
            point("before-migrated")
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise
        point("after-migrated")


def _broken(connection: sqlite3.Connection) -> Counter[str]:
    """How many rows of each table refer to a row that is not there."""
    return Counter(row[0] for row in connection.execute("pragma foreign_key_check"))


def apply(connection: sqlite3.Connection, number: int) -> None:
    """The statements of one migration, in the caller's transaction."""
    for comments, statement in statements(_file(number).read_text(encoding="utf-8")):
        if "-- rebuild" in comments:
            rebuild(connection, statement, {found[1]: found[2] for line in comments if (found := _VALUE.fullmatch(line))})
        else:
            connection.execute(statement)


def statements(text: str) -> Iterator[tuple[list[str], str]]:
    """([lines of comment before it], the statement), in order; a trigger, with what is in it, is one."""
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
