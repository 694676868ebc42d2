"""Builds a table again for changes that SQLite cannot make: a CHECK, a type, a default, NOT NULL, the order of columns.

The steps are those of https://www.sqlite.org/lang_altertable.html, section 7."""
import re
import sqlite3
from collections.abc import Mapping

from engine.store.columns import table_columns

_CREATE = re.compile(r"\s*create\s+table\s+\"?(\w+)", re.I)


def rebuild(connection: sqlite3.Connection, create: str, values: Mapping[str, str]) -> None:
    """create: the whole new CREATE TABLE of an existing table. values: {column: expression over the old row} for columns that are not
    copied as they are. A column that is new and has no value here gets its default. Indexes and triggers are created again
    as they were; drop the ones that must change first.

    Runs inside the caller's transaction with foreign_keys off, because dropping the old table would delete rows that refer to it. Raises
    sqlite3.Error; IntegrityError if the new table refuses a row."""
    found = _CREATE.match(create)
    if found is None:
        raise sqlite3.ProgrammingError(f"a rebuild needs a CREATE TABLE statement, not {create[:60]!r}")
    table, new = found[1], f"new_{found[1]}"
    again = [row[0] for row in connection.execute("select sql from sqlite_schema where tbl_name = ? and type in ('index', 'trigger')"
                                                  " and sql is not null order by type, name", (table,))]
    old = table_columns(connection, table)
    connection.execute(create[:found.start(1)] + new + create[found.end(1):])
    taken = {name: values.get(name, name) for name in table_columns(connection, new) if name in old or name in values}
    connection.execute(f"insert into {new} ({', '.join(taken)}) select {', '.join(taken.values())} from {table}")
    connection.execute(f"drop table {table}")
    connection.execute("pragma legacy_alter_table = on")  # triggers of other tables name this table, which does not exist at this moment
    connection.execute(f"alter table {new} rename to {table}")
    connection.execute("pragma legacy_alter_table = off")
    for sql in again:
        connection.execute(sql)
