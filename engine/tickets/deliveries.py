"""The rows of deliveries: what goes to the repository that a card names, and how far it is.

Each state is written before its step starts, and every step may be repeated: after a crash the next process first looks at the
remote repository. Questions about deliveries and their answers are in engine/tickets/delivery_answers.py."""
from typing import Any

from engine.store.db import Database
from engine.tickets.approved_card import approved_card, repository_of
from engine.tickets.rows import DeliveryRow, DeliveryState, DependencyRow, TicketRow
from engine.tickets.states import UNDONE
from engine.times import NOW

PENDING = "state in ('intended', 'pushed', 'opened')"  # the epic waits for these
# A pull request is looked at while a question about it is open, too.
LOOKED_AT = "waiting = 'person' and number is not null and state in ('delivered', 'watched', 'closed')"
_HELD = ("exists (select 1 from tickets e where e.session_id = deliveries.session_id and e.type = 'epic'"
         " and e.status = iif(deliveries.state in ('delivered', 'watched', 'closed'), 'completed', 'running'))")


def intend(db: Database, epic: TicketRow, tip: str) -> None:
    """Plans the delivery of a build that passed its checks at `tip`, inside the transaction that records the result. epic: its row.

    With a pull request for each feature, the remote integration branch starts at the base, and the features' branches are pushed too: each is onto
    the branch of the feature that it depends on, or onto the integration branch."""
    card = approved_card(db, epic["session_id"])
    repository = str(repository_of(db, epic["session_id"]))
    each = card.get("pull_requests") == "feature"
    _row(db, epic, repository, epic["branch_name"], card.get("base_branch"), epic["base_sha"] if each else tip)
    merged = {feature["id"]: feature for feature in features(db, epic["id"])} if each else {}
    for feature in merged.values():
        below = _below(db, feature["id"], merged)
        _row(db, feature, repository, feature["branch_name"], (below or epic)["branch_name"], feature["tip_sha"])


class Merged(TicketRow):
    tip_sha: str  # its own commit
    ended_at: str  # when it was merged


def _below(db: Database, feature: str, merged: dict[str, Merged]) -> Merged | None:
    """The feature whose branch the pull request of `feature` is based on: of those that it depends on, also through others without a change of their
    own, the one that was merged last. None: it depends on none with a branch."""
    found, wanted, seen = list[Merged](), [feature], {feature}
    while wanted:
        ids = [row["depends_on"] for row in db.all("select depends_on from ticket_dependencies where ticket_id = ?", (wanted.pop(),), DependencyRow)]
        found += [merged[each] for each in ids if each in merged and each not in seen]
        wanted += [each for each in ids if each not in merged and each not in seen]
        seen |= set(ids)
    return max(found, key=lambda each: (each["ended_at"], each["seq"]), default=None)


def features(db: Database, epic_id: str) -> list[Merged]:
    """Features that have a commit of their own, with their last merged commit."""
    return db.all("select t.*, r.tip_sha, r.ended_at from tickets t join runs r on r.seq = (select max(seq) from runs where ticket_id = t.id and"
                  " outcome = 'merged' and tip_sha is not null) where t.parent_id = ? and t.status = 'completed' and t.branch_name is not null"
                  " order by t.seq", (epic_id,), Merged)


def _row(db: Database, ticket: TicketRow, repository: str, branch: str | None, base_branch: str | None, tip: str | None) -> None:
    """Inserts or restarts a delivery. Facts of an earlier delivery stay. An existing delivery of a feature is not restarted for the same commit."""
    db.execute("insert into deliveries (tenant_id, session_id, ticket_id, repository, branch, base_branch, tip_sha) values (?, ?, ?, ?, ?, ?, ?)"
               " on conflict (ticket_id) do update set state = 'intended', repository = excluded.repository, branch = excluded.branch,"
               " base_branch = excluded.base_branch, tip_sha = excluded.tip_sha, waiting = null, tries = 0, not_before = null, reason = null,"
               f" updated_at = {NOW} where state in ('dropped', 'intended', 'pushed', 'opened') or tip_sha <> excluded.tip_sha or ? = 'epic'",
               (ticket["tenant_id"], ticket["session_id"], ticket["id"], repository, branch, base_branch, tip, ticket["type"]))
    withdraw(db, ticket["id"])


