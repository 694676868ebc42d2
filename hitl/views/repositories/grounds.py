"""In one sentence: on what the sandboxes of a session's build stand, and what this machine can give them."""
from typing import Any

from engine.errors import BadRequest
from engine.git.source import validate_source
from engine.repositories import sources
from engine.repositories.rows import RepositoryRow
from engine.store.db import Database
from hitl.views.repositories.environment import environment_view
from hitl.web.context import Swarm


def standing_notice(swarm: Swarm) -> str:
    """What someone must know of environments on this machine; '' where its sandboxes stand on them, or the engine is not in this process."""
    status: dict[str, Any] = swarm.engine.status() if swarm.engine is not None else {}
    runtime = status.get("runtime") or {}
    if not runtime or runtime["standing"] == runtime["name"]:
        return ""
    if runtime["standing"]:
        return f"Builds with an environment run in {runtime['standing']} instead of {runtime['name']}, which has none."
    return f"Sandboxes of {runtime['name']} have no environment. Builds go on without it, so checks find only what the base system has."


def repository_of(swarm: Swarm, tenant: str, given: str | None) -> RepositoryRow | None:
    """The row of a repository as a card names it; None for one that is not known yet, and for one of the session's own."""
    if not given:
        return None
    config = swarm.config
    try:
        url, _ = validate_source(given, config.repository_roots, config.repository_url, config.repository_protocols)
    except BadRequest:
        return None
    return swarm.db.one("select * from repositories where tenant_id = ? and source = ?", (tenant, sources.canonical(url)), RepositoryRow)


def before_build(swarm: Swarm, tenant: str, given: str | None) -> dict[str, Any] | None:
    """For the page that starts a build: {repository: its id or None, state, sentence, notice}; None for a repository of the session's own."""
    if not given:
        return None
    row = repository_of(swarm, tenant, given)
    view = environment_view(swarm, row) if row else None
    state = "without" if view and view["without"] else view["state"] if view else "unknown"
    return {"repository": row["id"] if row else None, "state": state, "sentence": SENTENCES[state],
            "notice": "" if state == "without" else standing_notice(swarm)}


def waits_for(db: Database, session_id: str) -> dict[str, Any] | None:
    """What a build waits for before its features start, while nobody is asked: {repository, sentence}, or None."""
    row = db.one("select p.id, p.name, e.waits_for, p.state, p.reason from tickets e join hitl_sessions s on s.id = e.session_id"
                 " join repositories p on p.id = s.repository_id where e.session_id = ? and e.waits_for is not null and e.status = 'running'"
                 " and s.state = 'building'", (session_id,))
    if row is None:
        return None
    what = "The environment is being made" if row[2] == "environment" else "The checks run at the base first"
    return {"repository": row[0], "sentence": f"{what} for {row[1]}. The features start after that."}


SENTENCES = {
    "unknown": "Environment: the build looks at the dependencies first, and asks before anything is installed.",
    "none": "Environment: the build looks at the dependencies first, and asks before anything is installed.",
    "proposed": "Environment: its steps wait for your approval.", "building": "Environment: it is being made.",
    "ready": "Environment ready.", "failed": "Environment: it could not be made.", "without": "The build goes on without an environment.",
}
