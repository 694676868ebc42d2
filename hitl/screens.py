"""The pages as functions: each gathers what its template shows and renders it. Routes call them, and so do forms that failed."""
from typing import Any

from flask import current_app, g, render_template, request

from engine import VERSION, events
from engine.errors import InvalidCard, NotFound, SwarmError
from hitl import boards, facts, formats, graph, sample
from hitl.guard import current_tenant
from hitl.spec_card import normalise

MOST_FEATURES = 300  # of a card that one page shows
TYPED = {"project_name": "", "description": "", "repository": "", "spec_card": ""}


def swarm() -> Any:
    """app.Swarm: config, db, changes, engine."""
    return current_app.extensions["swarm"]


def render(template: str, place: str, **values: Any) -> str:
    """With what every page shows. The journal's end is read first: a change after it is told by the socket."""
    return render_template(template, place=place, version=VERSION, theme=request.cookies.get("theme", "system"), seq=journal_end(),
                           shortcuts=request.cookies.get("shortcuts", "on"), waiting=facts.waiting(), here=here(), **values)


def journal_end() -> int:
    if "seq" not in g:
        g.seq = events.bounds(swarm().db)[1]
    return int(g.seq)


def here() -> str:
    return request.full_path.rstrip("?") if request.method == "GET" else request.path


def as_problem(error: SwarmError | None) -> dict[str, Any] | None:
    """For the macro `problem`."""
    if error is None:
        return None
    hint = {409: "Nothing was changed. The page shows how things stand now.", 422: "Nothing was saved. What you typed is kept below."}
    return {"error": error.sentence, "means": hint.get(error.status, "Nothing was changed.")}


def home(new: bool = False, error: SwarmError | None = None, typed: dict[str, str] | None = None) -> str:
    journal_end()
    show = request.args.get("show", "")
    shown, filters, older = facts.sessions(show, request.args.get("after", type=int))
    details = error.extra.get("details") if error else None
    return render("home.html", "home", new=new, sessions=filters[0][2], sessions_shown=shown, total=filters[0][2], filters=filters, only=show,
                  older=older, needs=facts.needs(), engine=facts.engine(), latest=facts.latest(), typed={**TYPED, **(typed or {})},
                  error=as_problem(error), problems=details, sample_features=len(sample.card()["features"]), installation_facts=facts.installation())


def inbox(error: SwarmError | None = None, kept: str = "", kept_for: int | None = None) -> str:
    journal_end()
    return render("inbox.html", "inbox", needs=facts.needs(), answered=facts.answered(), error=as_problem(error), kept=kept, kept_for=kept_for)


def session(session_id: str, view: str = "board", error: SwarmError | None = None, card_text: str | None = None) -> str:
    """The page of a session, whatever its state. `card_text` is what was typed and not saved. Raises NotFound."""
    journal_end()
    found = facts.session(session_id)
    card = facts.card(session_id)
    values: dict[str, Any] = {"session": found, "session_id": session_id, "base": f"/sessions/{session_id}", "error": as_problem(error),
                              "engine": facts.engine(), "live": True, "view": view, "title_word": formats.word(found["state"]).lower(),
                              "card_reason": card.reason, "problems": card.problems, "warnings": card.warnings, "card": _readable(card.card)}
    tickets = facts.tickets(session_id)
    values["steps"] = boards.steps(found["state"], "building" if tickets else "review" if found["spec_version"] else "draft")
    if tickets:
        return _built(session_id, view, tickets, values)
    if found["state"] == "approved":
        values["preview"], values["unchecked"] = boards.preview(normalise(card.card)) if card.card else ([], [])
        return render("session_approved.html", "session", **values)
    if found["state"] == "cancelled":
        return render("session_spec.html", "session", **values)
    failed = card_text is not None
    details = error.extra.get("details") if isinstance(error, InvalidCard) else None
    values |= {"live": False, "card_text": card_text if failed else card.text or facts.starter_card(found),
               "problems": details or card.problems, "approvable": found["state"] == "review" and card.card is not None and not failed,
               "approve_reason": "Save the card below first: what you typed is not valid yet." if failed else card.reason or "Save the card first."}
    return render("session_card.html", "session", **values)


def _readable(card: dict[str, Any] | None) -> dict[str, Any] | None:
    """A valid card with its dependencies in words."""
    if card is None:
        return None
    features = normalise(card)["features"]
    shown = [{**feature, "after": [f"{index + 1} {features[index]['title']}" for index in feature["depends_on"]]} for feature in features[:MOST_FEATURES]]
    return {**card, "features": shown}


