"""The first and last commit of a ticket's change, and its diff as text."""
from typing import Any

from engine.config import Config
from engine.errors import NotFound, RunFailure
from engine.git.branches import repository_path
from engine.git.repository import Repository
from engine.store.db import Database
from engine.tickets import states as tickets
from engine.tickets.rows import RunRow, TicketRow

DIFF_LIMIT = 2_000_000  # bytes of a diff


def diff_view(db: Database, config: Config, tenant: str, ticket_id: str, run_id: str | None = None) -> dict[str, Any]:
    """{"ticket", "base", "tip", "diff", "files": [{path, added, removed}]} of a ticket's change. For an epic this is the whole build.

    With a run, only the part of that run. base None: there is no change yet. Raises NotFound."""
    row = tickets.get(db, tenant, ticket_id)
    repository = Repository(repository_path(config, row["session_id"]))
    try:
        base, tip = span(db, repository, row, run_id)
        if base is None or tip is None:
            return {"ticket": ticket_id, "base": None, "tip": None, "diff": "", "files": []}
        files = [each._asdict() for each in repository.changed_files(base, tip)]
        return {"ticket": ticket_id, "base": base, "tip": tip, "diff": repository.diff(base, tip, DIFF_LIMIT), "files": files}
    except RunFailure as failure:
        raise NotFound(f"The change cannot be shown. {failure.sentence}") from failure


def span(db: Database, repository: Repository, ticket: TicketRow, run_id: str | None = None) -> tuple[str | None, str | None]:
    """(base, tip) of the change of a ticket, or of one of its runs. Raises RunFailure."""
    if not repository.path.is_dir():
        return None, None
    if ticket["type"] == "epic" and run_id is None:
        return ticket["base_sha"], repository.head(f"refs/heads/{ticket['branch_name']}") if ticket["branch_name"] else None
    run = db.one("select base_sha, tip_sha from runs where ticket_id = :ticket and tip_sha is not null and base_sha is not null"
                 " and (:run is null or id = :run) order by seq desc limit 1", {"ticket": ticket["id"], "run": run_id}, RunRow)
    if run is None:
        return None, None
    return (run["base_sha"] if run_id else _whole_base(db, repository, ticket, run)), run["tip_sha"]


def _whole_base(db: Database, repository: Repository, ticket: TicketRow, run: RunRow) -> str:
    """The commit where the ticket's work leaves the integration branch, for all of its runs. A merge brings the differences from there."""
    branch = db.value("select branch_name from tickets where id = ?", (ticket["parent_id"],))
    onto = f"{ticket['merged_sha']}^1" if ticket["merged_sha"] else f"refs/heads/{branch}" if branch else None
    head = repository.head(onto) if onto else None
    found = repository.merge_base(head, str(run["tip_sha"])) if head else None
    return str(run["base_sha"] if found in (None, run["tip_sha"]) else found)
