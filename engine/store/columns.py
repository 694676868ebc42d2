"""schema.sql, and whether a database of ours has all of it."""
import sqlite3

from engine.config import ROOT


def schema_sql() -> str:
    return (ROOT / "schema.sql").read_text(encoding="utf-8")


def missing(connection: sqlite3.Connection) -> list[str]:
    """The tables, and columns as table.column, that schema.sql has and this database has not: it was made before they were added."""
    wanted = sqlite3.connect(":memory:")
    try:
        wanted.executescript(schema_sql())
        should, has = _columns(wanted), _columns(connection)
    finally:
        wanted.close()
    return sorted({table if table not in has else f"{table}.{column}" for table, columns in should.items()
                   for column in columns if column not in has.get(table, ())})


def _columns(connection: sqlite3.Connection) -> dict[str, set[str]]:
    tables = [row[0] for row in connection.execute("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'")]
    return {table: {row[0] for row in connection.execute("select name from pragma_table_info(?)", (table,))} for table in tables}
