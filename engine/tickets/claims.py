"""Claim, begin, merging, finish: one fenced statement each. The claim sets a token, and every later write of its run carries it;
if no row changes, the run is stale: stop and discard.

Next: engine/loop/dispatch.py
"""
from json import JSONEncoder
from typing import Any

from engine.jobs import Result
from engine.store.db import Database
from engine.tickets import settle
from engine.tickets.rows import Outcome, RunKind, RunRow, Status, TicketRow
from engine.tickets.states import HELD_BY, NO_LIVE_RUN, Sql, change, change_rows
from engine.times import NOW

encode = JSONEncoder(ensure_ascii=False).encode
WAITS = "The branch has moved since the run began, so the change waits for a check together with what was merged."
CLAIMABLE = ("(not_before is null or not_before <= :now)"
             f" and {NO_LIVE_RUN}"
             " and exists (select 1 from hitl_sessions s where s.id = tickets.session_id and s.state = 'building' and not s.paused)"
             " and (parent_id is null or exists (select 1 from tickets e where e.id = tickets.parent_id and e.base_sha is not null))")


def claim(db: Database, owner: str, limit: int, now: str) -> list[RunRow]:
    """Claims up to `limit` ready tickets: fair between tenants, then by priority, then by age. -> the new rows of runs, in that order.

    `now` is UTC text; tickets with a later not_before are not claimed. A tenant with fewer live runs comes first. Among equals the order is by
    name, starting after the tenant of the newest run."""
    first, last = db.all("select (select min(tenant_id) from tickets where status = 'ready'), (select max(tenant_id) from tickets where status = 'ready')")[0]
    if limit <= 0 or first is None:
        return []  # without a transaction: an idle engine does not write
    with db.transaction():
        if first == last:
            return _serve(db, owner, [first], limit, now)
        last = db.value("select tenant_id from runs order by seq desc limit 1") or ""
        idle = _idle_tenants(db, limit, last)
        runs = _serve(db, owner, idle, limit, now) if len(idle) == limit else []
        if len(runs) < limit:
            runs += _serve(db, owner, _tenants(db, last), limit - len(runs), now)
    return runs


