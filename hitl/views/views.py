"""What sessions, requests, events and the engine look like: plain dicts, the same for JSON and for pages. Tickets: ticket_views, board."""
import json
import shlex
import sqlite3
from functools import lru_cache
from typing import Any

from engine.config import Config
from engine.errors import BadRequest, Unavailable
from engine.git.branches import repository_path
from engine.loop.status import shown, where
from engine.runtimes.described import described
from engine.store import journal
from engine.store.db import Database
from hitl.card.spec_card import warnings_of
from hitl.changes.span import diff_view
from hitl.session import questions, sessions
from hitl.views import usage as used
from hitl.views.board import board_view
from hitl.views.notes import notes_markdown
from hitl.views.ticket import log_slice, request_dict, run_dict, runs_view, ticket_view, tickets_view
from hitl.web import strict_json
from hitl.web.context import Swarm

STALLED_SECONDS = 60.0  # a tick takes milliseconds, and failing ones are at most 30 s apart

__all__ = ["board_view", "diff_view", "engine_state", "engine_view", "events_view", "health_view", "log_slice", "notes_markdown", "requests_view",
           "run_dict", "runs_view", "session_list", "session_view", "settings_view", "ticket_view", "tickets_view", "waiting_count"]

ON_THE_WAY = {"draft": 10, "clarifying": 30, "review": 60, "approved": 90}
STATES = (*ON_THE_WAY, "building", "completed", "failed", "cancelled")


@lru_cache(maxsize=8)
def _card(text: str) -> tuple[Any, str | None, list[dict[str, str]]]:
    """(card, its hash, warnings), kept because a page is asked for more often than a card changes. Not to be written to."""
    try:
        card = strict_json.parse(text.encode("utf-8"))
    except BadRequest as error:
        return None, None, [{"path": "", "message": error.sentence}]
    return card, strict_json.sha256(card), warnings_of(card) if isinstance(card, dict) else []


def _progress(row: sqlite3.Row, counts: dict[str, int]) -> int:
    """0 to 100: how far on the way to the build, then how many of its tickets are closed."""
    if row["state"] == "completed":
        return 100
    if row["state"] in ON_THE_WAY:
        return ON_THE_WAY[row["state"]]
    total = sum(counts.values())
    if total:
        return 90 + 9 * (counts.get("completed", 0) + counts.get("cancelled", 0)) // total
    return 90 if row["approved_at"] or row["state"] != "cancelled" else 60 if row["spec_version"] else 10


def _summary(row: sqlite3.Row, counts: dict[str, int], open_requests: int) -> dict[str, Any]:
    return {
        "id": row["id"], "project_name": row["project_name"], "description": row["description"], "state": row["state"], "paused": bool(row["paused"]),
        "progress": _progress(row, counts), "tickets": {"total": sum(counts.values()), "by_status": counts}, "requests": open_requests,
        "reason": row["reason"], "created_at": row["created_at"], "updated_at": row["updated_at"],
    }


def session_view(db: Database, config: Config, tenant: str, session_id: str) -> dict[str, Any]:
    """One session with its card, its tickets in numbers and, once there is one, its repository. Raises NotFound.

    spec_sha256 is the hash of the card as it is stored now; `repository` is {"clone", "branch"} once the build is prepared."""
    row = sessions.get(db, tenant, session_id)
    counts: dict[str, int] = dict(db.execute("select status, count(*) from tickets where session_id = ? group by status order by status",
                                             (session_id,)).fetchall())
    waiting = db.value("select count(*) from requests where session_id = ? and state = 'open'", (session_id,))
    card, sha256, warnings = _card(row["spec_card"]) if row["spec_card"] is not None else (None, None, [])
    epic = db.one("select id, branch_name, base_sha, pr_url from tickets where session_id = ? and type = 'epic' order by seq limit 1", (session_id,))
    return {
        **_summary(row, counts, waiting), "spec_card": card, "spec_version": row["spec_version"], "spec_sha256": sha256,
        "approved_sha256": row["approved_sha256"], "approved_at": row["approved_at"], "warnings": warnings, "isolation": row["isolation"],
        "given_repository": row["repository"], "review": sessions.review_of(row), "open_question": questions.open_number(db, session_id),
        "usage": used.of_session(db, config, row, card, epic is not None),
        "epic_id": epic["id"] if epic else None, "pr_url": epic["pr_url"] if epic else None,
        "repository": {"clone": f"git clone {shlex.quote(str(repository_path(config, session_id)))}", "branch": epic["branch_name"]}
        if epic is not None and epic["base_sha"] is not None else None,
    }


