"""The name of the branch that a ticket works on."""
import re
import unicodedata
from functools import lru_cache
from typing import TypedDict

LONGEST = 40  # characters of the title's part


def branch_name(session_id: str, ticket_id: str, title: str) -> str:
    """swarm/<first 8 of the session>/tkt-002-<title in short>; legal for git whatever the title is, and just tkt-002 where nothing of it is left."""
    session = re.sub("[^a-z0-9]", "", session_id.lower())[:8] or "session"
    words = slug(title)[:LONGEST].strip("-")
    return f"swarm/{session}/{slug(ticket_id) or 'ticket'}" + (f"-{words}" if words else "")


class Named(TypedDict):
    """What a ticket's branch is named by."""

    session_id: str
    id: str
    title: str
    branch_name: str | None


def own_branch(ticket: Named) -> str:
    """The branch of a feature, or of an epic: what its features are merged into. Once named it keeps its name, whatever becomes of the title."""
    return str(ticket["branch_name"] or branch_name(ticket["session_id"], ticket["id"], ticket["title"]))


@lru_cache(maxsize=10_000)
def slug(text: str) -> str:
    """Lower-case ASCII letters and digits with single hyphens between; accents are dropped, everything else becomes a hyphen."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return re.sub("[^a-z0-9]+", "-", plain.lower()).strip("-")