def withdraw(db: Database, ticket_id: str) -> None:
    """Withdraws the open question about a delivery that has moved on."""
    db.execute(f"update requests set state = 'withdrawn', answered_at = {NOW} where ticket_id = ? and kind = 'delivery' and state = 'open'", (ticket_id,))


def overtake(db: Database, session_id: str, epic_id: str) -> None:
    """Drops pending deliveries when a ticket of the build is open again, because the commit is no longer the whole build."""
    if not is_pending(db, session_id) or db.value(f"select 1 from tickets where parent_id = ? and {UNDONE} limit 1", (epic_id,)) is None:
        return
    for row in db.all(f"update deliveries set state = 'dropped', waiting = null, reason = 'The build goes on.', updated_at = {NOW}"
                      f" where session_id = ? and {PENDING} returning ticket_id", (session_id,), DeliveryRow):
        withdraw(db, row["ticket_id"])


def is_pending(db: Database, session_id: str) -> bool:
    return db.value(f"select 1 from deliveries where session_id = ? and {PENDING} limit 1", (session_id,)) is not None


def due(db: Database, now: str) -> list[DeliveryRow]:
    """Deliveries whose next step can be taken now. After a refused token, all deliveries to that repository wait."""
    return db.all(f"select * from deliveries where (state not in ('done', 'merged', 'closed', 'dropped') and waiting is null or {LOOKED_AT})"
                  f" and (not_before is null or not_before <= ?) and {_HELD}"
                  " and exists (select 1 from hitl_sessions s where s.id = deliveries.session_id and not s.paused and s.state in ('building', 'completed'))"
                  " and not exists (select 1 from deliveries o where o.repository = deliveries.repository and o.waiting = 'token')"
                  " order by not_before, seq limit 50", (now,), DeliveryRow)


def is_held(db: Database, row: DeliveryRow) -> bool:
    """True if a token was refused for the same repository meanwhile."""
    return db.value("select 1 from deliveries where repository = ? and waiting = 'token' limit 1", (row["repository"],)) is not None


def still(db: Database, row: DeliveryRow) -> DeliveryRow | None:
    """The current row, if it still has the state and commit of `row`, and waits for the same; otherwise None."""
    return db.one("select * from deliveries where seq = ? and state = ? and tip_sha = ? and waiting is ?",
                  (row["seq"], row["state"], row["tip_sha"], row["waiting"]), DeliveryRow)


def move(db: Database, row: DeliveryRow, state: DeliveryState, **columns: Any) -> DeliveryRow | None:
    """Moves to the next state, if the delivery is still wanted, has the state and commit of `row`, and waits for the same. -> the new row, or None."""
    values = {"tries": 0, "not_before": None, "reason": None, **columns}
    sets = "".join(f", {name} = :{name}" for name in values)
    with db.transaction():
        rows = db.all(f"update deliveries set state = :state, updated_at = {NOW}{sets} where seq = :seq and state = :old and tip_sha = :tip"
                      f" and waiting is :was and {_HELD} returning *",
                      {**values, "was": row["waiting"], "state": state, "seq": row["seq"], "old": row["state"], "tip": row["tip_sha"]}, DeliveryRow)
    return rows[0] if rows else None


def onto(db: Database, row: DeliveryRow) -> str | None:
    """The branch that a pull request belongs onto now: once the one below it is merged, what that one was onto."""
    branch = row["base_branch"]
    while below := db.one("select d.* from deliveries d join tickets t on t.id = d.ticket_id where d.session_id = ? and d.branch = ? and d.state = 'merged'"
                          " and t.parent_id is not null", (row["session_id"], branch), DeliveryRow):
        branch = below["base_branch"]
    return branch


def look_later(db: Database, row: DeliveryRow, at: str) -> None:
    """Sets the time of the next look at a pull request, unless an answer or a call of the forge asked for one meanwhile."""
    db.execute("update deliveries set not_before = ?, tries = 0, reason = iif(waiting is null, null, reason) where seq = ? and not_before is ?"
               " and state in ('delivered', 'watched', 'closed')", (at, row["seq"], row["not_before"]))


def by_feature(db: Database, row: DeliveryRow) -> list[DeliveryRow]:
    """Deliveries of an epic's features, if they have their own pull requests. row: the epic's delivery."""
    return db.all("select d.* from deliveries d join tickets t on t.id = d.ticket_id where t.parent_id = ? and d.state <> 'dropped' order by d.seq",
                  (row["ticket_id"],), DeliveryRow)
