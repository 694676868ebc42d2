"""Session states and allowed moves. Only move() and end() write a session's state, each by compare-and-set.

    draft       an idea                           building    its tickets are worked on
    clarifying  it waits for answers                  completed   everything that was not dropped is built and delivered
    review      its card waits for approval       failed      no ticket can continue, and a ticket failed
    approved    its build may start               cancelled   it was dropped
"""
from typing import Any, Literal

from engine.errors import WrongState
from engine.store.db import Database
from engine.tickets.session_rows import SessionState
from engine.times import NOW

EDITABLE: tuple[SessionState, ...] = ("draft", "clarifying", "review")  # the card may be changed
OPEN: tuple[SessionState, ...] = (*EDITABLE, "approved", "building")

# to -> from. The end of a build is not here: only end() does it.
MOVES: dict[SessionState, tuple[SessionState, ...]] = {
    "clarifying": ("draft",),
    "review": (*EDITABLE, "approved"),
    "approved": ("review",),
    "building": ("approved", "failed", "completed"),
    "cancelled": OPEN,
}


def move(db: Database, session_id: str, seen: SessionState, to: SessionState, **columns: Any) -> None:
    """Moves a session from the state that the transaction saw, and sets `columns`. Raises WrongState if this is not allowed or the state changed."""
    if seen not in MOVES.get(to, ()):
        raise WrongState(f"A session in state {seen} cannot become {to}.", currentState=seen)
    _write(db, session_id, seen, to, columns)


def end(db: Database, session_id: str, to: Literal["completed", "failed"], reason: str | None) -> None:
    """building → completed or failed. Only settle calls this, after a look at the tickets. Raises WrongState if the session is not building."""
    _write(db, session_id, "building", to, {"reason": reason})


def _write(db: Database, session_id: str, seen: SessionState, to: SessionState, columns: dict[str, Any]) -> None:
    sets = "".join(f", {name} = :{name}" for name in columns)
    moved = db.execute(f"update hitl_sessions set state = :to, updated_at = {NOW}{sets} where id = :id and state = :seen",
                       {**columns, "id": session_id, "seen": seen, "to": to}).rowcount
    if not moved:
        raise WrongState(f"The session is no longer {seen}.", currentState=db.value("select state from hitl_sessions where id = ?", (session_id,)))
