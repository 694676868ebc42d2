"""The pages as functions: each gathers what its template shows and renders it. Routes call them, and so do forms that failed."""
from typing import Any

from flask import current_app, g, render_template, request

from engine import VERSION, events
from engine.errors import SwarmError
from hitl import boards, engine_facts, facts, graph, sample, ticket_facts, views
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
    """A first visit explains; later ones list. `typed` is a form that was not accepted."""
    journal_end()
    show = request.args.get("show", "")
    shown, older = facts.sessions(show, request.args.get("after", type=int))
    any_yet = bool(shown or facts.sessions("", None)[0])
    values = {"new": new or not any_yet, "sessions": any_yet, "engine": engine_facts.engine(), "error": as_problem(error),
              "typed": {**TYPED, **(typed or {})}, "problems": facts.card_problems(error)}
    if values["new"]:
        return render("home.html", "home", **values, sample_features=len(sample.card()["features"]), installation_facts=engine_facts.installation())
    return render("home.html", "home", **values, sessions_shown=shown, older=older, filters=facts.FILTERS, only=show, needs=facts.needs(),
                  latest=facts.latest())


def inbox(error: SwarmError | None = None, kept: str = "", kept_for: int | None = None) -> str:
    journal_end()
    return render("inbox.html", "inbox", needs=facts.needs(), error=as_problem(error), kept=kept, kept_for=kept_for)


def session(session_id: str, view: str = "board", error: SwarmError | None = None, card_text: str | None = None) -> str:
    """The page of a session, whatever its state. `card_text` is what was typed and not saved. Raises NotFound."""
    journal_end()
    found = facts.session(session_id)
    board = views.board_view(swarm().db, current_tenant(), session_id)
    built = board["epic"] is not None
    values: dict[str, Any] = {"session": found, "session_id": session_id, "base": f"/sessions/{session_id}", "error": as_problem(error), "live": True,
                              "engine": engine_facts.engine(), "view": view, "title_word": facts.state_word(found), "approvable": False,
                              "steps": boards.steps(found["state"], "building" if built else "review" if found["spec_version"] else "draft")}
    if not built or view == "spec":
        card = facts.card(session_id)
        values |= {"card": _readable(card.card), "card_reason": card.reason, "problems": card.problems, "warnings": found["warnings"]}
    if built:
        return _built(session_id, board, values)
    if found["state"] == "approved":
        values["preview"], values["unchecked"] = boards.preview(normalise(card.card)) if card.card else ([], [])
        return render("session_approved.html", "session", **values)
    if found["state"] == "cancelled":
        return render("session_spec.html", "session", **values)
    return _editor(card, card_text, error, values)


def _editor(card: facts.Card, typed: str | None, error: SwarmError | None, values: dict[str, Any]) -> str:
    """The card before its approval, and the form that changes it."""
    found = values["session"]
    values |= {"live": False, "card_text": card.text or facts.starter_card(found) if typed is None else typed,
               "problems": facts.card_problems(error) or card.problems,
               "approvable": found["state"] == "review" and card.card is not None and typed is None,
               "approve_reason": card.reason or "Save the card first."}
    if typed is not None:
        values["approve_reason"] = "What you typed is not saved yet: mend it and save it first."
    return render("session_card.html", "session", **values)


def _readable(card: dict[str, Any] | None) -> dict[str, Any] | None:
    """A valid card with its dependencies in words."""
    if card is None:
        return None
    features = normalise(card)["features"]
    names = [f"{place} {feature['title']}" for place, feature in enumerate(features, 1)]
    shown = [{**feature, "after": [names[index] for index in feature["depends_on"]]} for feature in features[:MOST_FEATURES]]
    return {**card, "features": shown}


