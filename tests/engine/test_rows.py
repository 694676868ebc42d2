"""Rows have types, and the types say what schema.sql says."""
import re
import sqlite3
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from engine.repositories import rows as repository_rows
from engine.store.columns import schema_sql
from engine.tickets import rows, session_rows

TABLES = {
    "counters": session_rows.CounterRow,
    "engine_state": session_rows.EngineStateRow,
    "hitl_sessions": session_rows.SessionRow,
    "spec_versions": session_rows.SpecVersionRow,
    "messages": session_rows.MessageRow,
    "questions": session_rows.QuestionRow,
    "amendments": session_rows.AmendmentRow,
    "events": session_rows.EventRow,
    "tickets": rows.TicketRow,
    "ticket_dependencies": rows.DependencyRow,
    "runs": rows.OwnedRunRow,
    "turns": rows.TurnRow,
    "requests": rows.OwnedRequestRow,
    "review_comments": rows.ReviewCommentRow,
    "review_viewed": rows.ReviewViewedRow,
    "ticket_steers": rows.SteerRow,
    "deliveries": rows.DeliveryRow,
    "forge_facts": rows.ForgeFactRow,
    "repositories": repository_rows.RepositoryRow,
    "environment_versions": repository_rows.EnvironmentVersionRow,
    "environments": repository_rows.EnvironmentRow,
    "baselines": repository_rows.BaselineRow,
}


@pytest.fixture(scope="module")
def schema() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema_sql())
    return connection


def tables(schema: sqlite3.Connection) -> set[str]:
    return {name for (name,) in schema.execute("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'")}


def test_every_table_has_its_type(schema: sqlite3.Connection) -> None:
    assert set(TABLES) == tables(schema)


@pytest.mark.parametrize("table", TABLES)
def test_a_row_has_the_columns_of_its_table_with_their_types(schema: sqlite3.Connection, table: str) -> None:
    columns = {name: (kind, bool(notnull or primary)) for _, name, kind, notnull, _, primary, _ in schema.execute(f"pragma table_xinfo({table})")}
    described = {}
    for name, hint in get_type_hints(TABLES[table]).items():
        options = [each for each in get_args(hint) if each is not type(None)] if type(None) in get_args(hint) else [hint]
        plain = str if get_origin(options[0]) is Literal else options[0]
        described[name] = ({str: "TEXT", int: "INTEGER", float: "REAL"}[plain], type(None) not in get_args(hint))
    assert described == columns


@pytest.mark.parametrize(("table", "column"), [(table, name) for table, row in TABLES.items() for name, hint in get_type_hints(row).items()
                                               if Literal in (get_origin(hint), *map(get_origin, get_args(hint)))])
def test_a_literal_allows_what_the_check_allows(schema: sqlite3.Connection, table: str, column: str) -> None:
    """Each value of the type passes the column's CHECK, and the CHECK names no further one."""
    sql = schema.execute("select sql from sqlite_schema where name = ?", (table,)).fetchone()[0]
    hint = get_type_hints(TABLES[table])[column]
    literal = next(each for each in (hint, *get_args(hint)) if get_origin(each) is Literal)
    text = re.sub(r"--.*", "", sql)
    start = text.index("check", text.index(f"\n  {column} "))
    depth, end = 0, start
    for end in range(text.index("(", start), len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth == 0:
            break
    named = set(text[start:end].split("'")[1::2])
    assert named == set(get_args(literal))
