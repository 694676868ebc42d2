"""Names of the branch that a ticket works on, and of what belongs to it."""
import re
import unicodedata
from functools import lru_cache
from typing import TypedDict

LONGEST = 40  # characters of the title's part


def branch_name(session_id: str, ticket_id: str, title: str) -> str:
    """swarm/<first 8 of the session>/tkt-002-<short title>. It is valid in git for any title; without usable characters it ends in tkt-002."""
    session = re.sub("[^a-z0-9]", "", session_id.lower())[:8] or "session"
    words = slug(title)[:LONGEST].strip("-")
    return f"swarm/{session}/{slug(ticket_id) or 'ticket'}" + (f"-{words}" if words else "")


class Named(TypedDict):
    """Columns that name a ticket's branch."""

    session_id: str
    id: str
    title: str
    branch_name: str | None


def own_branch(ticket: Named) -> str:
    """The branch of a feature, or of an epic, into which its features are merged. It keeps its name even if the title changes."""
    return str(ticket["branch_name"] or branch_name(ticket["session_id"], ticket["id"], ticket["title"]))


def kept_folder(branch: str) -> str:
    """The folder of the refs of commits that runs on a ticket's branch made and did not deliver. They are named 1, 2, 3, ..."""
    return f"refs/swarm/kept/{branch}/"


@lru_cache(maxsize=10_000)
def slug(text: str) -> str:
    """Lower-case ASCII letters and digits with single hyphens between; accents are dropped, everything else becomes a hyphen."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return re.sub("[^a-z0-9]+", "-", plain.lower()).strip("-")