def _serve(db: Database, owner: str, tenants: list[str], limit: int, now: str) -> list[RunRow]:
    runs: list[RunRow] = []
    while tenants and len(runs) < limit:
        share = max(1, (limit - len(runs)) // len(tenants))
        served = []
        for tenant in tenants[:limit - len(runs)]:
            got = _claim(db, owner, "seq in (select seq from tickets where tenant_id = :tenant and status = 'ready' and"
                         f" {CLAIMABLE} order by priority desc, seq limit :share)", {"tenant": tenant, "now": now, "share": share})
            runs += got
            if len(got) == share:
                served.append(tenant)
        tenants = served
    return runs


def claim_one(db: Database, owner: str, ticket_id: str, now: str) -> RunRow | None:
    """Claims one ticket by the same rules. -> the row of its run, or None if it may not be claimed now."""
    with db.transaction():
        runs = _claim(db, owner, f"id = :id and {CLAIMABLE}", {"id": ticket_id, "now": now})
    return runs[0] if runs else None


# A skip-scan: one index look-up per tenant, for any number of rows.
WITH_READY = ("t (name) as (select min(tenant_id) from tickets where status = 'ready' and tenant_id > :after"
              " union all select (select min(tenant_id) from tickets where status = 'ready' and tenant_id > t.name) from t where t.name is not null)")


def _idle_tenants(db: Database, limit: int, last: str) -> list[str]:
    """The next `limit` tenants after `last` with a ready ticket and no live run. If there are `limit` of them, they all come before any other tenant."""
    found: list[str] = []
    for after, most in ((last, ""), ("", " and name <= :last")):
        found += [row[0] for row in db.execute(
            f"with recursive {WITH_READY} select name from t where name is not null{most} and name not in"
            " (select tenant_id from runs where ended_at is null) limit :limit", {"after": after, "last": last, "limit": limit - len(found)})]
    return found


def _tenants(db: Database, last: str) -> list[str]:
    """All tenants with a ready ticket; tenants with the fewest live runs come first."""
    names = [row[0] for row in db.execute(f"with recursive {WITH_READY} select name from t where name is not null", {"after": ""})]
    if len(names) < 2:
        return names
    live = db.pairs("select tenant_id, count(*) from runs where ended_at is null group by 1")
    return sorted(names, key=lambda name: (live.get(name, 0), name <= last))


def _claim(db: Database, owner: str, where: str, parameters: dict[str, Any], to: Status = "claimed", kind: RunKind | None = None) -> list[RunRow]:
    rows = change_rows(db, to, where, parameters, claimed_by=owner, not_before=None,
                  claim_token=Sql("lower(hex(randomblob(16)))"), run_no=Sql("run_no + 1"))
    return [_intend(db, row["seq"], owner, kind) for row in sorted(rows, key=lambda row: (-row["priority"], row["seq"]))]


def _intend(db: Database, seq: int, owner: str, kind: RunKind | None) -> RunRow:
    """Inserts the run, before anything of it exists outside the database. Its id is also the name of its folder and is never used again."""
    return db.the("insert into runs (id, ticket_id, session_id, tenant_id, kind, claim_token, claimed_by, run_no, base_sha)"
                  " select id || '-' || run_no || '-' || substr(claim_token, 1, 6), id, session_id, tenant_id,"
                  " coalesce(?, case when type <> 'epic' then 'feature' when base_sha is null then 'prepare' else 'integrate' end),"
                  " claim_token, ?, run_no, base_sha from tickets where seq = ?"
                  " returning id, ticket_id, session_id, kind, state, claim_token, claimed_by, run_no, base_sha", (kind, owner, seq), RunRow)


def recheck(db: Database, owner: str, epic_id: str, now: str) -> RunRow | None:
    """Claims a recheck run, in which an epic checks what waits to be merged. The epic stays running and holds a claim. -> its row, or None if
    it may not start now."""
    with db.transaction():
        runs = _claim(db, owner, "id = :id and type = 'epic' and status = 'running' and claim_token is null and base_sha is not null"
                      f" and {CLAIMABLE}", {"id": epic_id, "now": now}, "running", "recheck")
    return runs[0] if runs else None


def begin(db: Database, run: RunRow, runtime: str, agent: str, branch: str = "") -> bool:
    """claimed → running. False: the claim no longer belongs to this run. In a recheck run the epic is running already.
    branch: the one that the run works on, which is its ticket's from now on.

    Not durable: a power cut also ends the run, and its remains are found by its folder."""
    with db.transaction(durable=False):
        status = "running" if run["kind"] == "recheck" else "claimed"
        of_ticket = {"branch_name": branch} if branch and run["kind"] in ("feature", "prepare") else {}
        held = change(db, "running", f"id = :id and claim_token = :token and status = '{status}'", _held_by(run),
                      assigned_vm=f"{runtime}:{run['id']}", **of_ticket)
        if held:
            db.execute(f"update runs set state = 'running', runtime = ?, agent = ?, started_at = {NOW} where id = ? and state = 'intended'",
                       (runtime, agent, run["id"]))
    return held == 1


def merging(db: Database, run: RunRow, tip: str, checked_by: str | None = None) -> bool:
    """Marks the start of the merge; after this a cancel is too late. checked_by: the recheck run that merges it. False: stale. Repeatable."""
    with db.transaction():
        return db.execute("update runs set state = 'merging', tip_sha = :tip, checked_by = :checked_by where id = :run and ended_at is null"
                          f" and exists (select 1 from tickets where {HELD_BY})",
                          {"tip": tip, "checked_by": checked_by, "run": run["id"], **_held_by(run)}).rowcount == 1


def wait(db: Database, run: RunRow, branch: str, result: Result) -> bool:
    """Queues a change, kept as `branch`, for a check on the merged head, because the integration branch has moved. False: stale. Repeatable."""
    with db.transaction():
        held = change(db, "running", HELD_BY, _held_by(run), reason=WAITS, branch_name=branch)  # still claimed: the launching process died at once
        if held:
            db.execute(f"update runs set state = 'queued', {_SAID} where id = ? and ended_at is null", (*_said(result), run["id"]))
    return held == 1


def finish(db: Database, run: RunRow, outcome: Outcome, status: Status, reason: str | None, result: Result | None = None,
           detail: str | None = None, **columns: Any) -> TicketRow | None:
    """Ends the run, moves its ticket and settles the session in one transaction. -> the ticket's row, or None if the claim was stale.

    A stale run ends with the outcome 'stale' and changes nothing else."""
    with db.transaction():
        rows = change_rows(db, status, HELD_BY, _held_by(run), reason=reason, **_unclaimed(status), **columns)
        _end(db, run["id"], outcome if rows else "stale", reason, result, detail)
        if rows and status == "completed":
            settle.after(db, rows[0])
        elif rows:
            settle.session(db, run["session_id"])
    return rows[0] if rows else None


def _held_by(run: RunRow) -> dict[str, str]:
    """Parameters for HELD_BY."""
    return {"id": run["ticket_id"], "token": run["claim_token"]}


def _unclaimed(status: str) -> dict[str, None]:
    """Columns for an epic that stays running: it coordinates and holds no claim."""
    return {"claim_token": None, "claimed_by": None} if status == "running" else {}


def end(db: Database, run_id: str, outcome: Outcome, reason: str | None, result: Result | None = None, detail: str | None = None) -> None:
    """Ends a run, for any status of its ticket."""
    with db.transaction():
        _end(db, run_id, outcome, reason, result, detail)


def _end(db: Database, run_id: str, outcome: Outcome, reason: str | None, result: Result | None, detail: str | None) -> None:
    db.execute(f"update runs set state = 'ended', outcome = ?, reason = ?, detail = ?, ended_at = {NOW}, {_SAID} where id = ? and ended_at is null",
               (outcome, reason, detail, *_said(result), run_id))
    if outcome in ("cancelled", "stale"):  # its ticket was moved by hand and may be moved back, so the token of an ended run must not count
        db.execute("update tickets set claim_token = null where claim_token = (select claim_token from runs where id = :run)"
                   " and id = (select ticket_id from runs where id = :run)", {"run": run_id})


_COLUMNS = ("base_sha", "tip_sha", "checks", "phases", "usage", "vm", "said")
_SAID = ", ".join(f"{name} = coalesce(?, {name})" for name in _COLUMNS)


def _said(result: Result | None) -> tuple[str | None, ...]:
    """Values of a result for _SAID; None leaves a column unchanged."""
    if result is None:
        return (None,) * len(_COLUMNS)
    return (result.base, result.tip, encode(result.checks), encode(result.phases),
            *(encode(value) if value else None for value in (result.usage, result.vm, result.said)))


def busy_slots(db: Database) -> int:
    """Number of runs that have a process now; a run that waits for its merge has none."""
    return int(db.value("select count(*) from runs where ended_at is null and state not in ('queued', 'merging', 'wanted')"))


def set_paused(db: Database, paused: bool, reason: str | None = None) -> None:
    """Pauses or resumes new claims of all engines. Live runs continue."""
    with db.transaction():
        db.execute("update engine_state set paused = ?, reason = ?", (int(paused), reason if paused else None))


def is_paused(db: Database) -> bool:
    return bool(db.value("select paused from engine_state"))
