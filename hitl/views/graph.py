"""The dependency graph as positions and lines for an inline SVG. The graph of tickets has layers from left to right: each ticket is to the
right of the tickets that it waits for. The graph of a card's features goes from top to bottom with two nodes in a row, so it fits next to the card."""
from dataclasses import dataclass
from typing import Any, TypeVar

Name = TypeVar("Name", str, int)
WIDTH, HEIGHT = 232, 64        # of a node
ACROSS, DOWN = 320, 84         # from node to node
LINE = 30                      # characters that fit into a node
SMALL_WIDTH, SMALL_HEIGHT = 138, 32
SMALL_ACROSS, SMALL_DOWN = 150, 56
IN_A_ROW, LETTERS = 2, 17      # nodes, and characters of a node, of the small one


@dataclass
class Node:
    """ticket: the dict that was given; lines: its title in at most two lines."""

    ticket: dict[str, Any]
    layer: int
    x: int
    y: int
    lines: list[str]


@dataclass
class Graph:
    """edges: [(path data in pixels, whether the ticket at its start has failed or was cancelled)]."""

    width: int
    height: int
    nodes: list[Node]
    edges: list[tuple[str, bool]]


@dataclass
class SmallNode:
    """feature: the dict that was given; text: its number and the part of its title that fits."""

    feature: dict[str, Any]
    x: int
    y: int
    text: str


@dataclass
class SmallGraph:
    """edges: path data in pixels."""

    width: int
    height: int
    nodes: list[SmallNode]
    edges: list[str]


def layout(tickets: list[dict[str, Any]]) -> Graph:
    """tickets: dicts with id, title, status and depends_on (ids; ids of other tickets are ignored)."""
    known = {ticket["id"]: ticket for ticket in tickets}
    after = {ticket["id"]: [name for name in ticket["depends_on"] if name in known] for ticket in tickets}
    found = layers(after)
    nodes: dict[str, Node] = {}
    for layer in range(max(found.values(), default=-1) + 1):
        members = [name for name in known if found[name] == layer]
        if layer:
            members.sort(key=lambda name: _middle([nodes[before].y for before in after[name] if before in nodes]))
        for row, name in enumerate(members):
            nodes[name] = Node(known[name], layer, 2 + layer * ACROSS, 2 + row * DOWN, wrap(known[name]["title"]))
    edges = [(_curve(nodes[before], nodes[name]), known[before]["status"] in ("failed", "cancelled")) for name in known for before in after[name]]
    return Graph(width=max((node.x for node in nodes.values()), default=0) + WIDTH + 2,
                 height=max((node.y for node in nodes.values()), default=0) + HEIGHT + 2,
                 nodes=list(nodes.values()), edges=edges)


def layers(after: dict[Name, list[Name]]) -> dict[Name, int]:
    """{name: number of steps before it}. Rows edited by hand may contain a cycle; the names in a cycle go into the last layer."""
    left = {name: len(before) for name, before in after.items()}
    followers: dict[Name, list[Name]] = {name: [] for name in after}
    for name, before in after.items():
        for other in before:
            followers[other].append(name)
    found: dict[Name, int] = {}
    layer, free = 0, [name for name, count in left.items() if not count]
    while free:
        found.update(dict.fromkeys(free, layer))
        following = []
        for name in (follower for done in free for follower in followers[done]):
            left[name] -= 1
            if not left[name]:
                following.append(name)
        layer, free = layer + 1, following
    return {name: found.get(name, layer) for name in after}


def _middle(values: list[int]) -> float:
    return sum(values) / len(values) if values else 0.0


def _curve(start: Node, end: Node) -> str:
    x1, y1 = start.x + WIDTH, start.y + HEIGHT // 2
    x2, y2 = end.x - 1, end.y + HEIGHT // 2
    if y1 == y2 and end.layer - start.layer == 1:
        return f"M{x1} {y1}H{x2}"
    bend = (ACROSS - WIDTH) // 2
    if end.layer - start.layer > 1:  # pass below the nodes between, not through them
        low = max(y1, y2) + HEIGHT // 2 + 10
        return f"M{x1} {y1}C{x1 + bend} {y1} {x1 + bend} {low} {x1 + 2 * bend} {low}H{x2 - 2 * bend}C{x2 - bend} {low} {x2 - bend} {y2} {x2} {y2}"
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"


def wrap(title: str, width: int = LINE) -> list[str]:
    """The title in at most two lines of at most `width` characters. An ellipsis marks a cut."""
    lines = [""]
    for word in title.split():
        candidate = f"{lines[-1]} {word}".strip()
        if len(candidate) <= width or not lines[-1]:
            lines[-1] = candidate
        else:
            lines.append(word)
    shown = [text if len(text) <= width else text[:width - 1] + "…" for text in lines[:2]]
    if len(lines) > 2 and not shown[1].endswith("…"):
        shown[1] = (shown[1] if len(shown[1]) <= width - 2 else shown[1][:width - 2].rpartition(" ")[0] or shown[1][:width - 2]) + " …"
    return shown


def small_layout(features: list[dict[str, Any]]) -> SmallGraph:
    """The small graph. features: as normalise() returns them, with title and depends_on (indexes), in the card's order."""
    found = layers({place: feature["depends_on"] for place, feature in enumerate(features)})
    places: dict[int, tuple[int, int]] = {}
    top = 1
    for layer in range(max(found.values(), default=-1) + 1):
        members = [place for place in range(len(features)) if found[place] == layer]
        for start in range(0, len(members), IN_A_ROW):
            row = members[start:start + IN_A_ROW]
            left = 1 + (IN_A_ROW - len(row)) * SMALL_ACROSS // 2
            for column, place in enumerate(row):
                places[place] = (left + column * SMALL_ACROSS, top)
            top += SMALL_DOWN
    edges = [_small_curve(places[before], places[place]) for place, feature in enumerate(features) for before in feature["depends_on"]]
    nodes = [SmallNode(feature, *places[place], _text(place + 1, feature["title"])) for place, feature in enumerate(features)]
    return SmallGraph((IN_A_ROW - 1) * SMALL_ACROSS + SMALL_WIDTH + 2, max(top - SMALL_DOWN + SMALL_HEIGHT + 1, SMALL_HEIGHT), nodes, edges)


def _text(number: int, title: str) -> str:
    whole = f"{number} {title}"
    return whole if len(whole) <= LETTERS else whole[:LETTERS - 1].rstrip() + "…"


def _small_curve(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + SMALL_WIDTH // 2, start[1] + SMALL_HEIGHT
    x2, y2 = end[0] + SMALL_WIDTH // 2, end[1] - 1
    bend = (SMALL_DOWN - SMALL_HEIGHT) * 2 // 3
    return f"M{x1} {y1}V{y2}" if x1 == x2 and y2 - y1 < SMALL_DOWN else f"M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"
