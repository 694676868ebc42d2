"""A session and its progress as plain dicts, the same for JSON and for pages."""
import json
import shlex
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.config import Config
from engine.errors import BadRequest
from engine.git.branches import repository_path
from engine.store.db import Database
from engine.tickets.rows import DeliveryRow, TicketRow
from engine.tickets.session_rows import SessionRow
from hitl.card.unknown_keys import warnings_of
from hitl.session import questions, sessions
from hitl.views import fetching
from hitl.views import usage as used
from hitl.web import strict_json

ON_THE_WAY = {"draft": 10, "clarifying": 30, "review": 60, "approved": 90}
STATES = (*ON_THE_WAY, "building", "completed", "failed", "cancelled")
_STEPS = (("Idea", ("draft",)), ("Questions", ("clarifying",)), ("Spec", ("review",)), ("Approved", ("approved",)),
          ("Building", ("building",)), ("Done", ("completed",)))


@lru_cache(maxsize=8)
def _card(text: str) -> tuple[Any, str | None, list[dict[str, str]]]:
    """(card, its hash, warnings). The result is cached because pages load more often than cards change; do not change it."""
    try:
        card = strict_json.parse(text.encode("utf-8"))
    except BadRequest as error:
        return None, None, [{"path": "", "message": error.sentence}]
    return card, strict_json.sha256(card), warnings_of(card) if isinstance(card, dict) else []


class _Count(TicketRow):
    count: int


def _counted(db: Database, sessions_json: str) -> dict[str, list[_Count]]:
    """{session id: how many of its tickets have each type and status}."""
    found: dict[str, list[_Count]] = {}
    for row in db.all("select session_id, type, status, count(*) as count from tickets where session_id in (select value from json_each(?))"
                      " group by session_id, type, status order by status", (sessions_json,), _Count):
        found.setdefault(row["session_id"], []).append(row)
    return found


def _features(counted: list[_Count]) -> dict[str, int]:
    """{status: how many features}: the epic is no feature."""
    found: dict[str, int] = {}
    for row in counted:
        if row["type"] != "epic":
            found[row["status"]] = found.get(row["status"], 0) + row["count"]
    return found


def progress_of(db: Database, session_id: str) -> int | None:
    """The progress of a session, as in session_view; None if there is no such session."""
    row = db.one("select * from hitl_sessions where id = ?", (session_id,), SessionRow)
    return _progress(row, _counted(db, json.dumps([session_id])).get(session_id, [])) if row else None


def _progress(row: SessionRow, counted: list[_Count]) -> int:
    """The progress from 0 to 100: up to 90 before the build, then by the number of closed tickets, the epic among them."""
    if row["state"] == "completed":
        return 100
    if row["state"] in ON_THE_WAY:
        return ON_THE_WAY[row["state"]]
    total = sum(each["count"] for each in counted)
    if total:
        return 90 + 9 * sum(each["count"] for each in counted if each["status"] in ("completed", "cancelled")) // total
    return 90 if row["approved_at"] or row["state"] != "cancelled" else 60 if row["spec_version"] else 10


def _summary(row: SessionRow, counted: list[_Count], open_requests: int) -> dict[str, Any]:
    """`tickets` counts the features, as the board does."""
    features = _features(counted)
    return {
        "id": row["id"], "project_name": row["project_name"], "description": row["description"], "state": row["state"], "paused": bool(row["paused"]),
        "progress": _progress(row, counted), "tickets": {"total": sum(features.values()), "by_status": features}, "requests": open_requests,
        "reason": row["reason"], "created_at": row["created_at"], "updated_at": row["updated_at"],
    }