def session_list(db: Database, tenant: str, state: str | None = None, limit: int = 50, after: int | None = None) -> dict[str, Any]:
    """{"sessions": [newest first], "next": the cursor for `after`, or None}. Raises BadRequest for an unknown state."""
    if state is not None and state not in STATES:
        raise BadRequest(f"state must be one of: {', '.join(STATES)}.")
    rows = db.all("select * from hitl_sessions where tenant_id = :tenant and (:state is null or state = :state) and (:after is null or seq < :after)"
                  " order by seq desc limit :limit", {"tenant": tenant, "state": state, "after": after, "limit": limit + 1})
    more, rows = len(rows) > limit, rows[:limit]
    ids = json.dumps([row["id"] for row in rows])
    counts: dict[str, dict[str, int]] = {}
    for session_id, status, count in db.all("select session_id, status, count(*) from tickets where session_id in (select value from json_each(?))"
                                            " group by session_id, status order by status", (ids,)):
        counts.setdefault(session_id, {})[status] = count
    waiting: dict[str, int] = dict(db.execute("select session_id, count(*) from requests where state = 'open' and session_id in"
                                              " (select value from json_each(?)) group by session_id", (ids,)).fetchall())
    return {"sessions": [_summary(row, counts.get(row["id"], {}), waiting.get(row["id"], 0)) for row in rows],
            "next": rows[-1]["seq"] if more else None}


def requests_view(db: Database, tenant: str, session_id: str | None = None) -> list[dict[str, Any]]:
    """What waits for a person, oldest first: across sessions, or of one."""
    only = "" if session_id is None else " and q.session_id = :session"
    return [request_dict(row) for row in db.all(
        "select q.*, s.project_name, t.title from requests q join hitl_sessions s on s.id = q.session_id left join tickets t on t.id = q.ticket_id"
        f" where q.tenant_id = :tenant and q.state = 'open'{only} order by q.seq", {"tenant": tenant, "session": session_id})]


def waiting_count(db: Database, tenant: str, states: tuple[str, ...], most: int) -> int:
    """How many requests are open, and how many sessions are in one of these states, at most `most` of each."""
    sessions_of = db.pairs("select state, count(*) from hitl_sessions where tenant_id = ? and state in (select value from json_each(?)) group by state",
                           (tenant, json.dumps(states)))
    open_requests: int = db.value("select count(*) from requests where tenant_id = ? and state = 'open'", (tenant,))
    return open_requests + sum(min(most, count) for count in sessions_of.values())


def events_view(db: Database, tenant: str, session_id: str, after: int = 0, limit: int = 500) -> dict[str, Any]:
    """{"events": [oldest first], "next": the cursor for `after`, "oldest", "newest"}. The journal is pruned: below `oldest` it is gone."""
    sessions.get(db, tenant, session_id)
    found = journal.since(db, after, limit, session_id, tenant)
    oldest, newest = journal.bounds(db)
    return {"events": found, "next": found[-1]["seq"] if found else after, "oldest": oldest, "newest": newest}


def health_view(swarm: Swarm) -> dict[str, Any]:
    """{"status", "engine", "last_tick_age"}; seconds, None where the engine is not here. Raises Unavailable when its ticks have stopped."""
    swarm.db.value("select 1 from counters")
    status = swarm.engine.status() if swarm.engine is not None else {}
    age = status.get("last_tick_age")
    silent = status.get("uptime", 0.0) if age is None else age
    if silent > STALLED_SECONDS:
        raise Unavailable(f"The engine has not looked at its tickets for {silent:.0f} seconds. Its last errors are on the page /engine; "
                          "if they do not explain it, start the server again: runs go on meanwhile.", code="engine_stalled", last_tick_age=age)
    return {"status": "ok", "engine": where(swarm.config, swarm.slot), "last_tick_age": age}


def engine_view(swarm: Swarm) -> dict[str, Any]:
    """engine_state, the image and the settings."""
    return {**engine_state(swarm), "image": described(swarm.config.vm), "settings": settings_view(swarm.config)}


def settings_view(config: Config) -> list[dict[str, Any]]:
    """[{name, value, source, meaning}]. Never a secret."""
    return [setting for setting in config.described() if not setting["name"].endswith(("_KEY", "_TOKEN"))]


def engine_state(swarm: Swarm) -> dict[str, Any]:
    """The engine's own status (see engine.loop.status.shown), whether it is paused and why, live runs: what any page may show of it."""
    db = swarm.db
    pause = db.one("select paused, reason from engine_state")
    live = db.all("select r.*, t.title from runs r join tickets t on t.id = r.ticket_id where r.ended_at is null order by r.seq")
    return {
        "busy": sum(row["state"] not in ("queued", "merging") for row in live), **shown(swarm.config, swarm.slot),
        "paused": bool(pause and pause["paused"]), "reason": pause["reason"] if pause else None, "runs": [run_dict(row) for row in live],
    }
