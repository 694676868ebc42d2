"""The events of the journal: as they are, whether an event is news for people, and an event in words."""
from typing import Any

from engine.store import journal
from engine.store.db import Database
from hitl.session import sessions
from hitl.web.filters import word


def events_view(db: Database, tenant: str, session_id: str, after: int = 0, limit: int = 500) -> dict[str, Any]:
    """{"events": [oldest first], "next": the cursor for `after`, "oldest", "newest"}. The journal is pruned: it has no events before `oldest`."""
    sessions.get(db, tenant, session_id)
    found = journal.since(db, after, limit, session_id, tenant)
    oldest, newest = journal.bounds(db)
    return {"events": found, "next": found[-1]["seq"] if found else after, "oldest": oldest, "newest": newest}


def is_news(event: dict[str, Any]) -> bool:
    """Whether the page shows this event. It leaves out the steps between a ticket's start and its end."""
    if event["kind"] == "ticket":
        return event["from"] is not None and event["to"] not in ("blocked", "ready", "claimed")
    return event["kind"] not in ("card", "message", "question", "run") or event["to"] in ("lost", "conflict", "transient")


def event_text(event: dict[str, Any]) -> str:
    """The text of an event after its subject: 'is running', 'is done'."""
    kind, to = event["kind"], str(event["to"])
    if kind == "ticket":
        return "was created" if event["from"] is None else {
            "ready": "may start", "claimed": "was claimed", "running": "is running", "blocked": "waits", "needs_input": "needs you",
            "in_review": "waits for review", "completed": "is done", "failed": "failed", "cancelled": "was cancelled"}.get(to, to)
    if kind == "run":
        return {"running": "run started", "queued": "waits to be merged", "merging": "is being merged"}.get(to, "run ended: " + word(to).lower())
    if kind == "request":
        return {"open": "asks you", "answered": "was answered", "withdrawn": "withdrew its question"}.get(to, to)
    if kind == "delivery":
        if (event["from"], to) == ("closed", "watched"):
            return "was reopened there"
        return {"pushed": "was pushed", "opened": "has a pull request", "delivered": "was delivered", "watched": "is ready for review there",
                "done": "was delivered", "merged": "was merged there", "closed": "was closed there", "dropped": "is not delivered now"}.get(to, to)
    if kind == "amendment":
        return {"proposed": "has an amendment to approve", "approved": "was amended", "discarded": "had its amendment discarded"}.get(to, to)
    if kind == "session":
        known = {"building": "is being built", "completed": "is done", "approved": "was approved", "failed": "failed", "cancelled": "was cancelled"}
        return "was created" if event["from"] is None else known.get(to, "is now: " + word(to).lower())
    return "paused" if to == "paused" else "resumed"
