"""The dependency graph as places and lines for an inline SVG. Layers go left to right: a ticket stands right of all that it waits for."""
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 232, 64        # of a node
ACROSS, DOWN = 320, 84         # from node to node
LINE = 30                      # characters that fit into a node


@dataclass
class Node:
    """ticket is the dict that was given; lines is its title, in at most two lines."""

    ticket: dict[str, Any]
    layer: int
    x: int
    y: int
    lines: list[str]


@dataclass
class Graph:
    """edges: [(path data, whether what is waited for has failed)], in pixels."""

    width: int
    height: int
    nodes: list[Node]
    edges: list[tuple[str, bool]]


def layout(tickets: list[dict[str, Any]]) -> Graph:
    """tickets: dicts with id, title, status and depends_on (ids; those that are not among the tickets are left out)."""
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


def layers(after: dict[str, list[str]]) -> dict[str, int]:
    """How many steps come before each. Rows edited by hand may hold a cycle: what stands in one goes into the last layer."""
    found: dict[str, int] = {}
    rest = dict(after)
    while rest:
        free = [name for name, before in rest.items() if all(other in found for other in before)]
        if not free:
            last = max(found.values(), default=-1) + 1
            return {**found, **dict.fromkeys(rest, last)}
        for name in free:
            found[name] = max((found[other] for other in rest[name]), default=-1) + 1
        for name in free:
            del rest[name]
    return found


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
    """At most two lines of at most `width` characters; a cut is shown by an ellipsis."""
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
