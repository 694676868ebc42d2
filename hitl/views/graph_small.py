"""The dependency graph of a card, small enough to stand beside it: from top to bottom, two nodes in a row."""
from dataclasses import dataclass
from typing import Any

from hitl.views.graph import layers

WIDTH, HEIGHT = 138, 32   # of a node
ACROSS, DOWN = 150, 56    # from node to node
IN_A_ROW, LETTERS = 2, 17


@dataclass
class SmallNode:
    """feature is the dict that was given; text is its number and as much of its title as fits."""

    feature: dict[str, Any]
    x: int
    y: int
    text: str


@dataclass
class SmallGraph:
    """edges: path data, in pixels."""

    width: int
    height: int
    nodes: list[SmallNode]
    edges: list[str]


def small_layout(features: list[dict[str, Any]]) -> SmallGraph:
    """features: as normalise() gives them, with title and depends_on (indexes), in the card's order."""
    known = {str(place): [str(index) for index in feature["depends_on"]] for place, feature in enumerate(features)}
    found = layers(known)
    places: dict[int, tuple[int, int]] = {}
    top = 1
    for layer in range(max(found.values(), default=-1) + 1):
        members = [place for place in range(len(features)) if found[str(place)] == layer]
        for start in range(0, len(members), IN_A_ROW):
            row = members[start:start + IN_A_ROW]
            left = 1 + (IN_A_ROW - len(row)) * ACROSS // 2
            for column, place in enumerate(row):
                places[place] = (left + column * ACROSS, top)
            top += DOWN
    edges = [_curve(places[before], places[place]) for place, feature in enumerate(features) for before in feature["depends_on"]]
    nodes = [SmallNode(feature, *places[place], _text(place + 1, feature["title"])) for place, feature in enumerate(features)]
    return SmallGraph((IN_A_ROW - 1) * ACROSS + WIDTH + 2, max(top - DOWN + HEIGHT + 1, HEIGHT), nodes, edges)


def _text(number: int, title: str) -> str:
    whole = f"{number} {title}"
    return whole if len(whole) <= LETTERS else whole[:LETTERS - 1].rstrip() + "…"


def _curve(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + WIDTH // 2, start[1] + HEIGHT
    x2, y2 = end[0] + WIDTH // 2, end[1] - 1
    bend = (DOWN - HEIGHT) * 2 // 3
    return f"M{x1} {y1}V{y2}" if x1 == x2 and y2 - y1 < DOWN else f"M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"
