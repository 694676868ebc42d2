"""What holds after every step, and what holds once the engine has come to rest."""
from collections import Counter
from typing import Any

from model_turns import Turns
from model_world import HELD, Outside

from engine.config import Config
from engine.store.db import Database

# How a run ended -> the outcomes that may be recorded for it while its claim holds.
OUTCOMES = {
    "ok": {"prepared", "merged", "integrated", "in_review"}, "agent": {"failed"}, "permanent": {"failed"}, "transient": {"transient", "failed"},
    "lost": {"transient", "failed"}, "void": {"void", "transient", "failed"}, "orphan": {"transient", "failed"}, "overdue": {"transient", "failed"},
    "no_change": {"failed", "no_change"}, "checked": {"no_change"}, "question": {"needs_input"}}
TERMINAL = ("completed", "cancelled")


class Truths:
    """Looks at the database through `eye`, at the world directly, and remembers what people did."""

    def __init__(self, eye: Database, outside: Outside, config: Config) -> None:
        self.eye, self.outside, self.config = eye, outside, config
        self.claimed: list[Any] = []            # rows of runs, as they were claimed
        self.ends: dict[str, str] = {}          # run id -> how it ended
        self.touched = outside.touched
        self.steered: set[str] = set()          # tickets that a person cancelled, or the session of which
        self.approved: set[str] = set()         # commits that a person approved
        self.reviewed: set[str] = set()         # sessions whose card asks for review
        self.commands: set[str] = set()         # owners of living run-tickets
        self.sizes: dict[str, int] = {}         # session id -> tickets
        self.turns = Turns(eye)
        self.unseen_hands = False               # somebody edited, and the engine has not had its look yet

    def built(self, session: str, size: int, review: bool, most: int | None = None) -> None:
        self.sizes[session] = size
        if most:
            self.turns.limits[session] = most
        if review:
            self.reviewed.add(session)

    def hands(self, ticket: str) -> None:
        self.touched.add(ticket)
        self.steered |= {row[0] for row in self.eye.all("select id from tickets where session_id = (select session_id from tickets where id = ?)", (ticket,))}
        self.unseen_hands = True

    def claimed_by(self, owner: str) -> int:
        return int(self.eye.value("select count(*) from runs where claimed_by = ?", (owner,)))

    def is_stale(self, run: Any) -> bool:
        """It has lost its claim and its process is gone: only a late writer can still speak for it."""
        row = self.eye.one(f"select r.state, {HELD} as wanted from runs r join tickets t on t.id = r.ticket_id where r.id = ?", (run["id"],))
        gone = run["id"] in self.outside.runs.keys() - self.outside.alive()
        return row["state"] == "ended" or (not row["wanted"] and row["state"] not in ("queued", "merging") and gone)

    # While it happens

    def look_on(self) -> list[str]:
        """At every moment: what has been claimed since the last one was free to be claimed. -> the tickets that were"""
        known = self.claimed[-1]["seq"] if self.claimed else 0
        for run in self.eye.all("select * from runs where seq > ? order by seq", (known,)):
            self.claimed.append(dict(run))
            ticket = self.eye.one("select * from tickets where id = ?", (run["ticket_id"],))
            session = self.eye.one("select * from hitl_sessions where id = ?", (run["session_id"],))
            assert session["state"] == "building" and not session["paused"], f"{run['id']} claimed while its session is {session['state']}"
            if ticket["id"] not in self.touched:
                self._free(run, ticket)
        new = [run for run in self.claimed if run["seq"] > known]
        if new:
            self.turns.claimed(new)
        return [run["ticket_id"] for run in new]

    def _free(self, run: Any, ticket: Any) -> None:
        """What was merged once is in the branch, also while a person has it done again."""
        waits = self.eye.all("select t.id, t.status from ticket_dependencies d join tickets t on t.id = d.depends_on"
                             " where d.ticket_id = ? and t.status <> 'completed' and not exists"
                             " (select 1 from events e where e.ticket_id = t.id and e.kind = 'ticket' and e.to_state = 'completed')", (ticket["id"],))
        assert not waits, f"{run['id']} claimed before {[tuple(row) for row in waits]}"
        if run["kind"] == "feature":
            epic = self.eye.one("select * from tickets where id = ?", (ticket["parent_id"],))
            assert (epic["base_sha"] and epic["status"] == "running") or epic["id"] in self.touched, f"{run['id']} claimed while its epic is {epic['status']}"

    # After every step

    def hold(self) -> None:
        self.look_on()
        self.turns.hold()
        self._runs()
        self._merges()
        self._tickets()
        self._sessions()

    def _runs(self) -> None:
        live = Counter(self.outside.runs[run_id].job.ticket for run_id in self.outside.alive())
        assert all(n == 1 for n in live.values()), f"two live runs of one ticket: {live}"
        assert sum(live.values()) <= self.config.slots, f"more than {self.config.slots} processes: {live}"
        held = self.eye.value("select count(*) from runs where ended_at is null and state not in ('queued', 'merging', 'wanted')")
        assert held <= self.config.slots, f"{held} runs for {self.config.slots} slots"
        ids = [run["id"] for run in self.claimed]
        assert len(ids) == len(set(ids)), "a run id is used twice"
        for run in self.eye.all("select id, ticket_id, kind, outcome from runs where ended_at is not null"):
            how, outcome = self.ends.get(run["id"]), run["outcome"]
            if outcome == "stale" and run["kind"] == "recheck":
                continue  # something of what it checked was taken away, or the branch moved
            if outcome in ("cancelled", "stale"):
                assert run["ticket_id"] in self.touched | self.steered, f"{run['id']} is {outcome}, and nobody wanted that"
            elif how and run["id"] not in self.outside.troubled | self.outside.overdue:
                assert outcome in OUTCOMES[how], f"{run['id']} ended {how} and was recorded as {outcome}"
            assert run["id"] not in self.outside.alive(), f"{run['id']} has ended, and its process lives"

    def _merges(self) -> None:
        times = Counter((merge.integration, merge.tip) for merge in self.outside.merged)
        assert all(n == 1 for n in times.values()), f"merged twice: {times}"
        assert len({(merge.ticket, merge.run) for merge in self.outside.merged}) == len(self.outside.merged), "a run was merged twice"
        runs = {run["id"]: run for run in self.eye.all("select id, kind, ticket_id, session_id, outcome, tip_sha from runs")}
        merged = {merge.run: merge for merge in self.outside.merged}
        for run in runs.values():
            if run["outcome"] == "merged" and run["kind"] == "feature":
                tips = [merge.tip for merge in self.outside.merged if merge.tip == run["tip_sha"]]
                assert len(tips) == 1, f"{run['id']} is recorded as merged, and its commit is {len(tips)} times in the branch"
        for run_id, merge in merged.items():
            assert runs[run_id]["outcome"] in (None, "merged") or merge.ticket in self.touched, f"{run_id} was merged and recorded as {runs[run_id]['outcome']}"
            if runs[run_id]["session_id"] in self.reviewed:
                assert merge.tip in self.approved, f"{run_id} was merged, and nobody approved its commit"

    def _tickets(self) -> None:
        for ticket in self.eye.all("select * from tickets where status in ('needs_input', 'in_review', 'failed')"):
            kinds = {"needs_input": ("question", "isolation"), "in_review": ("review",), "failed": ("failed",)}[ticket["status"]]
            asked = self.eye.value(f"select 1 from requests where ticket_id = ? and state = 'open' and kind in ({','.join('?' * len(kinds))})",
                                   (ticket["id"], *kinds))
            assert asked or self._asks_otherwise(ticket), f"{ticket['id']} is {ticket['status']}, and nobody is asked"

    def _asks_otherwise(self, ticket: Any) -> bool:
        """A failed ticket of a cancelled session asks nothing; nor does an epic that failed because of its features, and not in a run of its own."""
        if ticket["status"] != "failed":
            return False
        cancelled = self.eye.value("select state from hitl_sessions where id = ?", (ticket["session_id"],)) == "cancelled"
        its_own = self.eye.value("select outcome in ('failed', 'transient') and reason is ? from runs where ticket_id = ? and ended_at is not null"
                                 " order by seq desc limit 1", (ticket["reason"], ticket["id"]))
        return cancelled or (ticket["type"] == "epic" and not its_own)

    def _sessions(self) -> None:
        for session, size in self.sizes.items():
            tickets = self.eye.all("select id, type, status from tickets where session_id = ?", (session,))
            assert (len(tickets), sum(t["type"] == "epic" for t in tickets)) == (size, 1), f"{len(tickets)} tickets for a card of {size}"
            state = self.eye.value("select state from hitl_sessions where id = ?", (session,))
            if state == "completed" and not self.unseen_hands:
                assert all(t["status"] in TERMINAL for t in tickets), f"a completed session has {[tuple(t) for t in tickets]}"

    # At rest

    def rest(self) -> None:
        idle = self.eye.all("select r.kind, t.id, t.status from requests r join tickets t on t.id = r.ticket_id"
                            " where r.state = 'open' and r.kind <> 'isolation' and t.status <> case r.kind when 'question' then 'needs_input'"
                            " when 'review' then 'in_review' else 'failed' end")
        assert not idle, f"a person is asked in vain: {[tuple(row) for row in idle]}"
        paused = self.eye.value("select paused from engine_state")
        slots_full = self.eye.value("select count(*) from runs where ended_at is null and state not in ('queued', 'merging', 'wanted')") >= self.config.slots
        living = {self.outside.runs[run_id].job.session for run_id in self.outside.alive()}
        for session in self.eye.all("select id, state, paused, reason from hitl_sessions order by seq"):
            tickets = self.eye.all("select id, type, status, parent_id from tickets where session_id = ? order by seq", (session["id"],))
            shown = f"{session['state']} ({session['reason']}): {[(t['id'], t['status']) for t in tickets]}"
            count = Counter(t["status"] for t in tickets)
            if session["state"] == "building":
                full = slots_full or self.turns.at_limit(session["id"])
                held_up = full and (count["ready"] or self._queued(session["id"]))
                stuck = not (paused or session["paused"] or session["id"] in living or held_up or self._waits(session["id"]))
                assert not stuck, f"nothing can move: {shown}"
                assert paused or session["paused"] or full or not count["ready"], f"a ready ticket is not claimed: {shown}"
            elif session["state"] == "completed":
                dropped_since = all(t["id"] in self.touched for t in tickets if t["status"] == "cancelled")  # by hand, when all was over
                assert all(t["status"] in TERMINAL for t in tickets) and (count["completed"] or dropped_since), shown
            elif session["state"] == "cancelled":
                assert not {"ready", "claimed", "running", "blocked", "needs_input", "in_review"} & set(count), shown
                assert session["id"] not in living, f"runs live in a session that is {shown}"
            elif session["state"] == "failed":
                assert not {"ready", "claimed", "running", "needs_input", "in_review"} & set(count), shown
                self._failed_for_a_reason(tickets, shown)

    def _failed_for_a_reason(self, tickets: list[Any], shown: str) -> None:
        """A feature failed, though a person may have dropped it since; or all were dropped; or the epic failed in a run of its own."""
        features = [t for t in tickets if t["type"] != "epic"]
        failed = [t["id"] for t in features
                  if self.eye.value("select 1 from events where ticket_id = ? and kind = 'ticket' and to_state = 'failed'", (t["id"],))]
        own = [run["outcome"] for t in tickets if t["type"] == "epic" for run in
               self.eye.all("select outcome from runs where ticket_id = ? order by seq desc limit 1", (t["id"],))]
        # what was set to blocked or completed by hand, when all was over, stays so and moves nothing: a person retries the epic
        dropped = all(t["status"] == "cancelled" or (t["status"] in ("blocked", "completed") and t["id"] in self.touched) for t in features)
        assert failed or dropped or {"failed", "transient"} & set(own), f"it failed without a failure: {shown}"

    def _queued(self, session: str) -> bool:
        """Something waits for a slot in which the merged head is checked."""
        return self.eye.value("select 1 from runs where session_id = ? and state = 'queued' and ended_at is null", (session,)) is not None

    def _waits(self, session: str) -> bool:
        """A person is asked something, and the answer would move a ticket."""
        return self.eye.value("select 1 from requests r join tickets t on t.id = r.ticket_id where r.session_id = ? and r.state = 'open' and"
                              " (r.kind in ('question', 'isolation') and t.status = 'needs_input' or r.kind = 'review' and t.status = 'in_review')",
                              (session,)) is not None

    # All that is

    def everything(self) -> list[tuple]:
        rows = [tuple(row) for table, columns in (
            ("hitl_sessions", "id, state, paused"), ("tickets", "id, status, claim_token, run_no, failures, conflicts, transients"),
            ("runs", "id, state, outcome"), ("requests", "seq, state")) for row in self.eye.all(f"select {columns} from {table} order by seq")]
        return [*rows, *[(run_id, process.look.name) for run_id, process in self.outside.runs.items()], ("merged", len(self.outside.merged))]

    def all_but(self, runs: set[str]) -> list[tuple]:
        """Every row, but for those of these runs, and for a token that nobody holds."""
        rows = [tuple(row) for table in ("hitl_sessions", "requests") for row in self.eye.all(f"select * from {table} order by seq")]
        for ticket in self.eye.all("select * from tickets order by seq"):
            rows.append(tuple({**ticket, "claim_token": ticket["claim_token"] if ticket["status"] in ("claimed", "running") else None}.values()))
        return rows + [tuple(row) for row in self.eye.all("select * from runs order by seq") if row["id"] not in runs]


