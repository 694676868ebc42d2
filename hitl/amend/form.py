"""The forms of an amendment: the plan that fills them, and the delta with the values of one form. Each form adds to one delta.

The field `what` names the action: add, feature (a change), drop, or back, which removes an entry from the delta again."""
import copy
from dataclasses import dataclass
from typing import Any

from engine.errors import BadRequest
from engine.store.db import Database
from hitl.amend import delta as amendment
from hitl.amend import proposals
from hitl.amend import tickets as amend_tickets
from hitl.amend.delta import Delta
from hitl.card import form as card_form
from hitl.card.form import Form
from hitl.card.graph import resolve, titles
from hitl.card.text import key
from hitl.session import sessions
from hitl.web.numbers import whole_number


@dataclass(frozen=True)
class Plan:
    """A build's card with the proposed delta. order: the tickets of the first features; added features come after them.

    seen: identifies the card and the delta. A form that was filled from another card or delta is refused."""

    card: dict[str, Any]
    amended: dict[str, Any]
    delta: Delta
    tickets: dict[str, int]
    order: list[str]
    seen: str

    def waiting_for(self, ticket: str) -> list[tuple[str, list[str]]]:
        """[(ticket, its dependencies without this one)] for the features that wait for this ticket."""
        features = self.amended["features"]
        names, gone = titles(features), self.order.index(ticket)
        graph, _ = resolve(features, names)
        return [(other, [names[index] for index in graph[place] if index != gone]) for place, other in enumerate(self.order) if gone in graph[place]]


def plan(db: Database, tenant: str, session_id: str) -> Plan:
    """The plan of a session. Raises NotFound, WrongState if tickets and card do not fit together, InvalidCard."""
    row = sessions.get(db, tenant, session_id)
    tickets = amend_tickets.places(db, row)
    card = sessions.current_card(row)
    proposed = proposals.amendment_view(db, tenant, session_id)["amendment"]
    delta: Delta = proposed["delta"] if proposed else {"add": [], "change": [], "drop": []}
    return Plan(card, amendment.amended(card, delta, tickets), delta, tickets, amendment.order(delta, tickets),
                f"{row['approved_sha256']}.{proposed['sha256'] if proposed else ''}")


def delta_with(form: Form, plan: Plan) -> Delta:
    """The plan's delta with the values of the form. Raises BadRequest."""
    delta = copy.deepcopy(plan.delta)
    what, ticket = form.get("what", ""), form.get("ticket", "")
    names = titles(plan.amended["features"])
    if what == "add":
        delta["add"].append(card_form.new_feature(form, names))
    elif what == "back":
        _take_back(delta, ticket, form.get("place", ""))
    elif ticket not in plan.order:
        raise BadRequest("This ticket has no feature that can be changed. Load the page again.")
    elif what == "feature":
        before = plan.card["features"][plan.tickets[ticket]]
        values = card_form.values_of(form, before, names)
        _rename(delta, names[plan.order.index(ticket)], values["title"])
        _set(delta, ticket, _differs(before, values, plan))
    elif what == "drop":
        _drop(delta, ticket, plan)
    else:
        raise BadRequest("This form is unknown. Load the page again.")
    return delta


def _drop(delta: Delta, ticket: str, plan: Plan) -> None:
    known: dict[str, Any]
    for other, rest in plan.waiting_for(ticket):
        known = next((change["set"] for change in delta["change"] if change["ticket"] == other), {})
        _set(delta, other, {**known, "depends_on": rest})
    _rename(delta, titles(plan.amended["features"])[plan.order.index(ticket)], None)
    delta["change"] = [change for change in delta["change"] if change["ticket"] != ticket]
    delta["drop"].append(ticket)


def _take_back(delta: Delta, ticket: str, place: str) -> None:
    if ticket:
        delta["change"] = [change for change in delta["change"] if change["ticket"] != ticket]
        delta["drop"] = [dropped for dropped in delta["drop"] if dropped != ticket]
    elif (index := whole_number(place, most=len(delta["add"]) - 1)) is not None:
        gone = titles([delta["add"].pop(index)])[0]
        _rename(delta, gone, None)


def _set(delta: Delta, ticket: str, values: dict[str, Any]) -> None:
    """Sets the changes of a ticket, replacing earlier ones; {} removes them."""
    others = [change for change in delta["change"] if change["ticket"] != ticket]
    delta["change"] = [*others, {"ticket": ticket, "set": values}] if values else others


def _rename(delta: Delta, before: str, after: str | None) -> None:
    """Renames a feature in the dependencies inside the delta; after None removes these dependencies."""
    for feature in [*delta["add"], *(change["set"] for change in delta["change"])]:
        wanted = feature.get("depends_on")
        if isinstance(wanted, list):
            feature["depends_on"] = [name for name in (after if isinstance(item, str) and key(item) == key(before) else item for item in wanted) if name]


def _differs(before: dict[str, Any], values: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """{property: new value, or None to remove it}: the differences from the feature that is being built."""
    names = titles(plan.card["features"])
    graph, _ = resolve(plan.card["features"], names)
    index = next(place for place, feature in enumerate(plan.card["features"]) if feature is before)
    changed = {name: value if value or name == "title" else None for name, value in values.items()
               if name != "depends_on" and value != _stripped(before.get(name, type(value)()))}
    if sorted(values["depends_on"]) != sorted(names[place] for place in graph[index]):
        changed["depends_on"] = values["depends_on"]
    return {name: value for name, value in changed.items() if value is not None or name in before}


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value
