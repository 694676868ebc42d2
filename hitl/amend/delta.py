"""A delta to a card that is being built, and the card with the delta applied. Pure functions; proposals.py stores the rows.

    {"add": [feature, …], "change": [{"ticket": "TKT-003", "set": {"title": "…", "agent": null}}, …], "drop": ["TKT-004", …]}"""
import copy
from typing import Any

from engine.errors import BadRequest
from hitl.card import graph as card_graph
from hitl.card.edits import replace_reference, titles_for_numbers

Delta = dict[str, list[Any]]
MOST = 1000  # entries of one delta


def delta_of(body: dict[str, Any], tickets: dict[str, int]) -> Delta:
    """The delta of a request body, checked. tickets: {id of a feature's ticket: its index in the card}. Raises BadRequest that names the problem."""
    unknown = sorted(set(body) - {"add", "change", "drop"})
    if unknown:
        raise BadRequest(f"An amendment has add, change and drop, not {unknown[0]}.")
    delta = {name: body.get(name, []) for name in ("add", "change", "drop")}
    if not all(isinstance(value, list) for value in delta.values()) or not 1 <= sum(map(len, delta.values())) <= MOST:
        raise BadRequest(f"An amendment has lists add, change and drop, with 1 to {MOST} entries together.")
    for each in delta["add"]:
        if not isinstance(each, dict):
            raise BadRequest("add lists features: objects with a title.")
    for each in delta["change"]:
        if not isinstance(each, dict) or set(each) != {"ticket", "set"} or not isinstance(each["set"], dict) or not each["set"]:
            raise BadRequest('change lists objects {"ticket": id, "set": {property: value, or null to remove it}}.')
    touched = [each["ticket"] for each in delta["change"]] + delta["drop"]
    for ticket in touched:
        if not isinstance(ticket, str) or ticket not in tickets:
            raise BadRequest(f"{ticket if isinstance(ticket, str) else 'A ticket in change or drop'} is not the ticket of a feature of this card.")
    if len(set(touched)) != len(touched):
        raise BadRequest("A ticket can be changed or dropped only once.")
    return delta


def touched(delta: Delta) -> list[str]:
    """The ids of the tickets that the delta changes or drops."""
    return [each["ticket"] for each in delta["change"]] + list(delta["drop"])


def amended(card: dict[str, Any], delta: Delta, tickets: dict[str, int]) -> dict[str, Any]:
    """A copy of the card with the delta applied: dropped features are removed and added features come last. The copy may be invalid."""
    card = copy.deepcopy(card)
    if delta["drop"]:
        titles_for_numbers(card)
    features = card["features"]
    for each in delta["change"]:
        feature, values = features[tickets[each["ticket"]]], each["set"]
        before = card_graph.titles([feature])[0]
        if isinstance(values.get("title"), str) and before:
            replace_reference(card, before, [values["title"].strip()])
        feature.update({name: value for name, value in values.items() if value is not None})
        for name in [name for name, value in values.items() if value is None]:
            feature.pop(name, None)
    gone = {tickets[each] for each in delta["drop"]}
    card["features"] = [each for place, each in enumerate(features) if place not in gone] + copy.deepcopy(delta["add"])
    return card


def order(delta: Delta, tickets: dict[str, int]) -> list[str]:
    """The tickets of the amended card's features, in the card's order. Added features have no ticket yet and are left out."""
    return [ticket for ticket in sorted(tickets, key=tickets.__getitem__) if ticket not in delta["drop"]]
