"""What the pages make of tickets: columns by who acts next, progress in counts, evidence for each criterion. Plain data in, plain data out."""
import re
from typing import Any

from hitl.web.filters import number, word

MOST = 60  # cards of a column that are shown at once
QUEUED, RUNNING = ("pending", "blocked", "ready"), ("claimed", "running")
_BAR = (("completed",), ("in_review",), RUNNING, ("needs_input",), ("failed",))  # the order of the progress bar
_WORDS = {"completed": "done", "in_review": "in review", "claimed": "running", "needs_input": "question", "failed": "failed"}
_STEPS = (("Idea", ("draft",)), ("Questions", ("clarifying",)), ("Spec", ("review",)), ("Approved", ("approved",)),
          ("Building", ("building",)), ("Done", ("completed",)))


def steps(state: str, reached: str) -> list[dict[str, Any]]:
    """The stepper. `reached`: the state in which a cancelled or failed session stopped."""
    at = next(place for place, (_, states) in enumerate(_STEPS) if (reached if state in ("cancelled", "failed") else state) in states)
    found = []
    for place, (title, _) in enumerate(_STEPS):
        now, done = place == at and state != "completed", place < at or state == "completed"
        glyph = "done" if done else "queued"
        if now:
            glyph = {"cancelled": "cancelled", "failed": "failed"}.get(state, "review")
        found.append({"title": title, "now": now, "done": done, "glyph": glyph, "ended": now and state in ("cancelled", "failed")})
    return found


def counts(tickets: dict[str, int], what: str = "feature") -> tuple[list[tuple[str, int]], int, str]:
    """From {status: how many}: (parts of the bar, how many count, the same in words). What was cancelled does not count."""
    total = sum(count for status, count in tickets.items() if status != "cancelled")
    bar = [(states[0], sum(tickets.get(status, 0) for status in states)) for states in _BAR]
    waiting = sum(tickets.get(status, 0) for status in QUEUED)
    said = [f"{count} {_WORDS[state]}" for state, count in bar[1:] if count] + ([f"{waiting} queued"] if waiting else [])
    return bar, total, f"{bar[0][1]} of {number(total, what)} done" + "".join(", " + part for part in said)


def columns(found: list[dict[str, Any]], max_attempts: int) -> list[dict[str, Any]]:
    """The presenter's columns, with cards that say what matters about each ticket where it stands."""
    return [{**column, "tickets": [card(ticket, max_attempts) for ticket in column["tickets"]], "most": MOST} for column in found]


def card(ticket: dict[str, Any], max_attempts: int) -> dict[str, Any]:
    """A ticket as its card shows it: what matters of it depends on where it stands."""
    status = ticket["status"]
    facts: list[str] = []
    shown, shown_text, since = status, "", ticket["updated_at"]
    if status in ("pending", "blocked"):
        waiting = ticket.get("waits_for") or []
        facts.append("after " + ", ".join(waiting[:4]) + (f" and {len(waiting) - 4} more" if len(waiting) > 4 else "") if waiting else
                     ticket.get("reason") or "waits for the epic")
        shown, since = "", ""
    elif status == "ready":
        shown, since = "", ""
        facts.append("goes again soon" if ticket.get("not_before") else "waits for a free slot")
    elif status in RUNNING:
        at_merge = ticket.get("run_state") in ("queued", "merging")
        facts.append("" if at_merge else f"attempt {ticket['failures'] + 1} of {max_attempts}")
        shown, since = ticket["run_state"] if at_merge else status, since if at_merge else ticket.get("started_at") or since
    elif status == "failed":
        facts.append(f"attempt {ticket['failures']} of {max_attempts}" if ticket["failures"] else "")
    elif status == "needs_input" and ticket.get("request") in ("isolation", "budget"):
        shown = ticket["request"]
    elif status == "completed":
        shown_text = "Merged" if ticket["type"] != "epic" else "Done"
    return {**ticket, "facts": [fact for fact in facts if fact], "shown": shown, "shown_text": shown_text, "since": since,
            "mine": status in ("needs_input", "failed"), "last": ticket.get("last_line") if shown in RUNNING else ""}


