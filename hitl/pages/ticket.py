"""A ticket's page: one of its runs with the log, the criteria with their evidence, and the forms that steer the ticket."""
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from engine.errors import SwarmError
from engine.jobs import RECORDED
from engine.tickets import actions, evidence, usage
from engine.tickets.states import HELD
from hitl.amend import ticket_edit
from hitl.card.form import criteria
from hitl.pages import frame, inbox, ticket_log
from hitl.pages.frame import as_problem, journal_end, render
from hitl.views import gateway_requests
from hitl.views import usage as used
from hitl.views.deliveries import delivery_of, not_taken_up
from hitl.views.evidence import as_shown, brief
from hitl.views.inbox import requests_view
from hitl.views.repositories.grounds import waits_for
from hitl.views.ticket import run_of, runs_view, ticket_view
from hitl.web.context import swarm, tenant
from hitl.web.filters import duration, number, parse, weblink, whole
from hitl.web.forms import attempt, typed_text
from hitl.web.input import number_or
from hitl.web.numbers import whole_number

routes = Blueprint("ticket", __name__)
EDITABLE = ("pending", "blocked", "ready", "needs_input", "failed")
WORKED = ("merged", "in_review", "no_change", "integrated")  # outcomes of runs whose work counts


@routes.get("/tickets/<ticket_id>")
def ticket(ticket_id: str) -> str:
    """?run=<id>: the run to show, by default the one of opened(). ?asked=<n>&only=refused: the start and the kind of the gateway requests to show."""
    return page(ticket_id)


@routes.post("/tickets/<ticket_id>/retry")
def retry(ticket_id: str) -> Response:
    return attempt(lambda: actions.retry(swarm().db, tenant(), ticket_id), f"/tickets/{ticket_id}", lambda error: page(ticket_id, error))


@routes.post("/tickets/<ticket_id>/cancel")
def cancel(ticket_id: str) -> Response:
    without = request.form.get("go_on_without") == "true"
    return attempt(lambda: actions.cancel(swarm().db, tenant(), ticket_id, go_on_without=without), f"/tickets/{ticket_id}",
                   lambda error: page(ticket_id, error))


@routes.post("/tickets/<ticket_id>/<any(message, stop, waive, edit):what>")
def steer(ticket_id: str, what: str) -> Response:
    """Sends a message to the ticket, stops its run, waives a criterion, or changes what the ticket asks for."""
    db = swarm().db
    does: dict[str, Callable[[], Any]] = {
        "message": lambda: actions.tell(db, tenant(), ticket_id, typed_text("text")),
        "stop": lambda: actions.stop(db, tenant(), ticket_id),
        "waive": lambda: actions.waive(db, tenant(), ticket_id, whole_number(typed_text("criterion_number")) or 0, typed_text("reason")),
        "edit": lambda: ticket_edit.edit(db, swarm().config, tenant(), ticket_id, _edited()),
    }
    return attempt(does[what], f"/tickets/{ticket_id}", lambda error: page(ticket_id, error, typed_text("text"), _edited() if what == "edit" else None))


def _edited() -> dict[str, Any]:
    return {"title": typed_text("title"), "description": typed_text("description"), "acceptance_criteria": criteria(request.form, [])}


def page(ticket_id: str, error: SwarmError | None = None, message: str = "", edited: dict[str, Any] | None = None) -> str:
    """message, edited: text that was typed but not accepted. Raises NotFound."""
    journal_end()
    ticket, runs = ticket_of(ticket_id), runs_of(ticket_id)
    wanted = request.args.get("run")
    run = run_of(swarm().db, tenant(), ticket_id, wanted) if wanted else opened(ticket, runs)
    proofs = evidence.of_ticket(swarm().db, ticket_id)
    return render("ticket/ticket.html", "session", **head(ticket, run), view="run", runs=runs, error=as_problem(error), request_open=request_of(ticket),
                  log=ticket_log.piece(run) if run else None, evidence=[as_shown(proof) for proof in proofs], evidence_text=brief(proofs),
                  former=max((proof.former for proof in proofs), default=0), waits=_waits(ticket),
                  max_attempts=swarm().config.max_attempts, facts=_details(ticket, run), message=message, edited=edited,
                  stoppable=ticket["type"] != "epic" and ticket["status"] in HELD, used=_used(ticket, run),
                  late=sum(steer["late"] for steer in ticket["steers"]), asked=_asked_of_gateway(run) if run else None,
                  not_taken_up=not_taken_up(swarm().db, ticket_id),
                  editable=ticket["type"] != "epic" and ticket["status"] in EDITABLE)


def ticket_of(ticket_id: str) -> dict[str, Any]:
    """The ticket. Raises NotFound."""
    return ticket_view(swarm().db, tenant(), ticket_id)


def runs_of(ticket_id: str) -> list[dict[str, Any]]:
    """Newest first, each with `shown` (its outcome, or its state), `length` and `used` in words."""
    return [{**run, "shown": str(run["outcome"] or run["state"]), "length": _length(run), "used": used.brief(run["usage"])}
            for run in runs_view(swarm().db, tenant(), ticket_id)]


