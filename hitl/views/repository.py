"""The repository that a session's card names, as it is now: the same for JSON and for pages."""
from typing import Any

from engine.errors import BadRequest, RunFailure
from engine.forge import login_of
from engine.git.look import Look
from engine.git.remote import login
from engine.git.source import validate_source
from engine.tickets.session_rows import SessionRow
from hitl.card.text import Problem
from hitl.session import sessions
from hitl.web.context import Swarm

NOBODY: dict[str, Any] = {"branch": None, "head": None, "branches": 0, "detached": False, "shallow": False, "partial": False, "linked": False, "format": None,
          "bytes": None, "notes": []}


def repository_view(swarm: Swarm, tenant: str, session_id: str, wait: float) -> dict[str, Any]:
    """{"repository", "base_branch": as they are given; "state", "sentence": what to do before the build; "notes": what is good to know; and what else
    engine.git.look.Look has}. Raises NotFound.

    state: of the look; or new (none is given, so there will be a new one), not_allowed (this installation does not allow it), looking (it is not known
    after `wait` seconds; ask again)."""
    row = sessions.get(swarm.db, tenant, session_id)
    repository, branch = given_in(row)
    if not repository:
        return {"repository": None, "base_branch": branch, "state": "new", "sentence": "", **NOBODY}
    given = {"repository": repository, "base_branch": branch}
    try:
        url, protocols = validate_source(repository, swarm.config.repository_roots, swarm.config.repository_url, swarm.config.repository_protocols)
        keys = login_of(swarm.config, url)
    except (BadRequest, RunFailure) as error:  # the second: the file with the forge's token cannot be read
        return {**given, "state": "not_allowed" if isinstance(error, BadRequest) else "refused", "sentence": error.sentence, **NOBODY}
    seen = swarm.looks.at(url, protocols, branch, login(url, keys.get("token", ""), keys.get("user", "")), wait)
    if seen is None:
        return {**given, "state": "looking", "sentence": "", **NOBODY}
    return {**given, **as_json(seen)}


def as_json(seen: Look) -> dict[str, Any]:
    return {**seen._asdict(), "notes": list(seen.notes), "branch": _text(seen.branch)}


def warnings_of(found: dict[str, Any]) -> list[Problem]:
    """The findings of repository_view that are known when a build starts, as the warnings of its answer: the trouble first, then the notes."""
    path = "base_branch" if found["state"] == "no_branch" else "repository"
    return [{"path": path, "message": message} for message in (found["sentence"], *found["notes"]) if message]


def given_in(row: SessionRow) -> tuple[str | None, str | None]:
    """The repository and the base branch that the card, or else the session, names."""
    try:
        card = sessions.current_card(row)
    except BadRequest:
        card = None
    card = card if isinstance(card, dict) else {}
    repository, branch = card.get("repository") or row["repository"], card.get("base_branch")
    return repository if isinstance(repository, str) else None, branch if isinstance(branch, str) and branch else None


def _text(name: str | None) -> str | None:
    return None if name is None else name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
