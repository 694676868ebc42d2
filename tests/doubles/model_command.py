"""`run-ticket` beside the engine, as rules of the model: a second owner, that lives, dies, and is interfered with in the same way."""
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from model_people import BY_HAND, People, number, pick
from model_world import Died, ModelBranches, ModelLauncher, MortalDatabase, Outside, let_go

from engine.commands import run_ticket
from engine.config import Config
from engine.errors import NotFound, Refused, Transient
from engine.loop.dispatch import dispatch
from engine.loop.owner_lock import OwnerLock
from engine.loop.reap import LIVE, Reaper
from engine.runtimes import Choice, Fake

ENDS = ("ok", "agent", "transient", "permanent", "lost", "void", "orphan", "overdue", "no_change", "checked", "question")
act = st.one_of(
    st.just(("die",)), st.just(("late",)), st.tuples(st.just("by_hand"), number, st.sampled_from(BY_HAND)),
    st.tuples(st.just("cancel"), number, st.booleans()), st.tuples(st.sampled_from(("retry", "answer", "approve", "request_changes")), number),
    st.tuples(st.sampled_from(("pause", "resume", "pause_engine", "cancel_session")), number), st.tuples(st.just("end"), number, st.sampled_from(ENDS)))
interruption = st.none() | st.tuples(st.integers(0, 9), act)


class Command(People):
    """`command` is the one that lives, if any."""

    config: Config
    outside: Outside
    command: Any

    @precondition(lambda self: self.command is None and self._tickets("ready"))
    @rule(which=number)
    def run_ticket_begins(self, which: int) -> None:
        ticket = pick(self._tickets("ready"), which)
        if ticket is None:
            return
        db, owner = MortalDatabase(self.config.database, self.outside), f"cli-{which}-{len(self.truths.claimed)}"
        lock = OwnerLock(self.config, owner)
        try:
            run = run_ticket._claim(db, self.config, owner, ticket["id"])
        except (Refused, NotFound):
            lock.release()
            db.close()
            return
        launcher = ModelLauncher(self.outside, db)
        self.command = {"lock": lock, "db": db, "run": run, "launcher": launcher, "dispatched": False,
                        "reaper": Reaper(db, self.config, launcher, ModelBranches(self.outside, db))}
        self.truths.commands.add(owner)

    @precondition(lambda self: self.command is not None)
    @rule(interrupt=interruption)
    def run_ticket_goes_on(self, interrupt: Any) -> None:
        self._plan(interrupt)
        try:
            self._follow()
        except Died:
            self._command_dies()
        finally:
            self.outside.plan = None

    def _follow(self) -> None:
        command = self.command
        if not command["dispatched"]:
            command["dispatched"] = True
            dispatch(command["db"], self.config, command["launcher"], Choice(Fake()),
                     command["db"].one("select * from runs where id = ?", (command["run"]["id"],)))
            return
        run = command["db"].one(LIVE + " and r.id = ?", (command["run"]["id"],))
        if run is None:
            command["lock"].release()
            self._command_dies()
            return
        step = command["reaper"].step(run, command["launcher"].look(run["id"]), 0.0)
        try:
            if step:
                step(run)
        except Transient:  # the command ends, and says so
            self._command_dies()

    @precondition(lambda self: self.command is not None)
    @rule()
    def run_ticket_dies(self) -> None:
        self._command_dies()

    def _command_dies(self) -> None:
        let_go(self.command["lock"])
        self.command["db"].close()
        self.truths.commands.clear()
        self.command = None

    def _plan(self, interrupt: Any) -> None:
        if interrupt is not None:
            moment, (name, *arguments) = interrupt
            self.outside.plan = (moment, _die if name == "die" else lambda: getattr(self, name)(*arguments))


def _die() -> None:
    raise Died
