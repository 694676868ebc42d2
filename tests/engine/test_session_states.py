"""The moves of a session: which are allowed, and that each is made from the state that was seen."""
import pytest

from engine.errors import WrongState
from engine.store.db import Database
from engine.tickets import session_states
from engine.tickets.session_rows import SessionState

STATES: tuple[SessionState, ...] = ("draft", "clarifying", "review", "approved", "building", "completed", "failed", "cancelled")
MOVES = {("draft", "clarifying"), ("draft", "review"), ("clarifying", "review"), ("review", "review"), ("review", "approved"), ("approved", "review"),
         ("approved", "building"), ("failed", "building"), ("completed", "building"), ("draft", "cancelled"), ("clarifying", "cancelled"),
         ("review", "cancelled"), ("approved", "cancelled"), ("building", "cancelled")}


def _session(db: Database, state: SessionState) -> str:
    db.execute("insert into hitl_sessions (id, project_name, state, updated_at) values ('s', 'P', ?, '2026-01-01T00:00:00.000Z')", (state,))
    return "s"


def _state(db: Database) -> tuple[str, str | None]:
    row = db.one("select state, reason from hitl_sessions")
    assert row is not None
    return row["state"], row["reason"]


@pytest.mark.parametrize("seen", STATES)
@pytest.mark.parametrize("to", STATES)
def test_a_session_makes_the_moves_of_the_design_and_no_others(db: Database, seen: SessionState, to: SessionState) -> None:
    session = _session(db, seen)
    if (seen, to) in MOVES:
        session_states.move(db, session, seen, to, reason="so")
        assert _state(db) == (to, "so") and db.value("select updated_at from hitl_sessions") > "2026-01-02"
    else:
        with pytest.raises(WrongState, match=f"A session in state {seen} cannot become {to}"):
            session_states.move(db, session, seen, to, reason="so")
        assert _state(db) == (seen, None)


def test_a_move_from_a_state_that_is_no_longer_there_changes_nothing(db: Database) -> None:
    session = _session(db, "cancelled")
    with pytest.raises(WrongState, match="no longer approved") as refused:
        session_states.move(db, session, "approved", "building", reason="so")
    assert refused.value.extra["currentState"] == "cancelled" and _state(db) == ("cancelled", None)


@pytest.mark.parametrize("state", [state for state in STATES if state != "building"])
def test_only_a_build_ends(db: Database, state: SessionState) -> None:
    with pytest.raises(WrongState):
        session_states.end(db, _session(db, state), "completed", None)
    assert _state(db) == (state, None)
