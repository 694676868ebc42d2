"""Claim, begin, merging, finish: one fenced statement each. The claim sets a token, and every later write of its run carries it;
if no row changes, the run is stale: stop and discard.

Next: engine/loop/dispatch.py
"""
from collections.abc import Callable
from json import JSONEncoder
from typing import Any

from engine.jobs import Result
from engine.store.db import Database
from engine.tickets import settle
from engine.tickets.approved_card import has_room, most_parallel, room
from engine.tickets.rows import Outcome, RunKind, RunRow, Status, TicketRow
from engine.tickets.states import BUSY, HELD_BY, NO_LIVE_RUN, Sql, change, change_rows
from engine.times import NOW

encode = JSONEncoder(ensure_ascii=False).encode
WAITS = "The branch has moved since the run began, so the change waits for a check together with what was merged."
CLAIMABLE = ("(not_before is null or not_before <= :now)"
             f" and {NO_LIVE_RUN}"
             " and exists (select 1 from hitl_sessions s where s.id = tickets.session_id and s.state = 'building' and not s.paused)"
             " and (parent_id is null or exists (select 1 from tickets e where e.id = tickets.parent_id and e.base_sha is not null))")


def claim(db: Database, owner: str, limit: int, now: str) -> list[RunRow]:
    """Claims up to `limit` ready tickets: fair between tenants, then between the sessions of a tenant; in a session by priority, then by age.
    -> the new rows of runs.
    `now` is UTC text; tickets with a later not_before are not claimed. Who has fewer live runs comes first. Equals take turns: in the order of
    their names, starting after the one that has the newest run."""
    first, last = db.all("select (select min(tenant_id) from tickets where status = 'ready'), (select max(tenant_id) from tickets where status = 'ready')")[0]
    if limit <= 0 or first is None:
        return []  # without a transaction: an idle engine does not write
    with db.transaction():
        if first == last:
            return _of_tenant(db, owner, first, limit, now)
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
        for tenant in tenants:  # also of those that come later, because the first ones may have nothing that may start now
            got = _of_tenant(db, owner, tenant, min(share, limit - len(runs)), now)
            runs += got
            served += [tenant] if len(got) == share else []
            if len(runs) == limit:
                break
        tenants = served
    return runs


_BEST = f"select seq from tickets where tenant_id = :tenant and session_id = %s and status = 'ready' and {CLAIMABLE} order by priority desc, seq limit"
_NEXT = "select min(session_id) from tickets where tenant_id = :tenant and status = 'ready' and session_id"
# The best ticket of each session without a busy run; the sessions in turn, the first one after :last. Index look-ups, as many as sessions are looked at.
IDLE_SESSIONS = (f"seq in (with recursive after (id) as ({_NEXT} > :last union all select ({_NEXT} > after.id) from after where after.id is not null),"
                 f" before (id) as ({_NEXT} <= :last union all select ({_NEXT} > before.id and session_id <= :last) from before where before.id is not null),"
                 " turn (id) as (select id from after where id is not null union all select id from before where id is not null)"
                 f" select best.seq from turn cross join tickets best on best.seq = ({_BEST % 'turn.id'} 1)"
                 f" where turn.id not in (select session_id from runs where {BUSY} and session_id is not null) limit :limit)")


