"""schema.sql and its version, and whether a database of ours has all of its columns."""
import sqlite3

from engine.config import ROOT

APPLICATION_ID = 0x48495453  # "HITS", in the file's header: this file is ours
VERSION = 2                  # of schema.sql, in user_version; whoever changes schema.sql reads engine/store/migrations.py first


def schema_sql() -> str:
    return (ROOT / "schema.sql").read_text(encoding="utf-8")


def missing(connection: sqlite3.Connection, wanted: sqlite3.Connection) -> list[str]:
    """The tables, and columns as table.column, that `wanted` has and `connection` has not: it was made before they were added."""
    should, has = columns(wanted), columns(connection)
    return sorted({table if table not in has else f"{table}.{column}" for table, names in should.items()
                   for column in names if column not in has.get(table, ())})


def columns(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """{table: its columns, in their order}"""
    tables = [row[0] for row in connection.execute("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'")]
    return {table: table_columns(connection, table) for table in tables}


def table_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[0] for row in connection.execute("select name from pragma_table_info(?)", (table,))]
