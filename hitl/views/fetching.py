"""How far the fetch of a repository is, while a run fetches it: the last sentence of that run's log."""
import os
from pathlib import Path
from typing import Any, TypedDict

from engine.config import Config
from engine.jobs import MESSAGES
from engine.store.db import Database
from engine.text import from_outside, one_line, printable

TAIL = 2000  # bytes of a log that are read
BEGINS = "The fetch begins."
_KINDS = "r.ended_at is null and r.kind in ('prepare', 'setup', 'baseline')"


class _Run(TypedDict):
    id: str
    kind: str
    session_id: str | None
    project_name: str | None


def of_session(db: Database, config: Config, session_id: str) -> str | None:
    """How far the fetch by a run of this session is; None while none fetches."""
    rows = db.all(f"select r.id, r.kind from runs r where r.session_id = ? and {_KINDS} order by r.seq", (session_id,), _Run)
    return next(filter(None, (_sentence(config.data / "runs" / row["id"]) for row in rows)), None)


def of_repository(db: Database, config: Config, tenant: str, repository_id: str) -> list[dict[str, Any]]:
    """The runs that fetch this repository now: [{run, kind, sentence, session: its id or None, name: of its project or None}]. Those of sessions that build
    in it, and its own."""
    rows = db.all(f"select r.id, r.kind, r.session_id, s.project_name from runs r left join hitl_sessions s on s.id = r.session_id where {_KINDS}"
                  " and r.tenant_id = ? and (s.repository_id = ? or r.owner_kind = 'repository' and r.owner = ?) order by r.seq",
                  (tenant, repository_id, repository_id), _Run)
    known = ((row, _sentence(config.data / "runs" / row["id"])) for row in rows)
    return [{"run": row["id"], "kind": row["kind"], "sentence": sentence, "session": row["session_id"], "name": row["project_name"]}
            for row, sentence in known if sentence]


def _sentence(folder: Path) -> str | None:
    """The last line of the log of a run that fetches; None if it does not fetch, or not any more."""
    if not (folder / MESSAGES).exists():
        return None
    try:
        with open(folder / "log", "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = from_outside(file.read(TAIL), TAIL).rpartition("\n")[0].split("\n")
    except FileNotFoundError:
        return BEGINS
    return printable(one_line(lines[-1])) or BEGINS
