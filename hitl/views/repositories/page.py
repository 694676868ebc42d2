"""What the page of a repository shows beside its settings: sessions, versions of the steps, copies, checks at the base, network, and its setup run."""
from typing import Any, TypedDict

from engine.repositories import versions
from engine.repositories.rows import BaselineRow, EnvironmentRow, RepositoryRow
from engine.runs import wanted
from engine.store.db import Database, as_dict
from engine.text import stored
from hitl.views.ticket import run_dict

MOST_SESSIONS, MOST_VERSIONS, MOST_COPIES, LAST_LINES = 20, 20, 20, 3


class _Session(TypedDict):
    id: str
    project_name: str
    state: str
    paused: int
    updated_at: str
    waits: int  # its epic waits for the environment


def sessions_of(db: Database, repository_id: str) -> dict[str, Any]:
    """{sessions: the newest, those that build first; count: all; building: how many build}"""
    rows = db.all("select s.id, s.project_name, s.state, s.paused, s.updated_at, exists (select 1 from tickets e where e.session_id = s.id"
                  " and e.waits_for = 'environment' and e.status in ('running', 'needs_input')) as waits from hitl_sessions s where s.repository_id = ?"
                  " order by s.state = 'building' desc, s.seq desc limit ?", (repository_id, MOST_SESSIONS), _Session)
    count, building = db.one("select count(*), coalesce(sum(state = 'building'), 0) from hitl_sessions where repository_id = ?", (repository_id,)) or (0, 0)
    return {"sessions": [dict(row) for row in map(as_dict, rows)], "count": count, "building": building}


def versions_of(db: Database, repository_id: str) -> list[dict[str, Any]]:
    """The newest versions of the steps: [{number, source, state, approved_by, at, sha256, steps}]"""
    rows = versions.history(db, repository_id)
    return [{"number": len(rows) - place, "seq": row["seq"], "source": row["source"], "state": row["state"], "by": row["approved_by"],
             "at": row["approved_at"] or row["created_at"], "sha256": row["sha256"], "steps": stored(row["steps"], {})}
            for place, row in enumerate(rows[:MOST_VERSIONS])]


def copies_of(db: Database, repository_id: str) -> list[dict[str, Any]]:
    """Its snapshots, those used last first: [{key, ticket_id, bytes, seconds, used_at, built_at, runs: how many stood on it, live: how many stand on it}]"""
    rows = db.all("select * from environments where repository_id = ? and state = 'ready' order by coalesce(used_at, built_at) desc limit ?",
                  (repository_id, MOST_COPIES), EnvironmentRow)
    return [{**as_dict(row), **_runs_on(db, row["key"])} for row in rows]


def _runs_on(db: Database, key: str) -> dict[str, int]:
    count, live = db.one("select count(*), coalesce(sum(ended_at is null), 0) from runs where environment = ?", (key,)) or (0, 0)
    return {"runs": count, "live": live}


def baseline_of(db: Database, repository_id: str) -> dict[str, Any] | None:
    """What the checks said at the commit that was measured last: {base_sha, at, checks: [{command, result, exit, output, seconds}]}"""
    newest = db.one("select * from baselines where repository_id = ? order by seq desc limit 1", (repository_id,), BaselineRow)
    if newest is None:
        return None
    rows = db.all("select * from baselines where repository_id = ? and base_sha = ? and environment_key = ? order by command",
                  (repository_id, newest["base_sha"], newest["environment_key"]), BaselineRow)
    return {"base_sha": newest["base_sha"], "at": newest["created_at"], "checks": [as_dict(row) for row in rows]}


def setup_run(db: Database, repository: RepositoryRow) -> dict[str, Any] | None:
    """Its newest setup run, with `sentence` and `lines` of its reason. `for_session`: the session that wants it, if one does. `refused`: hosts that it asked
    for in vain: [{host, refused}]."""
    row = wanted.latest(db, "setup", "repository", repository["id"])
    if row is None:
        return None
    sentence, _, rest = (row["reason"] or "").partition("\n")
    task = stored(row["task"], {})
    name = db.value("select project_name from hitl_sessions where id = ?", (row["session_id"] or task.get("session"),))
    egress = stored(row["usage"], {}).get("egress") or {}
    refused = [{"host": str(each.get("host")), "refused": each["refused"]} for each in egress.get("hosts", []) if each.get("refused")]
    return {**run_dict(row), "refused": refused, "sentence": sentence, "lines": "\n".join(rest.split("\n")[-LAST_LINES:]), "for_session": name}


def disk_use(db: Database) -> dict[str, int]:
    """{count, bytes} of all snapshots of this installation."""
    count, total = db.one("select count(*), coalesce(sum(bytes), 0) from (select max(bytes) as bytes from environments where state = 'ready'"
                          " group by key)") or (0, 0)
    return {"count": count, "bytes": total}
