"""Who may be served before whom: at every claim of the engine, no session of the same tenant that has fewer runs was waiting."""
from collections import Counter
from typing import Any

from engine.store.db import Database
from engine.tickets.claims import CLAIMABLE
from engine.tickets.states import BUSY


class Turns:
    """Looks through `eye` right after each claim."""

    def __init__(self, eye: Database) -> None:
        self.eye = eye
        self.limits: dict[str, int] = {}     # session id -> max_parallel of its card
        self.passed: Counter[str] = Counter()  # session id -> claims of others since it waits without a run

    def hold(self) -> None:
        for session, count in self.busy().items():
            assert count <= self.limits.get(session, count), f"{session} has {count} runs, and its card allows {self.limits[session]}"

    def busy(self) -> Counter[str]:
        return Counter(self.eye.pairs(f"select session_id, count(*) from runs where {BUSY} group by 1"))

    def at_limit(self, session: str) -> bool:
        return self.busy()[session] >= self.limits.get(session, 1_000_000)

    def claimed(self, runs: list[Any]) -> None:
        """After a claim. runs: what is new. A ticket with a pause does not count as waiting: whether it is over is the tick's own matter."""
        busy, waiting = self.busy(), {}
        for session, tenant in self.eye.all(f"select distinct session_id, tenant_id from tickets where status = 'ready' and {CLAIMABLE}", {"now": ""}):
            if not self.at_limit(session):
                waiting[session] = tenant
        for run in runs:
            if run["kind"] == "recheck":
                continue
            mine, tenant = run["session_id"], run["tenant_id"]
            if run["claimed_by"].startswith("cli-"):  # a person chose the ticket, and with it whose turn comes next
                self.passed.clear()
                continue
            others = [session for session, its in waiting.items() if its == tenant and session != mine]
            for other in others:
                assert busy[other] >= busy[mine] - 1, f"{run['id']} was claimed, and {other} has a ready ticket and {busy[other]} runs, not {busy[mine]}"
                self.passed[other] += not busy[other]
                assert self.passed[other] < 3, f"{other} waits, and {self.passed[other]} tickets of others were claimed"
            self.passed[mine] = 0
        for session in set(self.passed) - {session for session in waiting if not busy[session]}:
            del self.passed[session]
