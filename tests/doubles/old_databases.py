"""Databases of earlier versions, as tests/data/databases has them, and what is compared of two databases.

    python -m tests.doubles.old_databases > tests/data/databases/version_2.sql

writes the one of the version before VERSION: the rows of the version before that, brought on by its migration. A table that it brought is
empty: give it a row by hand."""
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.store.columns import APPLICATION_ID, VERSION
from engine.store.migrations import apply

DATABASES = Path(__file__).resolve().parents[1] / "data" / "databases"
_PARTS = re.compile(r"('(?:[^']|'')*')|--[^\n]*|[\"`\[\]]")


def old_database(path: Path, version: int) -> Path:
    """A file as a program of that version left it; 0: the older form."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATABASES / f"version_{version}.sql").read_text(encoding="utf-8"))
        connection.commit()
    return path


def normalised(sql: str) -> str:
    """Without comments, quotes of names, and white space that means nothing. Text in quotes stays as it is."""
    plain = _PARTS.sub(lambda found: found[1] or "", sql)
    return re.sub(r" ?([(),]) ?", r"\1", " ".join(plain.split())).lower()


def objects(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """{(type, name): SQL} of all that a database is made of."""
    return {(kind, name): normalised(sql) for kind, name, sql in connection.execute("select type, name, sql from sqlite_schema where sql is not null")}


def all_columns(connection: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """{table: [(cid, name, type, not null, default, part of the key, hidden)]}"""
    return {name: [tuple(row) for row in connection.execute("select * from pragma_table_xinfo(?)", (name,))]
            for kind, name in objects(connection) if kind == "table"}


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """{table: its rows}, each {column: value}; read without writing."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        tables = [row[0] for row in connection.execute("select name from sqlite_schema where type = 'table'")]
        return {table: [dict(row) for row in connection.execute(f"select * from {table}")] for table in tables}


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute("pragma user_version").fetchone()[0])


def migrated(version: int) -> str:
    """The SQL of a database of that version with the rows of the version before."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript((DATABASES / f"version_{version - 1}.sql").read_text(encoding="utf-8"))
        apply(connection, version)
        first = f"-- A database of version {version}: its schema, and rows in every table.\npragma application_id = {APPLICATION_ID};\n"
        return "\n".join([f"{first}pragma user_version = {version};", *connection.iterdump(), ""])


if __name__ == "__main__":
    print(migrated(VERSION - 1), end="")
