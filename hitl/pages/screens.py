"""The pages as functions, but for the session's: each gathers what its template shows and renders it. Routes call them, and so do forms that failed."""
from typing import Any

from flask import render_template, request

from engine.errors import SwarmError
from engine.tickets import evidence
from hitl.card import sample
from hitl.pages import engine_facts, facts, ticket_facts, ticket_used
from hitl.pages.frame import as_problem, journal_end, render
from hitl.views.engine import settings_view
from hitl.views.evidence import as_shown, brief
from hitl.web.context import swarm

TYPED = dict.fromkeys(("kind", "project_name", "description", "markdown", "repository", "review", "spec_card"), "")


def home(new: bool = False, error: SwarmError | None = None, typed: dict[str, str] | None = None) -> str:
    """A first visit explains; later ones list. `typed` is a form that was not accepted."""
    journal_end()
    show = request.args.get("show", "")
    shown, older = facts.sessions(show, request.args.get("after", type=int))
    any_yet = bool(shown or facts.sessions("", None)[0])
    values = {"new": new or not any_yet, "sessions": any_yet, "engine": engine_facts.engine(), "error": as_problem(error),
              "typed": {**TYPED, **(typed or {})}, "problems": facts.card_problems(error)}
    if values["new"]:
        return render("home/home.html", "home", **values, sample_features=len(sample.card()["features"]), installation_facts=engine_facts.installation())
    return render("home/home.html", "home", **values, sessions_shown=shown, older=older, filters=facts.FILTERS, only=show, needs=facts.needs(),
                  latest=facts.latest())


def inbox(error: SwarmError | None = None, kept: str = "", kept_for: int | None = None) -> str:
    journal_end()
    return render("inbox/inbox.html", "inbox", needs=facts.needs(), error=as_problem(error), kept=kept, kept_for=kept_for)


def ticket(ticket_id: str, error: SwarmError | None = None, kept: str = "", said: str = "", edited: dict[str, Any] | None = None) -> str:
    """The ticket and one of its runs (?run=<id>, else the newest). kept, said, edited: what was typed and not accepted. Raises NotFound."""
    journal_end()
    found, runs = ticket_facts.ticket(ticket_id), ticket_facts.runs(ticket_id)
    wanted = request.args.get("run")
    run = ticket_facts.run(ticket_id, wanted) if wanted else (runs[0] if runs else None)
    proofs = evidence.of_ticket(swarm().db, ticket_id)
    return render("ticket/ticket.html", "session", **about(found, run), view="run", runs=runs, error=as_problem(error), kept=kept,
                  request_open=ticket_facts.request_of(found), log=ticket_facts.log(run) if run else None, evidence=[as_shown(proof) for proof in proofs],
                  evidence_text=brief(proofs), waits=ticket_facts.waits(found), max_attempts=swarm().config.max_attempts,
                  facts=ticket_facts.details(found, run), said=said, edited=edited, stoppable=ticket_facts.is_stoppable(found),
                  used=ticket_used.used_by(found, run), late=ticket_used.late(found),
                  asked=ticket_used.asked_of(run, request.args.get("asked", 0, int), request.args.get("only") == "refused") if run else None,
                  editable=found["type"] != "epic" and found["status"] in ("pending", "blocked", "ready", "needs_input", "failed"))


def log_part(ticket_id: str, run_id: str, after: int, line: int) -> str:
    """The log from byte `after` on, whose first line has the number `line`: what tail.js appends."""
    run = ticket_facts.run(ticket_id, run_id)
    return render_template("ticket/log_part.html", run=run, log=ticket_facts.log(run, after, line))


def history(ticket_id: str) -> str:
    journal_end()
    found, runs = ticket_facts.ticket(ticket_id), ticket_facts.runs(ticket_id)
    return render("ticket/history.html", "session", **about(found, runs[0] if runs else None), view="history", runs=runs,
                  events=ticket_facts.story(found, runs), error=None)


def about(found: dict[str, Any], run: dict[str, Any] | None) -> dict[str, Any]:
    """What the head of each of a ticket's pages shows."""
    about = facts.session(found["session_id"])
    closed = found["status"] in ("completed", "cancelled", "failed")
    return {"ticket": found, "session": about, "session_id": found["session_id"], "run": run,
            "retryable": found["status"] == "failed" and about["state"] != "cancelled",
            "droppable": found["type"] != "epic" and not closed}


def engine_page(error: SwarmError | None = None) -> str:
    journal_end()
    return render("engine/engine.html", "engine", engine=engine_facts.engine(), running=engine_facts.raw()["runs"], runtimes=engine_facts.runtimes(),
                  agents=engine_facts.agents(), image=engine_facts.image(), errors=engine_facts.errors(),
                  settings=settings_view(swarm().config), error=as_problem(error))
