"""What stands at the path of a database, without writing to it."""
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple

from engine.errors import Refused
from engine.store.columns import APPLICATION_ID, VERSION, missing, schema_sql
from engine.store.copies import newest_copy
from engine.store.migrations import schema_at
from engine.store.older_form import is_older_form

CHECKED_BYTES = 1_000_000_000  # a larger file is not read through at each start: that would take many seconds
AWAY = "move it away, or set SWARM_DATA to another folder."


class Found(NamedTuple):
    """new: nothing, or an empty database. older: the form of older_form.py. earlier: ours, of an earlier version. ours: of this version."""

    form: Literal["new", "older", "earlier", "ours"]
    version: int


class _Facts(NamedTuple):
    application: int
    version: int
    tables: set[str]
    older: bool
    lacks: list[str]
    sound: str


def look(path: Path) -> Found:
    """Raises Refused, with a sentence that says what to do, for whatever cannot be opened."""
    if not path.exists() or path.stat().st_size == 0:
        return Found("new", 0)
    try:
        facts = _facts(path)
    except sqlite3.Error as error:
        raise Refused(f"{path} is not a readable SQLite database ({error}). It was left untouched: {AWAY}") from error
    if facts.sound != "ok":
        raise Refused(f"{path} is damaged: {facts.sound}. It was left untouched. {_restore(path, 'Restore')}, or move it away.")
    if facts.lacks:
        raise Refused(f"{path} was made by an earlier, unreleased HITL Swarm: it has no {', '.join(facts.lacks[:5])}. It was left untouched: {AWAY}")
    if facts.application == APPLICATION_ID and facts.version > VERSION:
        raise Refused(f"{path} was written by a newer HITL Swarm (version {facts.version}, this one knows {VERSION}). It was left untouched: "
                      f"update the program, or go back: {_restore(path, 'restore')}.")
    if facts.application == APPLICATION_ID and facts.version > 0:
        return Found("ours" if facts.version == VERSION else "earlier", facts.version)
    if facts.application == facts.version == 0 and not facts.tables:
        return Found("new", 0)
    if facts.older:
        return Found("older", 0)
    raise Refused(f"{path} is not a database of HITL Swarm (user_version {facts.version}, tables {', '.join(sorted(facts.tables)) or 'none'}). "
                  f"It was left untouched: {_restore(path, 'restore')}, {AWAY}")


def _facts(path: Path) -> _Facts:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        connection.execute("begin")  # another process may be migrating it: all of this is to be of one version
        version, application = (connection.execute(f"pragma {name}").fetchone()[0] for name in ("user_version", "application_id"))
        tables = {row[0] for row in connection.execute("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'")}
        older = version == 0 and is_older_form(connection, tables)
        lacks = _lacks(connection, version) if application == APPLICATION_ID and 0 < version <= VERSION else []
        connection.execute("commit")
        sound = connection.execute("pragma quick_check(1)").fetchone()[0] if path.stat().st_size <= CHECKED_BYTES else "ok"
        return _Facts(application, version, tables, older, lacks, sound)


def _lacks(connection: sqlite3.Connection, version: int) -> list[str]:
    """What a database of that version has, and this one has not."""
    if version < VERSION:
        with closing(schema_at(version)) as wanted:
            return missing(connection, wanted)
    with closing(sqlite3.connect(":memory:")) as wanted:
        wanted.executescript(schema_sql())
        return missing(connection, wanted)


def _restore(path: Path, verb: str) -> str:
    """'Restore …', with the newest backup that this program can open."""
    copy = newest_copy(path.parent / "backups", VERSION)
    return f"{verb} {'the' if copy else 'a'} backup (make restore FILE={copy or '…'})"
