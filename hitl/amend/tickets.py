"""The effect of an amendment on tickets. Everything runs inside the transaction that has checked the session."""
import json
from typing import Any

from engine.errors import WrongState
from engine.store.db import Database
from engine.tickets import requests
from engine.tickets.new_tickets import create, depend
from engine.tickets.rows import TicketRow
from engine.tickets.session_rows import SessionRow
from engine.tickets.states import change
from engine.times import NOW
from hitl.amend.delta import Delta
from hitl.ticket_generator import columns_of

DROPPED = "Dropped by an amendment of the card."
# A feature has not started if it waits and has no run that has started or is about to start.
UNSTARTED = ("status in ('pending', 'blocked', 'ready') and not exists"
             " (select 1 from runs r where r.ticket_id = tickets.id and (r.started_at is not null or r.ended_at is null))")


def places(db: Database, row: SessionRow) -> dict[str, int]:
    """{ticket id: index of its feature in the card}. Raises WrongState if tickets and card do not fit together."""
    found: dict[str, int] = {each["id"]: each["position"] - 1 for each in db.all(
        "select id, position from tickets where session_id = ? and type = 'feature' and position > 0 order by position", (row["id"],), TicketRow)}
    if list(found.values()) != list(range(len(json.loads(row["spec_card"] or "{}")["features"]))):
        raise WrongState("The tickets of this build do not fit its card, because someone changed them by hand. The card cannot be amended.",
                         currentState=row["state"], since=row["updated_at"])
    return found


def started(db: Database, session_id: str, tickets: list[str]) -> list[dict[str, str]]:
    """The tickets among these that have started or are closed: [{ticket, status}]."""
    return [{"ticket": ticket["id"], "status": ticket["status"]} for ticket in db.all(
        f"select id, status from tickets where session_id = ? and id in (select value from json_each(?)) and not ({UNSTARTED}) order by seq",
        (session_id, json.dumps(tickets)), TicketRow)]


def check_unstarted(db: Database, row: SessionRow, tickets: list[str]) -> None:
    """Raises WrongState (code already_started) with the tickets that have started."""
    if found := started(db, row["id"], tickets):
        said = ", ".join(f"{each['ticket']} ({each['status'].replace('_', ' ')})" for each in found[:5])
        raise WrongState(f"An amendment cannot change tickets that have started or are closed: {said}.", code="already_started",
                         currentState=row["state"], since=row["updated_at"], tickets=found)


def check_dependencies(db: Database, row: SessionRow, plan: dict[str, Any], order: list[str]) -> None:
    """Raises WrongState if an open feature would wait for a dropped feature, because it would then be dropped, too."""
    statuses = db.pairs("select id, status from tickets where session_id = ?", (row["id"],))
    for place, feature in enumerate(plan["features"]):
        waiting = place >= len(order) or statuses[order[place]] in ("pending", "blocked", "ready")
        for index in feature["depends_on"] if waiting else ():
            if index < len(order) and statuses[order[index]] == "cancelled" and _waits(db, order, place, index):
                raise WrongState(f"“{feature['title']}” depends on “{plan['features'][index]['title']}”, which was dropped. Remove that dependency.",
                                 currentState=row["state"], since=row["updated_at"], tickets=[{"ticket": order[index], "status": "cancelled"}])


def _waits(db: Database, order: list[str], place: int, index: int) -> bool:
    """Whether this ticket still waits for the other one. Someone may have decided that it continues without it."""
    return place >= len(order) or db.value("select 1 from ticket_dependencies where ticket_id = ? and depends_on = ?", (order[place], order[index])) is not None


def apply(db: Database, row: SessionRow, plan: dict[str, Any], order: list[str], delta: Delta) -> None:
    """Drops, changes and adds tickets. plan: the amended card, normalised; order: the tickets of its first features."""
    for ticket in delta["drop"]:
        db.execute("delete from ticket_dependencies where depends_on = :id or ticket_id = :id", {"id": ticket})
        change(db, "cancelled", "id = :id", {"id": ticket}, reason=DROPPED, position=0)
        requests.withdraw(db, ticket)
    for place, ticket in enumerate(order):
        db.execute("update tickets set position = ? where id = ? and position <> ?", (place + 1, ticket, place + 1))
    tickets = [*order, *_add(db, row, plan, len(order))]
    for each in delta["change"]:
        columns = columns_of(plan["features"][order.index(each["ticket"])])
        change(db, "blocked", "id = :id and status = 'ready'", {"id": each["ticket"]})
        db.execute(f"update tickets set {', '.join(f'{name} = :{name}' for name in columns)}, updated_at = {NOW} where id = :id",
                   {**columns, "id": each["ticket"]})
        db.execute("delete from ticket_dependencies where ticket_id = ?", (each["ticket"],))
    fresh = [*(each["ticket"] for each in delta["change"]), *tickets[len(order):]]
    depend(db, [(ticket, tickets[index]) for ticket in fresh for index in plan["features"][tickets.index(ticket)]["depends_on"]])
    # The build is no longer only what the product supplies, so it does not run without isolation unless someone allows it.
    db.execute(f"update tickets set supplied = 0 where session_id = ? and supplied and (type = 'epic' or {UNSTARTED})", (row["id"],))


def _add(db: Database, row: SessionRow, plan: dict[str, Any], first: int) -> list[str]:
    """Creates tickets for the features from index `first` on -> their ids."""
    epic = db.value("select id from tickets where session_id = ? and type = 'epic' order by seq limit 1", (row["id"],))
    return create(db, row["tenant_id"], row["id"], [
        {**columns_of(feature), "position": position} for position, feature in enumerate(plan["features"][first:], first + 1)],
        type="feature", status="blocked", parent_id=epic)