def opened(ticket: dict[str, Any], runs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The run that a ticket's page shows: the newest, but for a ticket that is done the newest run that did the work. A run that only merged
    an approved commit, or a recheck of other tickets, has nothing to show."""
    did = (run for run in runs if run["outcome"] in WORKED and run["phases"])
    newest = runs[0] if runs else None
    return next(did, newest) if ticket["status"] == "completed" else newest


def _length(run: dict[str, Any]) -> str:
    began, ended = parse(run["started_at"] or ""), parse(run["ended_at"] or "")
    return duration((ended - began).total_seconds()) if began and ended else ""


def head(ticket: dict[str, Any], run: dict[str, Any] | None) -> dict[str, Any]:
    """The values for the head of each page of a ticket."""
    session = frame.session(ticket["session_id"])
    closed = ticket["status"] in ("completed", "cancelled", "failed")
    return {"ticket": ticket, "session": session, "session_id": ticket["session_id"], "run": run,
            "retryable": ticket["status"] == "failed" and session["state"] != "cancelled",
            "droppable": ticket["type"] != "epic" and not closed}


def request_of(ticket: dict[str, Any]) -> dict[str, Any] | None:
    """The open request of this ticket. A request for isolation or budget counts for the whole session, so it may come from another ticket."""
    asked = next((asked for asked in reversed(requests_view(swarm().db, tenant(), ticket["session_id"])) if asked["ticket_id"] == ticket["id"]), None)
    if asked is None and ticket["status"] == "needs_input":
        asked = next(iter(inbox.requests_of(ticket["session_id"], "isolation", "budget", "provider")), None)
    return inbox.with_forms(asked) if asked else None


def _waits(ticket: dict[str, Any]) -> str:
    """What a ticket without a run waits for, as a sentence."""
    if ticket["status"] in ("blocked", "pending"):
        before, ground = " and ".join(ticket["depends_on"][:4]), waits_for(swarm().db, ticket["session_id"])
        if ground:
            return str(ground["sentence"])
        if not before:
            return "It starts when the epic has prepared the branch."
        return f"It starts when {before} {'are' if ' and ' in before else 'is'} merged."
    if ticket["status"] == "ready":
        return "It waits for a free slot in the engine."
    return "This ticket has never run."


def _details(ticket: dict[str, Any], run: dict[str, Any] | None) -> list[tuple[str, Any, str]]:
    """The details of a ticket: [(name, value, kind)]."""
    shown: list[tuple[str, Any, str]] = []
    if run:
        shown += [("Sandbox", " ".join([run["runtime"] or "–", *_vm(run["vm"])]), ""), ("Agent", run["agent"] or "–", "")]
    elif ticket["agent"]:
        shown.append(("Agent", ticket["agent"], ""))
    if ticket["branch_name"]:
        shown.append(("Branch", ticket["branch_name"], "mono"))
    if ticket["merged_sha"]:
        shown.append(("Merged as", ticket["merged_sha"][:12], "mono"))
    delivery = delivery_of(swarm().db, swarm().config, ticket["id"])
    if delivery:
        shown.append(("Delivery", delivery, "delivery"))
    if ticket["pr_url"]:
        at_forge = weblink(ticket["pr_url"], swarm().config.repository_url) or (delivery and delivery["pr_url"] == ticket["pr_url"])
        shown.append(("Pull request", ticket["pr_url"], "link" if at_forge else "mono"))
    if ticket["parent_id"]:
        shown.append(("Epic", [ticket["parent_id"]], "tickets"))
    if ticket["depends_on"]:
        shown.append(("After", ticket["depends_on"], "tickets"))
    if ticket["dependents"]:
        shown.append(("Before", ticket["dependents"], "tickets"))
    if ticket["not_before"] and ticket["status"] == "ready":
        shown.append(("Not before", ticket["not_before"], "time"))
    return [*shown, ("Created", ticket["created_at"], "time"), ("Changed", ticket["updated_at"], "time")]


def _vm(vm: dict[str, Any]) -> list[str]:
    """The virtual machines of a run that has ended, in words; [] for other runs."""
    if not vm:
        return []
    how, up = "cloned" if vm.get("clone") else "booted", whole(vm.get("boot_ms")) / 1000
    return [f"({vm.get('accelerator')}, {vm.get('memory_mb')} MB, {how} {number(whole(vm.get('boots')) or 1, 'time')}, up in {up:.1f} s)"]


def _used(ticket: dict[str, Any], run: dict[str, Any] | None) -> dict[str, Any]:
    """{columns: names, rows: [(name, texts)]} for this run and, if the ticket has several runs, for all of them. Active runs count so far."""
    own, whole = (run["usage"], ticket["usage"]) if run else (None, ticket["usage"])
    if run and own is None and run["ended_at"] is None:
        own = usage.of_live(swarm().config.data, usage.Live(id=run["id"], session_id=run["session_id"]))
        whole = usage.plus({**whole, "money": whole["money"] or 0}, own)
    if whole["runs"] < 2:
        return {"columns": [f"Run {run['run_no']}" if run and own else "Ticket"], "rows": used.table(own or whole)}
    return {"columns": [f"Run {run['run_no']}" if run else "", "All runs"], "rows": used.table(own, whole)}


def _asked_of_gateway(run: dict[str, Any]) -> dict[str, Any]:
    """A page of the run's gateway requests, see gateway_requests.asked_view. `more`: whether some requests may not be recorded."""
    after, only_refused = number_or("asked", 0), request.args.get("only") == "refused"
    asked = gateway_requests.asked_view(swarm().db, swarm().config, tenant(), run["ticket_id"], run["id"], max(0, after),
                                        gateway_requests.ROWS, only_refused)
    more = asked["total"] > asked["recorded"] or (run["ended_at"] is None and asked["total"] >= RECORDED)
    return {**asked, "after": after, "only": only_refused, "more": more}