def _of_tenant(db: Database, owner: str, tenant: str, limit: int, now: str) -> list[RunRow]:
    """Claims for one tenant: one ticket for each session without a busy run, then more for those with the fewest."""
    first, only = db.all("select (select min(session_id) from tickets where tenant_id = :tenant and status = 'ready'),"
                         " (select max(session_id) from tickets where tenant_id = :tenant and status = 'ready')", {"tenant": tenant})[0]
    if first == only:  # nothing to share
        return _of_session(db, owner, tenant, only, min(limit, room(db, only)), now)
    last = _last_session(db, tenant)
    runs = _claim(db, owner, IDLE_SESSIONS, {"tenant": tenant, "now": now, "last": last, "limit": limit},
                  order=lambda row: (row["session_id"] <= last, row["session_id"]))
    if len(runs) == limit:
        return runs
    last = runs[-1]["session_id"] if runs else last
    busy = db.pairs(f"select session_id, count(*) from runs where {BUSY} and tenant_id = ? and session_id is not null group by 1", (tenant,))
    while busy and len(runs) < limit:
        order, rest = sorted(busy, key=lambda name: (busy[name], name <= last, name)), limit - len(runs)
        session, gap = order[0], busy[order[1]] - busy[order[0]] if len(order) > 1 else rest
        share = min(rest, max(1, gap, rest // len(order)), most_parallel(db, session) - busy[session])
        got = _of_session(db, owner, tenant, session, share, now)
        runs += got
        busy[session] += len(got)
        if not got or len(got) < share:
            del busy[session]
    return runs


def _of_session(db: Database, owner: str, tenant: str, session: str, limit: int, now: str) -> list[RunRow]:
    return _claim(db, owner, f"seq in ({_BEST % ':session'} :limit)", {"tenant": tenant, "session": session, "now": now, "limit": max(limit, 0)})


def _last_session(db: Database, tenant: str) -> str:
    """Whose turn was the last. Where another tenant's run followed, a trigger of schema.sql has kept it."""
    return str(db.value("select coalesce((select session_id from (select tenant_id, session_id from runs where"
                        " (kind = 'feature' or kind = 'prepare' or kind = 'integrate') order by seq desc limit 1) where tenant_id = :tenant),"
                        " (select session_id from turns where tenant_id = :tenant), '')", {"tenant": tenant}))


def claim_one(db: Database, owner: str, ticket_id: str, now: str) -> RunRow | None:
    """Claims one ticket by the same rules. -> the row of its run, or None if it may not be claimed now."""
    with db.transaction():
        runs = _claim(db, owner, f"id = :id and {CLAIMABLE}", {"id": ticket_id, "now": now}) if has_room(db, ticket_id) else []
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
    live = db.pairs("select tenant_id, count(*) from runs where ended_at is null group by 1")
    return sorted(names, key=lambda name: (live.get(name, 0), name <= last))


def _claim(db: Database, owner: str, where: str, parameters: dict[str, Any], to: Status = "claimed", kind: RunKind | None = None,
           order: Callable[[TicketRow], Any] = lambda row: (-row["priority"], row["seq"])) -> list[RunRow]:
    rows = change_rows(db, to, where, parameters, claimed_by=owner, not_before=None,
                  claim_token=Sql("lower(hex(randomblob(16)))"), run_no=Sql("run_no + 1"))
    return [_intend(db, row["seq"], owner, kind) for row in sorted(rows, key=order)]


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
                      f" and {CLAIMABLE}", {"id": epic_id, "now": now}, "running", "recheck") if has_room(db, epic_id) else []
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
            db.execute(f"update runs set state = 'running', runtime = ?, agent = ?, started_at = {NOW}, environment = (select e.environment from tickets t"
                       " join tickets e on e.id = coalesce(t.parent_id, t.id) where t.id = runs.ticket_id) where id = ? and state = 'intended'",
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
            db.execute(f"update runs set state = 'queued', {SAID} where id = ? and ended_at is null", (*said(result), run["id"]))
    return held == 1


def finish(db: Database, run: RunRow, outcome: Outcome, status: Status, reason: str | None, result: Result | None = None,
           detail: str | None = None, **columns: Any) -> TicketRow | None:
    """Ends the run, moves its ticket and settles the session in one transaction. -> the ticket's row, or None if the claim was stale.

    A stale run ends with the outcome 'stale' and changes nothing else."""
    with db.transaction():
        unclaimed = {"claim_token": None, "claimed_by": None} if status == "running" else {}  # an epic coordinates, and holds no claim
        rows = change_rows(db, status, HELD_BY, _held_by(run), reason=reason, **unclaimed, **columns)
        _end(db, run["id"], outcome if rows else "stale", reason, result, detail)
        if rows and status == "completed":
            settle.after(db, rows[0])
        elif rows:
            settle.session(db, run["session_id"])
    return rows[0] if rows else None


def _held_by(run: RunRow) -> dict[str, str]:
    """Parameters for HELD_BY."""
    return {"id": run["ticket_id"], "token": run["claim_token"]}


def end(db: Database, run_id: str, outcome: Outcome, reason: str | None, result: Result | None = None, detail: str | None = None) -> None:
    """Ends a run, for any status of its ticket."""
    with db.transaction():
        _end(db, run_id, outcome, reason, result, detail)


def _end(db: Database, run_id: str, outcome: Outcome, reason: str | None, result: Result | None, detail: str | None) -> None:
    db.execute(f"update runs set state = 'ended', outcome = ?, reason = ?, detail = ?, ended_at = {NOW}, {SAID} where id = ? and ended_at is null",
               (outcome, reason, detail, *said(result), run_id))
    if outcome in ("cancelled", "stale"):  # its ticket was moved by hand and may be moved back, so the token of an ended run must not count
        db.execute("update tickets set claim_token = null where claim_token = (select claim_token from runs where id = :run)"
                   " and id = (select ticket_id from runs where id = :run)", {"run": run_id})


_COLUMNS = ("base_sha", "tip_sha", "checks", "phases", "usage", "vm", "said")
SAID = ", ".join(f"{name} = coalesce(?, {name})" for name in _COLUMNS)


def said(result: Result | None) -> tuple[str | None, ...]:
    """Values of a result for SAID, which sets columns of runs; None leaves a column unchanged."""
    return (None,) * len(_COLUMNS) if result is None else (
        result.base, result.tip, encode(result.checks), encode(result.phases),
        *(encode(value) if value else None for value in (result.usage, result.vm, result.said)))


def busy_slots(db: Database) -> int:
    return int(db.value(f"select count(*) from runs where {BUSY}"))


def set_paused(db: Database, paused: bool, reason: str | None = None) -> None:
    """Pauses or resumes new claims of all engines. Live runs continue."""
    with db.transaction():
        db.execute("update engine_state set paused = ?, reason = ?", (int(paused), reason if paused else None))


def is_paused(db: Database) -> bool:
    return bool(db.value("select paused from engine_state"))
