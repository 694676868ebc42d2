"""Whether what a session has built is also elsewhere, so that this installation's own repository of it may be removed."""
from engine.config import Config
from engine.delivery.push import Remote, branch_heads
from engine.errors import BadRequest, RunFailure
from engine.forge import login_of
from engine.git.branches import repository_path
from engine.git.repository import Repository
from engine.git.source import validate_source
from engine.store.db import Database
from engine.tickets.rows import DeliveryRow
from engine.tickets.session_rows import SessionRow

# A completed session that has ended at its forge (merged) or has no forge (done), with all of its deliveries, and nothing that still runs.
_DELIVERED = ("s.state = 'completed' and exists (select 1 from deliveries d join tickets t on t.id = d.ticket_id where d.session_id = s.id and t.type = 'epic')"
              " and not exists (select 1 from deliveries d where d.session_id = s.id and (d.state not in ('merged', 'done') or d.pushed_sha is not d.tip_sha))"
              " and not exists (select 1 from runs r where r.session_id = s.id and r.ended_at is null)")


def delivered(db: Database) -> list[SessionRow]:
    """Sessions whose whole result was delivered, by when they ended, the oldest first."""
    return db.all(f"select s.* from hitl_sessions s where {_DELIVERED} order by s.updated_at, s.seq", (), SessionRow)


def is_delivered(db: Database, session_id: str) -> bool:
    return db.value(f"select 1 from hitl_sessions s where s.id = ? and {_DELIVERED}", (session_id,)) is not None


def is_elsewhere(db: Database, config: Config, session_id: str) -> bool:
    """True if nothing would be lost with our own repository. The forge has said that a pull request was merged. On a plain remote, the
    branch is looked at now, because somebody may have deleted it since."""
    repository = Repository(repository_path(config, session_id))
    rows = db.all("select * from deliveries where session_id = ?", (session_id,), DeliveryRow)
    return is_delivered(db, session_id) and all(row["state"] == "merged" or _is_there(config, repository, row) for row in rows)


def _is_there(config: Config, repository: Repository, row: DeliveryRow) -> bool:
    try:
        url, protocols = validate_source(row["repository"], config.repository_roots, config.repository_url, config.repository_protocols)
        there = branch_heads(repository, Remote(url, protocols, **login_of(config, url)), row["branch"]).get(row["branch"])
    except (BadRequest, RunFailure):  # not reached now, or not there: then ours may be the only copy
        return False
    return there is not None and (there == row["tip_sha"] or (repository.head(there) is not None and repository.is_ancestor(row["tip_sha"], there)))
