"""The environment of a repository as it is now: its steps, where they come from, and what was made of them."""
from typing import Any

from engine.environments import layers
from engine.repositories import settings, versions
from engine.repositories.rows import EnvironmentRow, EnvironmentVersionRow, RepositoryRow
from engine.runs import wanted
from engine.text import stored
from engine.tickets.rows import OwnedRunRow
from hitl.web.context import Swarm


def environment_view(swarm: Swarm, repository: RepositoryRow) -> dict[str, Any]:
    """{state, sha256, source, key, steps, found, seconds, bytes, built_at, run, reason, approved, without}.

    state: none (no steps, or approved ones that nothing was made of), proposed (steps wait for approval), building, ready, failed. sha256, source, steps and
    found are of the steps that wait for approval, or else of those that are approved (`approved`); key, seconds, bytes and built_at are of the newest
    snapshot of the approved ones. run: the id of the newest setup run; reason: why that failed."""
    db = swarm.db
    used, waiting = versions.approved(db, repository["id"]), versions.proposed(db, repository["id"])
    shown, made = waiting or used, made_of(swarm, repository, used)
    run = wanted.latest(db, "setup", "repository", repository["id"])
    state = "proposed" if waiting else _state(used, made, run)
    return {"state": state, "sha256": shown["sha256"] if shown else None, "source": shown["source"] if shown else None,
            "key": made["key"] if made else None, "steps": versions.readable(shown).as_json() if shown else {},
            "found": stored(shown["found"], []) if shown else [], "seconds": made["seconds"] if made else None,
            "bytes": made["bytes"] if made else None, "built_at": made["built_at"] if made else None, "run": run["id"] if run else None,
            "reason": run["reason"] if run and run["ended_at"] and run["outcome"] != "done" else None,
            "approved": shown is not None and shown["state"] == "approved", "without": settings.settings_of(repository).without}


def _state(used: EnvironmentVersionRow | None, made: EnvironmentRow | None, run: OwnedRunRow | None) -> str:
    if used is None:
        return "none"
    of_these = run is not None and stored(run["task"], {}).get("sha256") == used["sha256"]
    if run and of_these and run["ended_at"] is None:
        return "building"
    if run and of_these and run["outcome"] != "done" and not (made and str(made["built_at"]) > str(run["ended_at"])):
        return "failed"
    return "ready" if made else "none"


def made_of(swarm: Swarm, repository: RepositoryRow, used: EnvironmentVersionRow | None) -> EnvironmentRow | None:
    """The newest snapshot of these steps that is still on the disk."""
    rows = swarm.db.all("select * from environments where repository_id = ? and sha256 = ? and ticket_id is null and state = 'ready'"
                        " order by built_at desc, seq desc", (repository["id"], used["sha256"]), EnvironmentRow) if used else []
    return next((row for row in rows if layers.read(layers.root(swarm.config.data) / row["key"])), None)
