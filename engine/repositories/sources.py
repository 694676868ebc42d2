"""The row of a repository: known again by its source, made when the first session names it."""
import re
from urllib.parse import urlsplit

from engine.config import Config
from engine.errors import NotFound
from engine.git.source import validate_source
from engine.repositories.rows import RepositoryRow, RepositoryState
from engine.store.db import Database
from engine.tickets.approved_card import repository_of
from engine.times import NOW

_SCP = re.compile(r"(?:[^@/:]+@)?([^/:@]+):(?!//)(.+)")


def canonical(url: str) -> str:
    """A URL or path with a lower-case host, without a login, without .git and without a slash at its end."""
    if url.startswith("/"):
        return url.rstrip("/").removesuffix(".git") or "/"
    scp = _SCP.fullmatch(url)
    if "://" not in url and scp:
        scheme, host, path = "ssh", scp[1], scp[2]
    else:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        scheme, host, path = parts.scheme, f"{parts.hostname or ''}{port}", parts.path
    return f"{scheme.lower()}://{host.lower()}/{path.strip('/').removesuffix('.git')}"


def name_of(given: str, source: str) -> str:
    """How people write it: owner/repo of a forge; a path as it is."""
    if source.startswith("/"):
        return given
    path = source.split("://", 1)[-1].partition("/")[2]
    return path if path.count("/") >= 1 else given


def row_for(db: Database, config: Config, tenant: str, given: str) -> RepositoryRow:
    """The row of a repository as someone named it; a new one if it is the first time. Raises BadRequest for a name that is not allowed."""
    url, _ = validate_source(given, config.repository_roots, config.repository_url, config.repository_protocols)
    source = canonical(url)
    with db.transaction():
        row = db.one("select * from repositories where tenant_id = ? and source = ?", (tenant, source), RepositoryRow)
        return row or db.the("insert into repositories (tenant_id, source, url, name) values (?, ?, ?, ?) returning *",
                             (tenant, source, url, name_of(given, source)), RepositoryRow)


def known(db: Database, config: Config, tenant: str, given: str) -> RepositoryRow | None:
    """The row of a repository, if there is one. Raises BadRequest for a name that is not allowed."""
    url, _ = validate_source(given, config.repository_roots, config.repository_url, config.repository_protocols)
    return db.one("select * from repositories where tenant_id = ? and source = ?", (tenant, canonical(url)), RepositoryRow)


def of_session(db: Database, config: Config, session_id: str) -> RepositoryRow | None:
    """The row of the repository that a session builds in, which is then noted at the session; None for a repository of its own.
    Raises BadRequest for a name that is not allowed."""
    given = repository_of(db, session_id)
    if not given:
        return None
    with db.transaction():
        row = row_for(db, config, str(db.value("select tenant_id from hitl_sessions where id = ?", (session_id,))), given)
        db.execute("update hitl_sessions set repository_id = ? where id = ? and repository_id is not ?", (row["id"], session_id, row["id"]))
    return row


def get(db: Database, tenant: str, repository_id: str) -> RepositoryRow:
    """Raises NotFound for an unknown repository and for one of another tenant."""
    row = db.one("select * from repositories where id = ? and tenant_id = ?", (repository_id, tenant), RepositoryRow)
    if row is None:
        raise NotFound("Repository not found")
    return row


def all_of(db: Database, tenant: str) -> list[RepositoryRow]:
    """By name."""
    return db.all("select * from repositories where tenant_id = ? order by name, seq", (tenant,), RepositoryRow)


def looked(db: Database, repository: RepositoryRow, state: RepositoryState, reason: str, branch: str | None) -> RepositoryRow:
    """Notes what a look at it found. -> its row. A look that found no branch keeps the one that is known."""
    with db.transaction():
        db.execute(f"update repositories set state = ?, reason = ?, default_branch = coalesce(?, default_branch), looked_at = {NOW} where id = ?",
                   (state, reason or None, branch, repository["id"]))
        return get(db, repository["tenant_id"], repository["id"])


def touch(db: Database, repository_id: str) -> None:
    db.execute(f"update repositories set updated_at = {NOW} where id = ?", (repository_id,))
