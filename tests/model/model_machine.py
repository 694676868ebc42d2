"""The engine under whatever people, processes and deaths do to it, in any order. Rules here; what must hold is in model_truths.py."""
import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from model_command import ENDS, Command, interruption
from model_people import number, pick
from model_truths import Truths
from model_world import Died, ModelBranches, MortalDatabase, Outside, die, make_engine, tip_of

from engine.config import Config
from engine.errors import NotApproved, Transient
from engine.finish import finish
from engine.jobs import Job, Result
from engine.loop.launch import Look
from engine.store.db import Database, open_database
from engine.tickets import claims
from engine.times import utc
from hitl import ticket_generator
from hitl.session import sessions

TENANTS = ("default", "other")
OF_FEATURES = ("no_change", "checked", "question")  # other runs end well instead
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk that others keep busy would make each example slow
LATER = 1000.0  # seconds: longer than any back-off
MOST_SESSIONS = 3

features = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 1)), min_size=1, max_size=4)  # (which of those before it depends on, priority)
limits = st.sampled_from((None, None, 1, 2))  # max_parallel


class SwarmMachine(Command):
    """`web` is the connection of people who use pages and API; `by_hand` is the sqlite3 shell; `eye` of the invariants only looks."""

    template: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="swarm-model-", dir=MEMORY))
        self.config = Config(data=self.folder, runtime="fake", slots=3, backoff_seconds=LATER, max_attempts=2)
        self._new_database()
        self.web, self.eye = Database(self.config.database, "NORMAL"), Database(self.config.database, "NORMAL")
        self.outside = Outside(self.eye)
        self.truths = Truths(self.eye, self.outside, self.config)
        self.outside.look_on = self._look_on
        self.engine: Any = make_engine(self.outside, self.config)
        self.command: Any = None  # a `run-ticket` that lives

    def _new_database(self) -> None:
        if SwarmMachine.template is None:
            made = Path(tempfile.mkdtemp(prefix="swarm-model-template-")) / "swarm.db"
            atexit.register(shutil.rmtree, made.parent)
            open_database(made, "NORMAL").close()
            SwarmMachine.template = made
        shutil.copy(SwarmMachine.template, self.config.database)

    # Builds

    @initialize(plan=features, tenant=st.sampled_from(TENANTS), review=st.booleans(), checks=st.booleans(), most=limits)
    def first_build(self, plan: list[tuple[int, int]], tenant: str, review: bool, checks: bool, most: int | None) -> None:
        self.start_build(plan, tenant, review, checks, twice=False, most=most)

    @precondition(lambda self: len(self._sessions()) < MOST_SESSIONS)
    @rule(plan=features, tenant=st.sampled_from(TENANTS), review=st.booleans(), checks=st.booleans(), twice=st.booleans(), most=limits)
    def start_build(self, plan: list[tuple[int, int]], tenant: str, review: bool, checks: bool, twice: bool, most: int | None) -> None:
        """With `checks`, what is merged after something else is checked on the merged head first.
        With `twice`, a second submit is served between the first one's look at the session and its transaction."""
        criteria = {"acceptance_criteria": [{"text": "it holds", "check": "true"}]} if checks else {}
        card = {"name": "Model", "review": review, **({"max_parallel": most} if most else {}), "features": [
            {**criteria, "title": f"F{n}", "priority": priority, "depends_on": [f"F{k}" for k in range(min(n, 3)) if bits >> k & 1]}
            for n, (bits, priority) in enumerate(plan)]}
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
        self.truths.built(session, 1 + len(plan), review, most)

    # The engine

    @precondition(lambda self: self.truths.sizes)
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

    def _tick(self, later: bool = True, sees: bool = True) -> bool:
        """-> did it come to its end? Where a worker would have had the trouble, the rest of the tick goes on; here it is cut off."""
        self.engine.waker._reconciled = float("-inf" if sees else "inf")
        paused = claims.is_paused(self.eye)
        quiet, whole = self.outside.plan is None, True
        before = self.truths.claimed_by(self.engine.id)
        try:
            self.engine.tick(utc(after=LATER if later else 0.0))
        except Transient:  # what the edge of a worker does: the run stays as it is
            quiet = whole = False
        assert not (paused and quiet) or self.truths.claimed_by(self.engine.id) == before, "a paused engine claimed"
        if sees and quiet:
            self.truths.unseen_hands = False
        return whole

    @rule(ends=st.lists(st.sampled_from(("ok", "ok", "ok", *ENDS)), min_size=2, max_size=8))
    def work(self, ends: list[str]) -> None:
        """A while without people: in every tick all that runs ends in one way."""
        for how in ends:
            for which in range(len(self.outside.alive())):
                self.end(which if how == "overdue" else 0, how)
            self._tick(later=True, sees=False)

    @precondition(lambda self: self.truths.claimed)
    @rule(graceful=st.booleans())
    def restart(self, graceful: bool) -> None:
        if graceful:
            self.engine.stop()
        self._engine_dies()

    def _engine_dies(self) -> None:
        die(self.engine)
        self.engine = make_engine(self.outside, self.config)

    @precondition(lambda self: self.outside.alive())
    @rule(which=number, how=st.sampled_from(ENDS))
    def end(self, which: int, how: str) -> None:
        """One of the living runs ends, in this way."""
        run_id = pick(self.outside.alive(), which)
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
            process.look, process.result = Look.ENDED, _result(process.job, self.outside.head(process.job.integration), how)
        if process.job.kind == "recheck" and how != "ok":
            self.outside.troubled |= {change.run for change in process.job.waiting}
        self.truths.ends[run_id] = how

    @precondition(lambda self: self.truths.sizes)
    @rule(kind=st.sampled_from(("conflict", "transient", "launch")))
    def trouble_ahead(self, kind: str) -> None:
        """The next merge, or the next launch, does not go through."""
        if kind == "launch":
            self.outside.next_launch_fails = True
        else:
            self.outside.next_merge = kind

    def _look_on(self) -> None:
        """Whenever a ticket has just been claimed, its earlier runs have a last word."""
        for ticket in self.truths.look_on():
            plan, self.outside.plan = self.outside.plan, None
            self.late(ticket)
            self.outside.plan = plan

    @precondition(lambda self: self.truths.claimed)
    @rule()
    def late(self, ticket: str | None = None) -> None:
        """Everything that dead or slow finishers could still say about runs that have lost their claim. None of it may matter."""
        stale = [run for run in self.truths.claimed if ticket in (None, run["ticket_id"]) and self.truths.is_stale(run)]
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

    # What holds

    @invariant()
    def holds(self) -> None:
        self.truths.hold()

    @precondition(lambda self: self.truths.claimed)
    @rule()
    def settle(self) -> None:
        """Ticks until nothing changes any more; runs that live go on living."""
        for _ in range(40):
            before = self.truths.everything()
            whole = self._tick()
            if self.command is not None:
                self._follow()
            if whole and self.truths.everything() == before:
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
        self.resume_engine(0)
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


def _result(job: Job, head: str, how: str) -> Result:
    """What a runner writes down; 'checked' changed nothing and passed a check that says so."""
    run_id, base, tip = job.run, tip_of("base"), tip_of(job.run)
    if job.kind == "recheck":
        return Result(run_id, "ok" if how == "ok" else "failed", 0, base=head, tip=tip, failure=None if how == "ok" else how, reason=f"It failed: {how}.",
                      merged=[{"run": change.run, "merge": tip_of(change.run + head)} for change in job.waiting])
    if how == "ok":
        return Result(run_id, "ok", 0, base=base, tip=tip)
    if how == "question":
        return Result(run_id, "needs_input", 0, base=base, tip=tip, request={"question": "Red or blue?", "options": ["Red.", "Blue."]})
    if how in ("no_change", "checked"):
        check = {"text": "t", "command": "true", "exit": 0, "seconds": 0.0, "output": "", "passed": True}
        return Result(run_id, "no_change", 0, base=base, checks=[check] if how == "checked" else [])
    return Result(run_id, "failed", 0, base=base, failure=how, reason=f"It failed: {how}.")
