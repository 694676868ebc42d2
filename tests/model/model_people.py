"""What people do to a build, on its pages, through the API and in the sqlite3 shell, as rules of the model."""
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from model_truths import Truths

from engine.errors import SwarmError
from engine.store.db import Database
from engine.tickets import actions, answers, claims
from hitl.session import sessions

BY_HAND = ("ready", "completed", "cancelled", "claimed", "running", "blocked")
number = st.integers(0, 7)


class People(RuleBasedStateMachine):
    """`web` is their connection; `eye`, that of the invariants, only looks."""

    web: Database
    eye: Database
    truths: Truths

    @precondition(lambda self: self._tickets())
    @rule(which=number, go_on_without=st.booleans())
    def cancel(self, which: int, go_on_without: bool) -> None:
        ticket = self._ask(which, self._tickets(), lambda t: actions.cancel(self.web, t["tenant_id"], t["id"], go_on_without=go_on_without))
        if ticket:
            self.truths.steered.add(ticket["id"])

    @precondition(lambda self: self._tickets("failed", "completed"))
    @rule(which=number)
    def retry(self, which: int) -> None:
        ticket = self._ask(which, self._tickets("failed", "completed"), lambda t: actions.retry(self.web, t["tenant_id"], t["id"]))
        if ticket:
            self.truths.steered.add(ticket["parent_id"] or ticket["id"])  # the integrate run that was under way is in vain

    @precondition(lambda self: self._tickets("needs_input"))
    @rule(which=number)
    def answer(self, which: int) -> None:
        self._ask(which, self._tickets("needs_input"), lambda t: answers.answer(self.web, t["tenant_id"], t["id"], "Blue."))

    @precondition(lambda self: self._tickets("in_review"))
    @rule(which=number)
    def approve(self, which: int) -> None:
        def approve(ticket: Any) -> None:
            actions.approve(self.web, ticket["tenant_id"], ticket["id"])
            self.truths.approved.add(self.eye.value("select approved_tip from tickets where id = ?", (ticket["id"],)))
        self._ask(which, self._tickets("in_review"), approve)

    @precondition(lambda self: self._tickets("in_review"))
    @rule(which=number)
    def request_changes(self, which: int) -> None:
        self._ask(which, self._tickets("in_review"), lambda t: actions.request_changes(self.web, t["tenant_id"], t["id"], "Name it otherwise."))

    @precondition(lambda self: self.truths.sizes)
    @rule(which=number, what=st.sampled_from(("pause", "pause_engine", "resume", "resume_engine", "cancel_session")))
    def steer(self, which: int, what: str) -> None:
        getattr(self, what)(which)

    def pause(self, which: int) -> None:
        self._ask(which, self._sessions(), lambda s: sessions.pause(self.web, s["tenant_id"], s["id"]))

    def resume(self, which: int) -> None:
        self._ask(which, self._sessions(), lambda s: sessions.resume(self.web, s["tenant_id"], s["id"]))

    def cancel_session(self, which: int) -> None:
        session = self._ask(which, self._sessions(), lambda s: sessions.cancel(self.web, s["tenant_id"], s["id"]))
        if session:
            self.truths.steered |= {row["id"] for row in self.eye.all("select id from tickets where session_id = ?", (session["id"],))}

    def pause_engine(self, which: int) -> None:
        claims.set_paused(self.web, True)

    def resume_engine(self, which: int) -> None:
        claims.set_paused(self.web, False)

    @precondition(lambda self: self.truths.sizes)
    @rule(which=number, status=st.sampled_from(BY_HAND))
    def by_hand(self, which: int, status: str) -> None:
        """The sqlite3 shell."""
        ticket = pick(self._tickets(), which)
        if ticket is not None:
            self.truths.hands(ticket["id"])
            self.web.execute("update tickets set status = ? where id = ?", (status, ticket["id"]))

    # Helpers

    def _ask(self, which: int, rows: list[Any], what: Callable[[Any], Any]) -> Any | None:
        """Does it to one of the rows, as a person; a refusal is an answer too. -> the row, None if it was refused"""
        row = pick(rows, which)
        if row is None:
            return None
        try:
            what(row)
        except SwarmError:
            return None
        return row

    def _sessions(self) -> list[Any]:
        return self.eye.all("select * from hitl_sessions order by seq")

    def _tickets(self, *statuses: str) -> list[Any]:
        return [row for row in self.eye.all("select * from tickets order by seq") if not statuses or row["status"] in statuses]


def pick(rows: list[Any], which: int) -> Any | None:
    return rows[which % len(rows)] if rows else None
