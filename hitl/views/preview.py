"""The tickets that an approved card will create."""
from typing import Any

from hitl.views import graph


def preview(plan: dict[str, Any]) -> tuple[list[dict[str, Any]], list[tuple[str, int]]]:
    """From a normalised card: (a row for each ticket to create, [(criterion that no command checks, its feature's number)])."""
    features = plan["features"]
    layers = graph.layers({place: feature["depends_on"] for place, feature in enumerate(features)})
    ordinals = ("first", "second", "third", "fourth", "fifth", "sixth")
    rows = [{"title": feature["title"], "after": [index + 1 for index in feature["depends_on"]], "criteria": len(feature["acceptance_criteria"]),
             "checks": sum(not isinstance(item, str) for item in feature["acceptance_criteria"]),
             "starts": ordinals[layers[place]] if layers[place] < len(ordinals) else f"in step {layers[place] + 1}"}
            for place, feature in enumerate(features)]
    unchecked = [(item, place) for place, feature in enumerate(features, 1) for item in feature["acceptance_criteria"] if isinstance(item, str)]
    return rows, unchecked
