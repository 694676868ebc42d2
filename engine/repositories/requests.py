"""Requests about the ground of builds: approve an environment, or decide what to do without one. The epic waits in needs_input meanwhile."""
import json
import re
from typing import NamedTuple

from engine.environments.steps import Steps, digest
from engine.repositories.rows import RepositoryRow
from engine.store.db import Database
from engine.text import printable, stored
from engine.tickets.requests import open_for
from engine.tickets.rows import OwnedRequestRow, TicketRow
from engine.tickets.states import change
from engine.times import NOW

APPROVE, AGAIN, WITHOUT = "Approve and prepare", "Try again", "Go on without"
SHOWN, SHOWN_LENGTH = 12, 200  # commands in a request, and characters of each
_SHA = re.compile(r"Steps: ([0-9a-f]{64})\Z")  # not any other hash, which a command may have


class Said(NamedTuple):
    """An answer. sha256: of the steps that the request showed; '' if it showed none."""

    text: str
    by: str
    sha256: str


def ask_approval(db: Database, epic: TicketRow, name: str, steps: Steps) -> None:
    """The steps of an environment wait for approval. In the caller's transaction."""
    if change(db, "needs_input", "id = :id and status = 'running'", {"id": epic["id"]}, reason="The environment waits for your approval."):
        commands = [printable(" ".join(command.split()))[:SHOWN_LENGTH] for command in steps.setup[:SHOWN]]
        more = [f"and {len(steps.setup) - SHOWN} more"] if len(steps.setup) > SHOWN else []
        reaches = f"It may reach {', '.join(steps.hosts)}." if steps.hosts else "It has no network."
        open_for(db, epic, None, "environment", "\n\n".join([
            f"{name} has dependencies, and nobody has approved yet how they are installed. Setup runs these commands once. {reaches} Every sandbox of the "
            "build then has what they made.", *commands, *more, f"The page of the repository says why. Steps: {digest(steps)}"]), [APPROVE, WITHOUT])


def ask_after_failure(db: Database, epic: TicketRow, run_id: str, name: str, reason: str) -> None:
    """The environment could not be made. In the caller's transaction."""
    if change(db, "needs_input", "id = :id and status = 'running'", {"id": epic["id"]}, reason="The environment could not be made."):
        open_for(db, epic, run_id, "environment", f"The environment of {name} could not be made. {reason}\n\n"
                 "No ticket has used up an attempt, and no model was asked.", [AGAIN, WITHOUT])


def tell_repository(db: Database, tenant: str, repository_id: str, run_id: str, name: str, reason: str) -> None:
    """The environment could not be made, and no build waits for it. There is one request for the repository."""
    withdraw(db, repository_id, of_setup=True)
    db.execute("insert into requests (tenant_id, run_id, kind, body, owner_kind, owner) values (?, ?, 'environment', ?, 'repository', ?)",
               (tenant, run_id, f"The environment of {name} could not be made. {reason}", repository_id))


def tell_wrong(db: Database, repository: RepositoryRow, wrong: str) -> None:
    """WORKFLOW.md has an environment that cannot be used. In the caller's transaction."""
    _tell_once(db, repository, f"WORKFLOW.md of {repository['name']} has an environment that cannot be used. {wrong} Fix it in the repository. "
               "Until then, builds go on as if it said nothing of an environment.")


def tell_newer(db: Database, repository: RepositoryRow, sha256: str) -> None:
    """WORKFLOW.md has other steps than those that are approved. In the caller's transaction."""
    _tell_once(db, repository, f"WORKFLOW.md of {repository['name']} has another environment than the approved one. Look at it on the page of the repository, "
               f"and approve it or discard it. Until then, builds go on with the approved one. Steps: {sha256}")


def _tell_once(db: Database, repository: RepositoryRow, body: str) -> None:
    """No build waits for this. The same words are not said twice."""
    if db.value("select 1 from requests where owner_kind = 'repository' and owner = ? and body = ?", (repository["id"], body)) is None:
        db.execute("insert into requests (tenant_id, kind, body, owner_kind, owner) values (?, 'environment', ?, 'repository', ?)",
                   (repository["tenant_id"], body, repository["id"]))


def withdraw(db: Database, repository_id: str, of_setup: bool = False) -> None:
    """Withdraws the repository's own open requests, because its steps changed. of_setup: only those about a setup that failed, because another one ended."""
    db.execute(f"update requests set state = 'withdrawn', answered_at = {NOW} where owner_kind = 'repository' and owner = ? and state = 'open'"
               " and (? = 0 or run_id is not null)", (repository_id, int(of_setup)))


def take_answer(db: Database, epic_id: str) -> Said | None:
    """The answer to the newest request about the environment, once: taking it notes that it was obeyed. In the caller's transaction."""
    row = db.one("select * from requests where ticket_id = ? and kind = 'environment' order by seq desc limit 1", (epic_id,), OwnedRequestRow)
    if row is None or row["state"] != "answered" or not stored(row["options"], []):
        return None
    db.execute("update requests set options = ? where seq = ?", (json.dumps([]), row["seq"]))
    found = _SHA.search(row["body"])
    return Said(str(row["answer"]), str(row["answered_by"] or "you"), found[1] if found else "")
