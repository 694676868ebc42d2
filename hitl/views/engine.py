"""The engine and this installation as plain dicts, the same for JSON and for pages."""
from typing import Any

from engine.config import Config
from engine.errors import Unavailable
from engine.loop.status import of_another_version, shown, where
from engine.runtimes.described import described
from engine.store.held_back import waiting
from engine.tickets.rows import OwnedRunRow
from engine.tickets.session_rows import EngineStateRow
from hitl.views.repositories.page import disk_use
from hitl.views.ticket import run_dict
from hitl.web.context import Swarm

STALLED_SECONDS = 60.0  # a tick takes milliseconds, and failing ticks are at most 30 s apart


def health_view(swarm: Swarm) -> dict[str, Any]:
    """{"status", "engine", "last_tick_age": seconds, None if the engine is not in this process, "storage": sentences about data that was lost,
    "waiting": see engine_state}. Raises Unavailable if the engine's ticks have stopped."""
    swarm.db.value("select 1 from counters")
    status = swarm.engine.status() if swarm.engine is not None else {}
    age = status.get("last_tick_age")
    silent = status.get("uptime", 0.0) if age is None else age
    if silent > STALLED_SECONDS:
        raise Unavailable(f"The engine has not looked at its tickets for {silent:.0f} seconds. Look at its last errors on the page /engine. "
                          "If they do not explain it, start the server again. Runs continue in the meantime.", code="engine_stalled", last_tick_age=age)
    return {"status": "ok", "engine": where(swarm.config, swarm.slot), "last_tick_age": age, "storage": swarm.db.all_notices(),
            "waiting": waiting(swarm.db, swarm.config.tenants)}


def engine_view(swarm: Swarm, tenant: str) -> dict[str, Any]:
    """engine_state, the image and the settings."""
    return {**engine_state(swarm, tenant), "image": described(swarm.config.vm), "settings": settings_view(swarm.config)}


def settings_view(config: Config) -> list[dict[str, Any]]:
    """[{name, value, source, meaning}]. Never a secret."""
    return [setting for setting in config.described() if not setting["name"].endswith(("_KEY", "_TOKEN"))]


def engine_state(swarm: Swarm, tenant: str) -> dict[str, Any]:
    """What any page may show of the engine: its status (see engine.loop.status.shown), whether it is paused and why, the tenant's active runs, with
    those that wait for a slot and have no ticket, `environments`: {count, bytes} of all snapshots, and `waiting`: a sentence about builds that wait
    for SWARM_TENANTS, or None."""
    db = swarm.db
    pause = db.one("select paused, reason from engine_state", (), EngineStateRow)
    live = db.all("select r.*, coalesce(t.title, p.name, s.project_name, 'This installation') as title from runs r left join tickets t on t.id = r.ticket_id"
                  " left join repositories p on r.owner_kind = 'repository' and p.id = r.owner"
                  " left join hitl_sessions s on r.owner_kind = 'session' and s.id = r.owner where r.ended_at is null order by +r.seq", (), OwnedRunRow)
    holding = [row["id"] for row in live if row["state"] not in ("queued", "merging", "wanted")]
    return {
        "busy": len(holding), "notice": _notice(of_another_version(swarm.config, holding)), **shown(swarm.config, swarm.slot),
        "storage": db.all_notices(), "environments": disk_use(db),
        "paused": bool(pause and pause["paused"]), "reason": pause["reason"] if pause else None,
        "runs": [run_dict(row) for row in live if row["tenant_id"] == tenant],
        "waiting": waiting(db, swarm.config.tenants),
    }


def _notice(runs: int) -> str | None:
    return f"{runs} {'run' if runs == 1 else 'runs'} of the earlier version {'is' if runs == 1 else 'are'} ending" if runs else None
