"""The journal of changes, which triggers write and browsers replay, and the signal after each commit."""
import threading
from typing import Any

from engine.store.db import Database


class Changes:
    """Wakes threads that wait for a commit. One per process. The store calls ring(); a waiter never blocks a writer."""

    def __init__(self) -> None:
        self._condition, self._count = threading.Condition(), 0

    def ring(self) -> None:
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    @property
    def count(self) -> int:
        """Number of commits so far. Take it before you read and pass it to wait(), so that you miss no commit in between."""
        return self._count

    def wait(self, timeout: float, seen: int | None = None) -> int:
        """Waits for the first commit after `seen` (None: after now), at most `timeout` seconds. -> the new count."""
        with self._condition:
            seen = self._count if seen is None else seen
            self._condition.wait_for(lambda: self._count != seen, timeout)
            return self._count


def since(db: Database, after: int, limit: int = 500, session: str | None = None, tenant: str = "default") -> list[dict[str, Any]]:
    """Changes after the cursor, oldest first: [{seq, at, kind, session, ticket, run, from, to}]. Events of the engine go to all sessions."""
    only = "" if session is None else " and (session_id = :session or session_id is null)"
    return [dict(row) for row in db.execute(
        "select seq, at, kind, session_id as session, ticket_id as ticket, run_id as run, from_state as 'from', to_state as 'to' from events"
        f" where seq > :after and tenant_id in (:tenant, '*'){only} order by seq limit :limit",
        {"after": after, "limit": limit, "session": session, "tenant": tenant})]


def bounds(db: Database) -> tuple[int, int]:
    """(oldest, newest) seq of the journal. A cursor below oldest - 1 or above newest cannot be continued. Empty: (newest + 1, newest)."""
    newest = db.value("select max(seq) from events") or 0
    oldest = db.value("select min(seq) from events")
    return (newest + 1 if oldest is None else oldest), newest
