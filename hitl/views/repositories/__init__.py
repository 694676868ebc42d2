"""Repositories and their environments as plain dicts, the same for JSON and for pages."""
from typing import Any

from engine.repositories import settings, sources
from engine.repositories.rows import RepositoryRow
from hitl.views import fetching
from hitl.views.repositories.environment import environment_view
from hitl.web.context import Swarm


def repository_dict(swarm: Swarm, row: RepositoryRow) -> dict[str, Any]:
    """{id, url, name, source, default_branch, state, reason, environment, fetching, the settings, looked_at, created_at, updated_at}"""
    own = settings.settings_of(row)
    return {
        **{name: row[name] for name in ("id", "url", "name", "source", "default_branch", "state", "reason")},
        "environment": environment_view(swarm, row),
        "fetching": next((each["sentence"] for each in fetching.of_repository(swarm.db, swarm.config, row["tenant_id"], row["id"])), None),
        "author": own.author, "sign_off": own.sign_off, "max_parallel": own.max_parallel, "hooks": own.hooks, "without": own.without,
        "limits": {"disk_mb": own.disk_mb, "setup_seconds": own.setup_seconds, "setup_mb": own.setup_mb},
        "looked_at": row["looked_at"], "created_at": row["created_at"], "updated_at": row["updated_at"]}


def repository_view(swarm: Swarm, tenant: str, repository_id: str) -> dict[str, Any]:
    """Raises NotFound."""
    return repository_dict(swarm, sources.get(swarm.db, tenant, repository_id))


def repositories_view(swarm: Swarm, tenant: str) -> list[dict[str, Any]]:
    """All of a tenant, by name."""
    return [repository_dict(swarm, row) for row in sources.all_of(swarm.db, tenant)]
