"""The engine under whatever people, processes and deaths do to it, in any order. Rules here; what must hold is in model_truths.py."""
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from model_truths import Truths
from model_world import Died, ModelBranches, ModelLauncher, MortalDatabase, Outside, die, let_go, make_engine, tip_of

from engine import claims, finish, requests, run_ticket, steering
from engine.backoff import utc
from engine.config import Config
from engine.db import Database, open_database
from engine.dispatch import dispatch
from engine.errors import NotApproved, NotFound, Refused, SwarmError
from engine.jobs import Result
from engine.launch import Look
from engine.owners import OwnerLock
from engine.reap import LIVE, Reaper
from engine.runtimes import Choice, Fake
from hitl import sessions, ticket_generator

TENANTS = ("default", "other")
BY_HAND = ("ready", "completed", "cancelled", "claimed", "running", "blocked")
ENDS = ("ok", "agent", "transient", "permanent", "lost", "void", "orphan", "overdue", "no_change", "checked", "question")
OF_FEATURES = ("no_change", "checked", "question")  # other runs end well instead
LATER = 1000.0  # seconds: longer than any back-off
MOST_SESSIONS = 3

number = st.integers(0, 7)
features = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 1)), min_size=1, max_size=4)  # (which of those before it depends on, priority)
act = st.one_of(
    st.just(("die",)), st.just(("late",)), st.tuples(st.just("by_hand"), number, st.sampled_from(BY_HAND)),
    st.tuples(st.just("cancel"), number, st.booleans()), st.tuples(st.sampled_from(("retry", "answer", "approve", "request_changes")), number),
    st.tuples(st.sampled_from(("pause", "resume", "cancel_session")), number), st.tuples(st.just("end"), number, st.sampled_from(ENDS)))
interruption = st.none() | st.tuples(st.integers(0, 9), act)


