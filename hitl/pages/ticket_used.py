"""What the page of a ticket shows of its models and its network: what was used, and what was asked of the gateway."""
from typing import Any

from engine.jobs import RECORDED
from engine.tickets import usage
from hitl.views import gateway_requests
from hitl.views import usage as used
from hitl.web.context import swarm, tenant


def used_by(found: dict[str, Any], each: dict[str, Any] | None) -> dict[str, Any]:
    """{columns: names, rows: [(name, texts)]} of this run and, where it is not its only one, of the ticket; live runs as far as they are."""
    own, whole = (each["usage"], found["usage"]) if each else (None, found["usage"])
    if each and own is None and each["ended_at"] is None:
        own = usage.of_live(swarm().config.data, each)
        whole = usage.plus({**whole, "money": whole["money"] or 0}, own)
    if whole["runs"] < 2:
        return {"columns": [f"Run {each['run_no']}" if each and own else "Ticket"], "rows": used.table(own or whole)}
    return {"columns": [f"Run {each['run_no']}" if each else "", "All runs"], "rows": used.table(own, whole)}


def asked_of(each: dict[str, Any], after: int, refused: bool) -> dict[str, Any]:
    """What a run asked of its gateway, a page of it: gateway_requests.asked_view, and `more`: whether there may be more than was recorded."""
    found = gateway_requests.asked_view(swarm().db, swarm().config, tenant(), each["ticket_id"], each["id"], max(0, after),
                                        gateway_requests.ROWS, refused)
    more = found["total"] > found["recorded"] or (each["ended_at"] is None and found["total"] >= RECORDED)
    return {**found, "after": after, "only": refused, "more": more}


def late(found: dict[str, Any]) -> int:
    """How many messages came too late for any run to read them."""
    return sum(each["late"] for each in found["steers"])