def _built(session_id: str, board: dict[str, Any], values: dict[str, Any]) -> str:
    base, config, view, found = values["base"], swarm().config, values["view"], values["session"]
    bar, total, said = boards.counts(board["counts"])
    cards = boards.columns(board["columns"], config.max_attempts)
    for column in cards:
        for card in column["tickets"]:
            card["last"] = ticket_facts.last_line(card["run_id"]) if card["status"] == "running" and card["run_id"] and view == "board" else ""
    mine = sum(len(column["tickets"]) for column in cards if column["mine"] or column["key"] == "in_review")
    values["board"] = {"counts": bar, "total": total, "counts_text": said, "done": board["counts"].get("completed", 0), "epic": board["epic"],
                       "running": sum(board["counts"].get(status, 0) for status in boards.RUNNING), "branch": board["branch"], "needs": mine,
                       "started_at": board["epic"]["created_at"], "columns": cards}
    version = found["spec_version"]
    values["tabs"] = [{"name": "board", "label": "Board", "href": base}, {"name": "graph", "label": "Graph", "href": base + "/graph"},
                      {"name": "spec", "label": f"Spec v{version}" if version else "Spec", "href": base + "/spec"},
                      {"name": "notes", "label": "Notes", "href": base + "/notes"}]
    if view == "board":
        values["result"] = facts.result(found)
        values["isolation"] = [each for each in facts.requests_of(session_id) if each["kind"] in ("isolation", "budget")]
    if view == "graph":
        features = [card for column in cards for card in column["tickets"] if card["type"] != "epic"]
        values["graph"] = graph.layout(sorted(features, key=lambda card: card["seq"]))
    if view == "notes":
        values["notes"] = views.notes_markdown(swarm().db, current_tenant(), session_id)
    return render(f"session_{view}.html", "session", **values)


def ticket(ticket_id: str, error: SwarmError | None = None, kept: str = "") -> str:
    """The ticket and one of its runs (?run=<id>, else the newest). Raises NotFound."""
    journal_end()
    found, runs = ticket_facts.ticket(ticket_id), ticket_facts.runs(ticket_id)
    wanted = request.args.get("run")
    run = ticket_facts.run(ticket_id, wanted) if wanted else (runs[0] if runs else None)
    evidence = boards.evidence(found["acceptance_criteria"], next((each["checks"] for each in runs if each["checks"]), []))
    return render("ticket.html", "session", **_about(found, run), view="run", runs=runs, error=as_problem(error), kept=kept,
                  request_open=ticket_facts.request_of(found), log=ticket_facts.log(run) if run else None, evidence=evidence,
                  evidence_text=boards.evidence_text(evidence), waits=ticket_facts.waits(found), max_attempts=swarm().config.max_attempts,
                  facts=ticket_facts.details(found, run))


def log_part(ticket_id: str, run_id: str, after: int, line: int) -> str:
    """The log from byte `after` on, whose first line has the number `line`: what tail.js appends."""
    run = ticket_facts.run(ticket_id, run_id)
    return render_template("log_part.html", run=run, log=ticket_facts.log(run, after, line))


def changes(ticket_id: str, error: SwarmError | None = None, kept: str = "") -> str:
    journal_end()
    found, runs = ticket_facts.ticket(ticket_id), ticket_facts.runs(ticket_id)
    files, what, nothing = ticket_facts.diff(ticket_id)
    asked = ticket_facts.request_of(found)
    return render("changes.html", "session", **_about(found, runs[0] if runs else None), view="changes", files=files,
                  folders=ticket_facts.folders(files), what=what, nothing=nothing,
                  review=asked if asked and asked["kind"] == "review" else None, error=as_problem(error), kept=kept)


def history(ticket_id: str) -> str:
    journal_end()
    found, runs = ticket_facts.ticket(ticket_id), ticket_facts.runs(ticket_id)
    return render("history.html", "session", **_about(found, runs[0] if runs else None), view="history", runs=runs,
                  events=ticket_facts.story(found, runs), error=None)


def _about(found: dict[str, Any], run: dict[str, Any] | None) -> dict[str, Any]:
    """What the head of each of a ticket's pages shows."""
    about = facts.session(found["session_id"])
    closed = found["status"] in ("completed", "cancelled", "failed")
    return {"ticket": found, "session": about, "session_id": found["session_id"], "run": run,
            "retryable": found["status"] == "failed" and about["state"] != "cancelled",
            "droppable": found["type"] != "epic" and not closed}


def engine_page(error: SwarmError | None = None) -> str:
    journal_end()
    view = engine_facts.raw()
    return render("engine.html", "engine", engine=engine_facts.engine(), running=view["runs"], runtimes=engine_facts.runtimes(),
                  agents=engine_facts.agents(), image=engine_facts.image(), errors=engine_facts.errors(), settings=view["settings"], error=as_problem(error))