class SwarmMachine(RuleBasedStateMachine):
    """`web` is the connection of people who use pages and API; `by_hand` is the sqlite3 shell; `eye` of the invariants only looks."""

    template: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="swarm-model-"))
        self.config = Config(data=self.folder, runtime="fake", slots=2, backoff_seconds=LATER, max_attempts=2)
        self._new_database()
        self.web, self.eye = Database(self.config.database, "NORMAL"), Database(self.config.database, "NORMAL")
        self.outside = Outside(self.eye)
        self.truths = Truths(self.eye, self.outside, self.config)
        self.outside.look_on = self.truths.look_on
        self.engine: Any = make_engine(self.outside, self.config)
        self.command: Any = None  # a `run-ticket` that lives

    def _new_database(self) -> None:
        if SwarmMachine.template is None:
            made = Path(tempfile.mkdtemp(prefix="swarm-model-template-")) / "swarm.db"
            open_database(made, "NORMAL").close()
            SwarmMachine.template = made
        shutil.copy(SwarmMachine.template, self.config.database)

    # Builds

    @precondition(lambda self: len(self._sessions()) < MOST_SESSIONS)
    @rule(plan=features, tenant=st.sampled_from(TENANTS), review=st.booleans(), twice=st.booleans())
    def start_build(self, plan: list[tuple[int, int]], tenant: str, review: bool, twice: bool) -> None:
        """With `twice`, a second submit is served between the first one's look at the session and its transaction."""
        card = {"name": "Model", "review": review, "features": [
            {"title": f"F{n}", "priority": priority, "depends_on": [f"F{k}" for k in range(min(n, 3)) if bits >> k & 1]} for n, (bits, priority) in enumerate(plan)]}
        session = sessions.create(self.web, self.config, tenant, project_name="Model", spec_card=card)
        sessions.approve(self.web, tenant, session, self.web.value("select spec_sha256 from hitl_sessions where id = ?", (session,)))

        def submit(db: Database) -> None:
            ticket_generator.start_build(db, self.config, tenant, session, {"confirmed": True})
        first = MortalDatabase(self.config.database, self.outside)
        try:
            if twice:
                self.outside.plan = (0, lambda: submit(self.web))
            submit(first)
            assert not twice, "the same build was started twice"
        except NotApproved:
            assert twice
        finally:
            first.close()
        self.truths.built(session, 1 + len(plan), review)

    # The engine

    @rule(interrupt=interruption, later=st.booleans(), sees=st.booleans())
    def tick(self, interrupt: Any, later: bool, sees: bool) -> None:
        """later: every back-off is over. sees: it is time for another look at what foreign hands changed."""
        self._plan(interrupt)
        try:
            self._tick(later, sees)
        except Died:
            self._engine_dies()
        finally:
            self.outside.plan = None

    def _tick(self, later: bool = True, sees: bool = True) -> None:
        self.engine.waker._reconciled = float("-inf" if sees else "inf")
        paused = claims.is_paused(self.eye)
        quiet = self.outside.plan is None
        before = self.truths.claimed_by(self.engine.id)
        self.engine.tick(utc(after=LATER if later else 0.0))
        assert not (paused and quiet) or self.truths.claimed_by(self.engine.id) == before, "a paused engine claimed"
        if sees and quiet:
            self.truths.unseen_hands = False

    @rule(graceful=st.booleans())
    def restart(self, graceful: bool) -> None:
        if graceful:
            self.engine.stop()
        self._engine_dies()

    def _engine_dies(self) -> None:
        die(self.engine)
        self.engine = make_engine(self.outside, self.config)

    @rule(which=number, how=st.sampled_from(ENDS))
    def end(self, which: int, how: str) -> None:
        """One of the living runs ends, in this way."""
        run_id = _pick(self.outside.alive(), which)
        if run_id is None:
            return
        process = self.outside.runs[run_id]
        how = "ok" if process.job.kind != "feature" and how in OF_FEATURES else how
        if how == "overdue":
            self.outside.overdue.add(run_id)
            self.engine._first_seen[run_id] = float("-inf")
        elif how in ("lost", "void", "orphan"):
            process.look = Look[how.upper()]
        else:
            process.look, process.result = Look.ENDED, _result(run_id, how)
        self.truths.ends[run_id] = how

    @rule(kind=st.sampled_from(("conflict", "transient")))
    def trouble_at_the_next_merge(self, kind: str) -> None:
        self.outside.next_merge = kind

    @rule()
    def trouble_at_the_next_launch(self) -> None:
        self.outside.next_launch_fails = True

    @rule()
    def late(self) -> None:
        """Everything that dead or slow finishers could still say about runs that have lost their claim. None of it may matter."""
        stale = [run for run in self.truths.claimed if self.truths.is_stale(run)]
        before = self.truths.all_but({run["id"] for run in stale})
        branches = ModelBranches(self.outside, self.web)
        for run in stale:
            claims.begin(self.web, run, "fake", "runbook")
            claims.merging(self.web, run, tip_of(run["id"]))
            process = self.outside.runs.get(run["id"])
            if process is not None and process.result is not None:
                finish.finish(self.web, self.config, branches, run, process.result)
            claims.finish(self.web, run, "merged", "completed", None)
        assert self.truths.all_but({run["id"] for run in stale}) == before, "a stale run changed something"

    # A second owner

    @precondition(lambda self: self.command is None)
    @rule(which=number)
    def run_ticket_begins(self, which: int) -> None:
        ticket = _pick(self._tickets(), which)
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
        if step:
            step(run)

    @precondition(lambda self: self.command is not None)
    @rule()
    def run_ticket_dies(self) -> None:
        self._command_dies()

    def _command_dies(self) -> None:
        let_go(self.command["lock"])
        self.command["db"].close()
        self.truths.commands.clear()
        self.command = None

    # People

    @rule(which=number, go_on_without=st.booleans())
    def cancel(self, which: int, go_on_without: bool) -> None:
        ticket = self._ask(which, self._tickets(), lambda t: steering.cancel(self.web, t["tenant_id"], t["id"], go_on_without=go_on_without))
        if ticket:
            self.truths.steered.add(ticket["id"])

    @rule(which=number)
    def retry(self, which: int) -> None:
        self._ask(which, self._tickets("failed", "completed"), lambda t: steering.retry(self.web, t["tenant_id"], t["id"]))

    @rule(which=number)
    def answer(self, which: int) -> None:
        self._ask(which, self._tickets("needs_input"), lambda t: requests.answer(self.web, t["tenant_id"], t["id"], "Blue."))

    @rule(which=number)
    def approve(self, which: int) -> None:
        def approve(ticket: Any) -> None:
            steering.approve(self.web, ticket["tenant_id"], ticket["id"])
            self.truths.approved.add(self.eye.value("select approved_tip from tickets where id = ?", (ticket["id"],)))
        self._ask(which, self._tickets("in_review"), approve)

    @rule(which=number)
    def request_changes(self, which: int) -> None:
        self._ask(which, self._tickets("in_review"), lambda t: steering.request_changes(self.web, t["tenant_id"], t["id"], "Name it otherwise."))

    @rule(which=number)
    def pause(self, which: int) -> None:
        self._ask(which, self._sessions(), lambda s: sessions.pause(self.web, s["tenant_id"], s["id"]))

    @rule(which=number)
    def resume(self, which: int) -> None:
        self._ask(which, self._sessions(), lambda s: sessions.resume(self.web, s["tenant_id"], s["id"]))

    @rule(which=number)
    def cancel_session(self, which: int) -> None:
        session = self._ask(which, self._sessions(), lambda s: sessions.cancel(self.web, s["tenant_id"], s["id"]))
        if session:
            self.truths.steered |= {row["id"] for row in self.eye.all("select id from tickets where session_id = ?", (session["id"],))}

    @rule(paused=st.booleans())
    def pause_engine(self, paused: bool) -> None:
        claims.set_paused(self.web, paused)

    @rule(which=number, status=st.sampled_from(BY_HAND))
    def by_hand(self, which: int, status: str) -> None:
        """The sqlite3 shell."""
        ticket = _pick(self._tickets(), which)
        if ticket is not None:
            self.truths.hands(ticket["id"])
            self.web.execute("update tickets set status = ? where id = ?", (status, ticket["id"]))

    # What holds

    @invariant()
    def holds(self) -> None:
        self.truths.hold()

    @rule()
    def settle(self) -> None:
        """Ticks until nothing changes any more; runs that live go on living."""
        for _ in range(40):
            before = self.truths.everything()
            self._tick()
            if self.command is not None:
                self._follow()
            if self.truths.everything() == before:
                self.truths.rest()
                return
        raise AssertionError(f"it does not come to rest: {before}\n{self.truths.everything()}")

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self._to_the_end()
        finally:
            if self.command is not None:
                self._command_dies()
            die(self.engine)
            self.web.close()
            self.eye.close()
            shutil.rmtree(self.folder)

    def _to_the_end(self) -> None:
        """With every person willing and every run a success, each build ends."""
        self.settle()
        self.outside.next_merge, self.outside.next_launch_fails = None, False
        self.pause_engine(False)
        for _ in range(30):
            for session in self._sessions():
                if session["state"] == "building" and session["paused"]:
                    sessions.resume(self.web, session["tenant_id"], session["id"])
            while self.outside.alive():
                self.end(0, "ok")
            for waiting in range(len(self._tickets())):
                self.answer(waiting)
                self.approve(waiting)
            self.settle()
            self.truths.hold()
            if not self.eye.value("select 1 from hitl_sessions where state = 'building'"):
                return
        raise AssertionError(f"a build does not end: {self.truths.everything()}")

    # Helpers of the rules

    def _plan(self, interrupt: Any) -> None:
        if interrupt is not None:
            moment, (name, *arguments) = interrupt
            self.outside.plan = (moment, _die if name == "die" else lambda: getattr(self, name)(*arguments))

    def _ask(self, which: int, rows: list[Any], what: Callable[[Any], Any]) -> Any | None:
        """Does it to one of the rows, as a person; a refusal is an answer too. -> the row, None if it was refused"""
        row = _pick(rows, which)
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


def _die() -> None:
    raise Died


def _pick(rows: list[Any], which: int) -> Any | None:
    return rows[which % len(rows)] if rows else None


def _result(run_id: str, how: str) -> Result:
    """What a runner writes down; 'checked' changed nothing and passed a check that says so."""
    base, tip = tip_of("base"), tip_of(run_id)
    if how == "ok":
        return Result(run_id, "ok", 0, base=base, tip=tip)
    if how == "question":
        return Result(run_id, "needs_input", 0, base=base, tip=tip, request={"question": "Red or blue?", "options": ["Red.", "Blue."]})
    if how in ("no_change", "checked"):
        check = {"text": "t", "command": "true", "exit": 0, "seconds": 0.0, "output": "", "passed": True}
        return Result(run_id, "no_change", 0, base=base, checks=[check] if how == "checked" else [])
    return Result(run_id, "failed", 0, base=base, failure=how, reason=f"It failed: {how}.")
