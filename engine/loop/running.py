"""The status of an engine that runs here, for people."""
import time
from typing import Any

from engine.host import cgroups
from engine.tickets import claims


def running(engine: Any) -> dict[str, Any]:
    """engine: a SwarmEngine. -> {id, state, trouble, slots, busy, last_tick_age, tick_ms, uptime,
    runtime: {name, isolation, limits, passed_over, standing: the runtime of builds with an environment or None}, errors}; seconds."""
    now = time.monotonic()
    return {"id": engine.id, "state": "paused" if claims.is_paused(engine.db) else "held" if engine.trouble else "on",
            "trouble": engine.trouble, "slots": engine.slots, "busy": engine.busy_slots(),
            "last_tick_age": None if engine.last_tick is None else round(now - engine.last_tick, 3), "tick_ms": round(engine.tick_seconds * 1000, 2),
            "uptime": round(now - engine.started, 1), "errors": list(engine.errors),
            "runtime": {"name": engine.choice.runtime.name, "isolation": engine.choice.runtime.isolation, "limits": cgroups.describe(),
                        "standing": engine.choice.standing.name if engine.choice.standing else None,
                        "passed_over": [{"name": name, "reason": reason} for name, reason in engine.choice.passed_over]}}
