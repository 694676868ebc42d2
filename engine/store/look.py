"""Looks at the file at a database's path, without writing to it."""
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple

from engine.errors import Refused
from engine.store.columns import APPLICATION_ID, VERSION, missing, schema_sql
from engine.store.migrations import schema_at
from engine.store.older_form import is_older_form
from engine.store.place import restore_words

CHECKED_BYTES = 1_000_000_000  # a larger file is not checked at each start, because that takes many seconds
AWAY = "move it away, or set SWARM_DATA to another folder."


class Found(NamedTuple):
    """new: no file, or an empty database. older: the form of older_form.py. earlier: an earlier version. ours: this version."""

    form: Literal["new", "older", "earlier", "ours"]
    version: int


class _Facts(NamedTuple):
    application: int
    version: int
    tables: set[str]
    older: bool
    lacks: list[str]
    sound: str


def look(path: Path, called: Path | None = None, advice: str = "") -> Found:
    """Says what the file is. Raises Refused for a file that cannot be opened, with a sentence that says what to do.

    called: the path that the sentence names, if `path` is a copy of it. advice: what to do instead of what helps for a server's database."""
    name = called or path

    def refused(fact: str, otherwise: str = f"It was not changed: {AWAY}") -> Refused:
        return Refused(f"{name} {fact}. {advice or otherwise}")
    if not path.exists() or path.stat().st_size == 0:
        return Found("new", 0)
    try:
        facts = _facts(path)
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise refused(f"is not a readable SQLite database ({error})") from error
        raise refused(f"is damaged: {error}", f"It was not changed. {restore_words(path, 'Restore')}, or move it away.") from error
    if facts.sound != "ok":
        raise refused(f"is damaged: {facts.sound}", f"It was not changed. {restore_words(path, 'Restore')}, or move it away.")
    if facts.lacks:
        raise refused(f"was made by an earlier, unreleased HITL Swarm and lacks {', '.join(facts.lacks[:5])}")
    if facts.application == APPLICATION_ID and facts.version > VERSION:
        raise refused(f"was written by a newer HITL Swarm (version {facts.version}; this program knows {VERSION})",
                      f"It was not changed: update the program, or {restore_words(path, 'restore')}.")
    if facts.application == APPLICATION_ID and facts.version > 0:
        return Found("ours" if facts.version == VERSION else "earlier", facts.version)
    if facts.application == facts.version == 0 and not facts.tables:
        return Found("new", 0)
    if facts.older:
        return Found("older", 0)
    raise refused(f"is not a database of HITL Swarm (user_version {facts.version}, tables {', '.join(sorted(facts.tables)) or 'none'})",
                  f"It was not changed: {restore_words(path, 'restore')}, {AWAY}")


def _facts(path: Path) -> _Facts:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        connection.execute("begin")  # another process may migrate it now, and all values must be of one version
        version, application = (connection.execute(f"pragma {name}").fetchone()[0] for name in ("user_version", "application_id"))
        tables = {row[0] for row in connection.execute("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'")}
        older = version == 0 and is_older_form(connection, tables)
        lacks = _lacks(connection, version) if application == APPLICATION_ID and 0 < version <= VERSION else []
        connection.execute("commit")
        sound = connection.execute("pragma quick_check(1)").fetchone()[0] if path.stat().st_size <= CHECKED_BYTES else "ok"
        return _Facts(application, version, tables, older, lacks, sound)


def _lacks(connection: sqlite3.Connection, version: int) -> list[str]:
    """Tables and columns of that version that this database does not have."""
    if version < VERSION:
        with closing(schema_at(version)) as wanted:
            return missing(connection, wanted)
    with closing(sqlite3.connect(":memory:")) as wanted:
        wanted.executescript(schema_sql())
        return missing(connection, wanted)

