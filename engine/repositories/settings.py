"""Settings of one repository, as its page sets them.

    {"author": "Name <mail@example.org>", "sign_off": "Name <mail@example.org>", "max_parallel": 2, "hooks": false, "without": true,
     "limits": {"disk_mb": 4096, "setup_seconds": 1800, "setup_mb": 8192}}

without: builds go on without an environment, because someone said so. hooks: hooks of the repository and its .mcp.json may start programs."""
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.errors import BadRequest
from engine.repositories.rows import RepositoryRow
from engine.store.db import Database
from engine.text import stored
from engine.times import NOW

DISK_MB, SETUP_SECONDS, SETUP_MB = 4096, 1800, 8192
LIMITS = {"disk_mb": (16, 1_000_000), "setup_seconds": (1, 86_400), "setup_mb": (16, 1_000_000)}
_PERSON = re.compile(r"[^<>\n\0]{1,100} <[^<>\s@]{1,100}@[^<>\s@]{1,200}>")


class Settings(NamedTuple):
    """author: of the commits that agents make; '' for the agent's own. sign_off: the person who certifies them; '' for nobody."""

    author: str = ""
    sign_off: str = ""
    max_parallel: int = 0
    hooks: bool = False
    without: bool = False
    disk_mb: int = DISK_MB
    setup_seconds: int = SETUP_SECONDS
    setup_mb: int = SETUP_MB


def settings_of(repository: RepositoryRow) -> Settings:
    """What is stored; a value that was set by hand to something else counts as absent."""
    held = stored(repository["settings"], {})
    held = held if isinstance(held, dict) else {}
    try:
        return _from(checked(held))
    except BadRequest:
        return Settings(without=held.get("without") is True)


def _from(values: Mapping[str, Any]) -> Settings:
    return Settings(**{name: value for name, value in values.items() if name != "limits"}, **values.get("limits", {}))


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they are stored, or BadRequest with details."""
    wrong: list[dict[str, str]] = []
    for name in ("author", "sign_off"):
        if values.get(name) and not (isinstance(values[name], str) and _PERSON.fullmatch(values[name])):
            wrong.append({"path": name, "message": "must look like: Name <mail@example.org>"})
    for name in ("hooks", "without"):
        if not isinstance(values.get(name, False), bool):
            wrong.append({"path": name, "message": "must be true or false"})
    limits = values.get("limits", {})
    if not isinstance(limits, Mapping):
        wrong.append({"path": "limits", "message": "must be an object"})
        limits = {}
    numbers = [("max_parallel", values.get("max_parallel", 0), 0, 512)]
    numbers += [(f"limits.{name}", limits[name], *LIMITS[name]) for name in limits if name in LIMITS]
    for path, value, least, most in numbers:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            wrong.append({"path": path, "message": f"must be a whole number from {least} to {most:,}"})
    wrong += [{"path": name, "message": "is not known"} for name in values if name not in (*Settings._fields[:5], "limits")]
    wrong += [{"path": f"limits.{name}", "message": f"is not known. Known: {', '.join(LIMITS)}"} for name in limits if name not in LIMITS]
    if wrong:
        raise BadRequest(f"{wrong[0]['path']} {wrong[0]['message']}. Fix it and send again.", details=wrong)
    return {name: value for name, value in values.items() if value not in ("", 0, False, {}) or value is True}


def set_without(db: Database, repository_id: str, without: bool) -> None:
    """Notes that builds go on without an environment, or no longer do."""
    with db.transaction():
        held = stored(db.value("select settings from repositories where id = ?", (repository_id,)), {})
        held = {**held, "without": True} if without else {name: value for name, value in held.items() if name != "without"}
        db.execute(f"update repositories set settings = ?, updated_at = {NOW} where id = ?", (json.dumps(held, ensure_ascii=False), repository_id))