def _built(session_id: str, view: str, tickets: list[dict[str, Any]], values: dict[str, Any]) -> str:
    base, config = values["base"], swarm().config
    features = [ticket for ticket in tickets if ticket["type"] != "epic"]
    epic = next((ticket for ticket in tickets if ticket["type"] == "epic"), None)
    by_status: dict[str, int] = {}
    for ticket in features:
        by_status[ticket["status"]] = by_status.get(ticket["status"], 0) + 1
    bar, total, said = boards.counts(by_status)
    values["board"] = {"counts": bar, "total": total, "counts_text": said, "done": by_status.get("completed", 0), "epic": epic,
                       "running": sum(by_status.get(status, 0) for status in boards.RUNNING), "branch": epic and epic["branch_name"],
                       "needs": sum(ticket["status"] in ("failed", "needs_input") for ticket in tickets), "started_at": tickets[0]["created_at"],
                       "evidence": facts.evidence_line(session_id), "columns": boards.columns(tickets, config.max_attempts) if view == "board" else []}
    version = values["session"]["spec_version"]
    values["tabs"] = [{"name": "board", "label": "Board", "href": base}, {"name": "graph", "label": "Graph", "href": base + "/graph"},
                      {"name": "spec", "label": f"Spec v{version}" if version else "Spec", "href": base + "/spec"},
                      {"name": "notes", "label": "Notes", "href": base + "/notes"}]
    values["result"] = facts.result(session_id, epic, features) if view == "board" else None
    values["isolation"] = [each for each in facts.requests(session_id) if each["kind"] == "isolation"]
    if view == "graph":
        values["graph"] = graph.layout(features)
    if view == "notes":
        values["notes"] = facts.notes(session_id)
    return render(f"session_{view}.html", "session", **values)


def ticket(ticket_id: str, error: SwarmError | None = None, kept: str = "") -> str:
    """The ticket and one of its runs (?run=<id>, else the newest). Raises NotFound."""
    journal_end()
    found, runs = facts.ticket(ticket_id), facts.runs(ticket_id)
    wanted = request.args.get("run")
    run = next((each for each in runs if each["id"] == wanted), None) if wanted else (runs[0] if runs else None)
    if wanted and run is None:
        raise NotFound(f"{ticket_id} has no run {wanted[:64]}.")
    evidence = boards.evidence(found["acceptance_criteria"], next((each["checks"] for each in runs if each["checks"]), []), found["status"])
    return render("ticket.html", "session", **_about(found), view="run", run=run, runs=runs, error=as_problem(error), kept=kept,
                  request_open=facts.request_of(ticket_id), log=facts.log(run, 0, 1) if run else None, evidence=evidence,
                  evidence_text=boards.evidence_text(evidence), waits=facts.waits(found), max_attempts=swarm().config.max_attempts,
                  facts=facts.details(found, run))


def log_part(ticket_id: str, run_id: str, after: int, line: int) -> str:
    """The log from byte `after` on, whose first line has the number `line`: what tail.js appends."""
    run = facts.run(ticket_id, run_id)
    return render_template("log_part.html", run=run, log=facts.log(run, after, line, piece=True))


def changes(ticket_id: str) -> str:
    found = facts.ticket(ticket_id)
    files, what, nothing = facts.diff(found)
    return render("changes.html", "session", **_about(found), view="changes", run=_newest(ticket_id), files=files, what=what, nothing=nothing, error=None)


def history(ticket_id: str) -> str:
    journal_end()
    found, runs = facts.ticket(ticket_id), facts.runs(ticket_id)
    return render("history.html", "session", **_about(found), view="history", run=runs[0] if runs else None, runs=runs,
                  events=facts.events_of(found), error=None)


def _newest(ticket_id: str) -> dict[str, Any] | None:
    return next(iter(facts.runs(ticket_id)), None)


def _about(found: dict[str, Any]) -> dict[str, Any]:
    """What the head of each of a ticket's pages shows."""
    about = facts.session(found["session_id"])
    closed = found["status"] in ("completed", "cancelled", "failed")
    return {"ticket": found, "session": about, "session_id": found["session_id"],
            "retryable": found["status"] == "failed" and about["state"] != "cancelled",
            "droppable": found["type"] != "epic" and not closed}


def engine_page(error: SwarmError | None = None) -> str:
    journal_end()
    return render("engine.html", "engine", engine=facts.engine(), running=facts.running(), runtimes=facts.runtimes(), agents=facts.agents(),
                  errors=facts.errors(), settings=swarm().config.described(), error=as_problem(error))
