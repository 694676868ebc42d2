"""A ticket's history: its runs and its events, newest first."""
from typing import Any

from flask import Blueprint

from engine.tickets.same_question import is_assumed
from hitl.pages.frame import journal_end, render
from hitl.pages.ticket import head, opened, runs_of, ticket_of
from hitl.web.filters import oneline, word

routes = Blueprint("ticket_history", __name__)


@routes.get("/tickets/<ticket_id>/history")
def history(ticket_id: str) -> str:
    journal_end()
    ticket, runs = ticket_of(ticket_id), runs_of(ticket_id)
    return render("ticket/history.html", "session", **head(ticket, opened(ticket, runs)), view="history", runs=runs,
                  events=_story(ticket, runs), error=None)


def _story(ticket: dict[str, Any], runs: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The events of a ticket, from its rows, because the journal is pruned."""
    told = [(ticket["created_at"], "Created")]
    for run in runs:
        name = f"Run {run['run_no']}"
        told.append((run["created_at"], f"{name} was claimed"))
        if run["started_at"]:
            told.append((run["started_at"], f"{name} started" + (f" in {run['runtime']}" if run["runtime"] else "")))
        if run["ended_at"]:
            told.append((run["ended_at"], f"{name} ended: {word(run['shown']).lower()}"))
    words = {"message": "You said", "edited": "You edited it", "waived": "You waived", "stopped": "You stopped it"}
    told += [(steer["created_at"], f"{words[steer['kind']]}: {oneline(steer['body'], 120)}" + (f" ({steer['note']})" if steer["note"] else ""))
             for steer in ticket["steers"]]
    for asked in ticket["requests"]:
        told.append((asked["created_at"], ("Asked: " if asked["kind"] == "question" else "Waits for you: ") + oneline(asked["body"], 120)))
        if asked["answered_at"]:
            answer = f": {oneline(asked['answer'], 120)}" if asked["answer"] else ""
            how = "Assumed, because nobody answered" if is_assumed(asked["answered_by"]) else asked["state"].capitalize()
            told.append((asked["answered_at"], how + answer))
    if ticket["status"] in ("completed", "failed", "cancelled"):
        told.append((ticket["updated_at"], word(ticket["status"])))
    return [{"at": at, "text": text} for at, text in sorted(told, key=lambda item: str(item[0]), reverse=True)]
