"""schema.sql and its version, and a test whether a database has all of its columns."""
import sqlite3

from engine.config import ROOT

APPLICATION_ID = 0x48495453  # "HITS", in the file's header: a database of HITL Swarm
VERSION = 3                  # of schema.sql, in user_version; read engine/store/migrations.py before you change schema.sql


def schema_sql() -> str:
    return (ROOT / "schema.sql").read_text(encoding="utf-8")


def missing(connection: sqlite3.Connection, wanted: sqlite3.Connection) -> list[str]:
    """Tables, and columns as table.column, that `wanted` has but `connection` does not have, because it is older."""
    should, has = columns(wanted), columns(connection)
    return sorted({table if table not in has else f"{table}.{column}" for table, names in should.items()
                   for column in names if column not in has.get(table, ())})


def columns(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """{table: its columns, in order}"""
    tables = [row[0] for row in connection.execute("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'")]
    return {table: table_columns(connection, table) for table in tables}


def table_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[0] for row in connection.execute("select name from pragma_table_info(?)", (table,))]
