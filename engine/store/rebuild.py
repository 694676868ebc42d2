"""A table made anew where SQLite cannot alter it: a CHECK, a type, a default, NOT NULL, the order of columns.

The steps are those of https://www.sqlite.org/lang_altertable.html, section 7."""
import re
import sqlite3
from collections.abc import Mapping

from engine.store.columns import table_columns

_CREATE = re.compile(r"\s*create\s+table\s+(\w+)", re.I)


def rebuild(connection: sqlite3.Connection, create: str, values: Mapping[str, str]) -> None:
    """create: the whole new CREATE TABLE of a table that is there. values: {column: expression over the old row} for columns that are not
    simply taken over; a column that the old table has not, and that no value is given for, gets its default. Its indexes and triggers are
    made again as they were: drop those first that are to be different.

    Runs inside the caller's transaction, with foreign_keys off: dropping the old table would delete what refers to it. Raises
    sqlite3.Error; what the new table refuses is an IntegrityError."""
    found = _CREATE.match(create)
    if found is None:
        raise sqlite3.ProgrammingError(f"a rebuild needs a create table, not {create[:60]!r}")
    table, new = found[1], f"new_{found[1]}"
    again = [row[0] for row in connection.execute("select sql from sqlite_schema where tbl_name = ? and type in ('index', 'trigger')"
                                                  " and sql is not null order by type, name", (table,))]
    old = table_columns(connection, table)
    connection.execute(create[:found.start(1)] + new + create[found.end(1):])
    taken = {name: values.get(name, name) for name in table_columns(connection, new) if name in old or name in values}
    connection.execute(f"insert into {new} ({', '.join(taken)}) select {', '.join(taken.values())} from {table}")
    connection.execute(f"drop table {table}")
    connection.execute("pragma legacy_alter_table = on")  # triggers of other tables name this one, which is not there just now
    connection.execute(f"alter table {new} rename to {table}")
    connection.execute("pragma legacy_alter_table = off")
    for sql in again:
        connection.execute(sql)
