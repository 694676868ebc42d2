"""Unknown keys of a card. They are kept, and each gets a warning with the key that may have been meant."""
from collections.abc import Iterator
from typing import Any

from hitl.card.shape import BUDGET, CRITERION, FEATURE, SCHEMA, list_of
from hitl.card.text import Nearest, Problem, shorten, step


def warnings_of(card: dict[str, Any]) -> list[Problem]:
    """[{path, message}] for every unknown key, with the nearest known key. The card may be invalid."""
    of_card, of_feature, of_criterion = (Nearest(schema["properties"]) for schema in (SCHEMA, FEATURE, CRITERION))
    budget, of_budget = card.get("budget"), BUDGET["properties"]
    found = [*_unknown_keys(card, SCHEMA["properties"], "", of_card),
             *(_unknown_keys(budget, of_budget, "budget", Nearest(of_budget)) if isinstance(budget, dict) else ())]
    for number, feature in enumerate(list_of(card, "features")):
        if not isinstance(feature, dict):
            continue
        found += _unknown_keys(feature, FEATURE["properties"], f"features[{number}]", of_feature)
        for place, item in enumerate(list_of(feature, "acceptance_criteria")):
            if isinstance(item, dict) and item.keys() - CRITERION["properties"].keys():
                found += _unknown_keys(item, CRITERION["properties"], f"features[{number}].acceptance_criteria[{place}]", of_criterion)
    return found


def _unknown_keys(value: dict[str, Any], known: dict[str, Any], path: str, nearest: Nearest) -> Iterator[Problem]:
    for name in value:
        if name not in known:
            meant = nearest.to(name)
            hint = f" Did you mean “{meant}”?" if meant else ""
            yield {"path": step(path, name), "message": f"Unknown key “{shorten(name)}”. It is kept but not used.{hint}"}
