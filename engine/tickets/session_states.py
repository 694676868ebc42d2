"""Session states and allowed moves. move() and end() are the only code that writes a session's state, each by compare-and-set.

    draft       an idea                           building    its tickets are worked on
    clarifying  it asks a person                  completed   all that was not dropped is built and delivered
    review      its card waits for approval       failed      nothing of it can move, and a ticket failed
    approved    its build may start               cancelled   a person dropped it
"""
from typing import Any, Literal

from engine.errors import WrongState
from engine.store.db import Database
from engine.tickets.session_rows import SessionState
from engine.times import NOW

EDITABLE: tuple[SessionState, ...] = ("draft", "clarifying", "review")  # the card may be changed
OPEN: tuple[SessionState, ...] = (*EDITABLE, "approved", "building")

# to -> from. The end of a build is not among them: end() alone makes it.
MOVES: dict[SessionState, tuple[SessionState, ...]] = {
    "clarifying": ("draft",),
    "review": (*EDITABLE, "approved"),
    "approved": ("review",),
    "building": ("approved", "failed", "completed"),
    "cancelled": OPEN,
}


def move(db: Database, session_id: str, seen: SessionState, to: SessionState, **columns: Any) -> None:
    """From the state that the transaction saw, and sets `columns`. Raises WrongState for a move that is not allowed, and if it moved meanwhile."""
    if seen not in MOVES.get(to, ()):
        raise WrongState(f"A session that is {seen} cannot become {to}.", currentState=seen)
    _write(db, session_id, seen, to, columns)


def end(db: Database, session_id: str, to: Literal["completed", "failed"], reason: str | None) -> None:
    """building → completed or failed. For settle alone, which looks at the tickets first. Raises WrongState if it is not building."""
    _write(db, session_id, "building", to, {"reason": reason})


def _write(db: Database, session_id: str, seen: SessionState, to: SessionState, columns: dict[str, Any]) -> None:
    sets = "".join(f", {name} = :{name}" for name in columns)
    moved = db.execute(f"update hitl_sessions set state = :to, updated_at = {NOW}{sets} where id = :id and state = :seen",
                       {**columns, "id": session_id, "seen": seen, "to": to}).rowcount
    if not moved:
        raise WrongState(f"The session is no longer {seen}.", currentState=db.value("select state from hitl_sessions where id = ?", (session_id,)))