def evidence(criteria: list[Any], checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each criterion with what proves it: the check of the newest run that ran checks, 'unchecked' where there is no command."""
    results = {(check.get("text"), check.get("command")): check for check in checks}
    found = []
    for place, item in enumerate(criteria, 1):
        text, command = (item, "") if isinstance(item, str) else (str(item.get("text", "")), str(item.get("check", "")))
        check = results.get((text, command)) if command else None
        waived = "" if isinstance(item, str) else str(item.get("waived") or "")
        state = "waived" if waived else "unchecked" if not command else "waiting" if check is None else "passed" if check.get("passed") else "failed"
        found.append({"text": text, "command": command if command != text else "", "state": state, "number": place, "waived": waived,
                      "exit": (check or {}).get("exit") if state == "failed" else None,
                      "output": (check or {}).get("output") or "",
                      "seconds": (check or {}).get("seconds")})
    return found


def evidence_text(found: list[dict[str, Any]]) -> str:
    checked = [each for each in found if each["state"] not in ("unchecked", "waived")]
    passed = sum(each["state"] == "passed" for each in checked)
    if not checked:
        return ""
    return f"{passed} of {len(checked)} passed" if any(each["state"] != "waiting" for each in checked) else f"{number(len(checked), 'check')} to run"


def preview(plan: dict[str, Any]) -> tuple[list[dict[str, Any]], list[tuple[str, int]]]:
    """From a normalised card: (a row for each ticket to create, [(criterion that no command checks, its feature's number)])."""
    features = plan["features"]
    layers = _layers([feature["depends_on"] for feature in features])
    ordinals = ("first", "second", "third", "fourth", "fifth", "sixth")
    rows = [{"title": feature["title"], "after": [index + 1 for index in feature["depends_on"]], "criteria": len(feature["acceptance_criteria"]),
             "checks": sum(not isinstance(item, str) for item in feature["acceptance_criteria"]),
             "starts": ordinals[layer] if layer < len(ordinals) else f"in step {layer + 1}"} for feature, layer in zip(features, layers, strict=True)]
    unchecked = [(item, place) for place, feature in enumerate(features, 1) for item in feature["acceptance_criteria"] if isinstance(item, str)]
    return rows, unchecked


def _layers(after: list[list[int]]) -> list[int]:
    """Longest way from a feature that waits for none; the card has no cycle."""
    found: dict[int, int] = {}
    for start in range(len(after)):
        pending = [start]
        while pending:
            here = pending[-1]
            missing = [other for other in after[here] if other not in found]
            if missing:
                pending += missing
            else:
                found[here] = 1 + max((found[other] for other in after[here]), default=-1)
                pending.pop()
    return [found[place] for place in range(len(after))]


def is_news(event: dict[str, Any]) -> bool:
    """Whether a person wants to read of it: not the steps between a ticket's start and its end."""
    if event["kind"] == "ticket":
        return event["from"] is not None and event["to"] not in ("blocked", "ready", "claimed")
    return event["kind"] not in ("card", "message", "question", "run") or event["to"] in ("lost", "conflict", "transient")


def event_text(event: dict[str, Any]) -> str:
    """What an event of the journal says after its subject: 'started', 'is done'."""
    kind, to = event["kind"], event["to"]
    if kind == "ticket":
        return "was created" if event["from"] is None else {
            "ready": "may start", "claimed": "was claimed", "running": "is running", "blocked": "waits", "needs_input": "needs you",
            "in_review": "waits for review", "completed": "is done", "failed": "failed", "cancelled": "was cancelled"}.get(to, to)
    if kind == "run":
        return {"running": "run began", "queued": "waits to be merged", "merging": "is being merged"}.get(to, "run ended: " + word(to).lower())
    if kind == "request":
        return {"open": "asks you", "answered": "was answered", "withdrawn": "asks no more"}.get(to, to)
    if kind == "delivery":
        return {"pushed": "was pushed", "opened": "has a pull request", "delivered": "was delivered", "watched": "is ready for review there",
                "done": "was delivered", "merged": "was merged there", "closed": "was closed there", "dropped": "is not delivered now"}.get(to, to)
    if kind == "amendment":
        return {"proposed": "has an amendment to approve", "approved": "was amended", "discarded": "is not amended"}.get(to, to)
    if kind == "session":
        known = {"building": "is being built", "completed": "is done", "approved": "was approved", "failed": "failed", "cancelled": "was cancelled"}
        return "was created" if event["from"] is None else known.get(to, "is now: " + word(to).lower())
    return "paused" if to == "paused" else "goes on"


def anchor(path: str, place: int) -> str:
    """An id for a file of a diff: readable, and unique by its number."""
    return f"f{place}-" + re.sub(r"[^A-Za-z0-9]+", "-", path)[-40:].strip("-")