def session_view(db: Database, config: Config, tenant: str, session_id: str) -> dict[str, Any]:
    """One session with its card, the numbers of its features and its repository, if there is one. Raises NotFound.

    spec_sha256 is the hash of the card as it is stored now. `repository` is {"clone", "branch", "gone"} after the build was prepared, None before.
    gone: a sentence if it was removed since. fetching: how far the fetch of its repository is, None while there is none."""
    row = sessions.get(db, tenant, session_id)
    counted = _counted(db, json.dumps([session_id])).get(session_id, [])
    waiting = db.value("select count(*) from requests where session_id = ? and state = 'open'", (session_id,))
    card, sha256, warnings = _card(row["spec_card"]) if row["spec_card"] is not None else (None, None, [])
    epic = db.one("select id, branch_name, base_sha, pr_url from tickets where session_id = ? and type = 'epic' order by seq limit 1", (session_id,), TicketRow)
    return {
        **_summary(row, counted, waiting), "spec_card": card, "spec_version": row["spec_version"], "spec_sha256": sha256,
        "approved_sha256": row["approved_sha256"], "approved_at": row["approved_at"], "warnings": warnings, "isolation": row["isolation"],
        "given_repository": row["repository"], "review": sessions.review_of(row), "open_question": questions.open_number(db, session_id),
        "usage": used.of_session(db, config, row, card, epic is not None), "fetching": fetching.of_session(db, config, session_id),
        "epic_id": epic["id"] if epic else None, "pr_url": epic["pr_url"] if epic else None,
        "repository": _repository(db, config, session_id, epic["branch_name"]) if epic is not None and epic["base_sha"] is not None else None,
    }


def _repository(db: Database, config: Config, session_id: str, branch: str | None) -> dict[str, str | None]:
    path = repository_path(config, session_id)
    gone = None if path.is_dir() else _gone(db, session_id, path)
    return {"clone": f"git clone {shlex.quote(str(path))}", "branch": branch, "gone": gone}


def _gone(db: Database, session_id: str, path: Path) -> str:
    row = db.one("select d.* from deliveries d join tickets t on t.id = d.ticket_id where d.session_id = ? and t.type = 'epic'"
                 " and d.state in ('merged', 'done')", (session_id,), DeliveryRow)
    if row is None:
        return f"The repository of this session was removed: there is no {path}. Copy it back to get the result again."
    was = "merged in" if row["state"] == "merged" else "delivered to"
    return f"The result was {was} {row['repository']}. This installation's own copy of it was removed since: get it there."


def session_list(db: Database, tenant: str, state: str | None = None, limit: int = 50, after: int | None = None) -> dict[str, Any]:
    """{"sessions": [newest first], "next": the cursor for `after`, or None}. Raises BadRequest for an unknown state."""
    if state is not None and state not in STATES:
        raise BadRequest(f"state must be one of: {', '.join(STATES)}.")
    rows = db.all("select * from hitl_sessions where tenant_id = :tenant and (:state is null or state = :state) and (:after is null or seq < :after)"
                  " order by seq desc limit :limit", {"tenant": tenant, "state": state, "after": after, "limit": limit + 1}, SessionRow)
    more, rows = len(rows) > limit, rows[:limit]
    ids = json.dumps([row["id"] for row in rows])
    counted = _counted(db, ids)
    waiting: dict[str, int] = dict(db.execute("select session_id, count(*) from requests where state = 'open' and session_id in"
                                              " (select value from json_each(?)) group by session_id", (ids,)).fetchall())
    return {"sessions": [_summary(row, counted.get(row["id"], []), waiting.get(row["id"], 0)) for row in rows],
            "next": rows[-1]["seq"] if more else None}


def steps(state: str, reached: str) -> list[dict[str, Any]]:
    """The steps of the stepper. `reached`: the state in which a cancelled or failed session stopped."""
    at = next(place for place, (_, states) in enumerate(_STEPS) if (reached if state in ("cancelled", "failed") else state) in states)
    found = []
    for place, (title, _) in enumerate(_STEPS):
        now, done = place == at and state != "completed", place < at or state == "completed"
        glyph = "done" if done else "queued"
        if now:
            glyph = {"cancelled": "cancelled", "failed": "failed"}.get(state, "review")
        found.append({"title": title, "now": now, "done": done, "glyph": glyph, "ended": now and state in ("cancelled", "failed")})
    return found
