"""What the pages of a ticket show, from the presenter's dicts."""
import os
import re
from itertools import pairwise
from typing import Any, BinaryIO

from engine.agents.log import readable
from engine.jobs import TIMES
from engine.tickets.states import HELD
from hitl.pages import facts
from hitl.views import log as log_steps
from hitl.views import usage as used
from hitl.views.deliveries import delivery_line
from hitl.views.ticket import log_slice, run_of, runs_view, ticket_view
from hitl.web import filters as formats
from hitl.web.context import swarm, tenant

SHOWN = 200_000         # bytes of a log that a page begins with
PIECE = 300_000         # bytes that are read at a time
LONGEST_LINE = 50_000


def ticket(ticket_id: str) -> dict[str, Any]:
    """Raises NotFound."""
    return ticket_view(swarm().db, tenant(), ticket_id)


def runs(ticket_id: str) -> list[dict[str, Any]]:
    """Newest first, each with `shown` (its outcome, or its state), `length` and `used` in words."""
    return [{**each, "shown": _shown(each), "length": length(each), "used": used.brief(each["usage"])}
            for each in runs_view(swarm().db, tenant(), ticket_id)]


def run(ticket_id: str, run_id: str) -> dict[str, Any]:
    """Raises NotFound."""
    found = run_of(swarm().db, tenant(), ticket_id, run_id)
    assert found is not None
    return found


def _shown(each: dict[str, Any]) -> str:
    return str(each["outcome"] or each["state"])


def length(each: dict[str, Any]) -> str:
    began, ended = formats.parse(each["started_at"] or ""), formats.parse(each["ended_at"] or "")
    return formats.duration((ended - began).total_seconds()) if began and ended else ""


def request_of(found: dict[str, Any]) -> dict[str, Any] | None:
    """What waits for a person here. A request for isolation or budget serves the whole session, whichever ticket it came from."""
    own = next((each for each in reversed(found["requests"]) if each["state"] == "open"), None)
    if own is None and found["status"] == "needs_input":
        own = next(iter(facts.requests_of(found["session_id"], "isolation", "budget")), None)
    return facts.request(own) if own else None


def log(each: dict[str, Any], after: int | None = None, line: int = 1) -> dict[str, Any]:
    """A piece of a run's log in steps: {steps, next, line, size, more, skipped}. Without `after`: its end, at most SHOWN bytes.

    `next` is the byte and `line` the number of the line to go on with. Pieces end with a line, so that the next begins with one:
    an unfinished last line is left for later while the run lives."""
    live, skipped = each["ended_at"] is None, 0
    try:
        with open(swarm().config.data / "runs" / each["id"] / "log", "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if after is None:
                after, line = _near_the_end(file, size)
                skipped = after
            file.seek(min(after, size))
            data = file.read(PIECE)
    except FileNotFoundError:
        return {"steps": [], "next": 0, "line": 1, "size": 0, "more": False, "skipped": 0}
    at_end = after + len(data) >= size
    if (live or not at_end) and (b"\n" in data or len(data) < LONGEST_LINE):
        data = data[:data.rfind(b"\n") + 1]
    steps, line = log_steps.fold(data.decode("utf-8", "replace"), line, each["checks"] or None, each["agent"]) if data else ([], line)
    times = _times(each["id"])
    for step in steps:
        step.open = (live and step is steps[-1]) or any(tone == "is-error" for _, tone, _ in step.lines)
        took = formats.duration(times[step.mark]) if step.mark in times and not step.continues else ""
        step.side = " · ".join(part for part in (took, formats.number(len(step.lines), "line") if step.lines else "no output") if part)
    if steps and not any(step.open for step in steps):
        max(steps, key=lambda step: (step.title.startswith("Agent"), len(step.lines))).open = True
    return {"steps": steps, "next": after + len(data), "line": line, "size": size, "more": bool(data) and not at_end, "skipped": skipped}


def _times(run_id: str) -> dict[int, float]:
    """{marker line: seconds until what came after it}, of the steps of a run's log that have ended; 0: until the first."""
    try:
        with open(swarm().config.data / "runs" / run_id / TIMES, encoding="ascii") as file:
            found = [(int(line), float(seconds)) for line, seconds in re.findall(r"^(\d+) (\d+\.\d+)$", file.read(100_000), re.MULTILINE)]
    except FileNotFoundError:
        return {}
    return {line: after - before for (line, before), (_, after) in pairwise([(0, 0.0), *found])}


def _near_the_end(file: BinaryIO, size: int) -> tuple[int, int]:
    """(where the last lines of a long log begin, the number of the first of them)."""
    line, at = 1, 0
    while size - at > SHOWN:
        data = file.read(min(1 << 20, size - SHOWN - at))
        if not data:
            break
        line, at = line + data.count(b"\n"), at + len(data)
    if at:
        rest = file.readline(LONGEST_LINE)
        line, at = line + 1, at + len(rest)
    return at, line


def last_line(run_id: str) -> str:
    """The last line with words in it of a live run's log."""
    size = log_slice(swarm().config, run_id, 0, 0)["size"]
    text = log_slice(swarm().config, run_id, max(0, size - 2000), 2000)["text"]
    agent = swarm().db.value("select agent from runs where id = ?", (run_id,))
    lines = (shown for each in reversed(text.split("\n")) if not each.startswith(log_steps.MARK) for shown in reversed(readable(each, agent)))
    return next((each for each in lines if each.strip()), "")


def waits(found: dict[str, Any]) -> str:
    if found["status"] in ("blocked", "pending"):
        before = " and ".join(found["depends_on"][:4])
        if not before:
            return "It starts when the epic has prepared the branch."
        return f"It starts when {before} {'are' if ' and ' in before else 'is'} merged."
    if found["status"] == "ready":
        return "It waits for a free slot of the engine."
    return "Nothing was run for this ticket."


def is_stoppable(found: dict[str, Any]) -> bool:
    return found["type"] != "epic" and found["status"] in HELD


def vm(each: dict[str, Any]) -> list[str]:
    """Of a run in virtual machines, once it has ended: what they were."""
    of = each["vm"]
    if not of:
        return []
    how = "cloned" if of.get("clone") else "booted"
    times, up = formats.number(of.get("boots", 1), "time"), of.get("boot_ms", 0) / 1000
    return [f"({of.get('accelerator')}, {of.get('memory_mb')} MB, {how} {times}, up in {up:.1f} s)"]


def details(found: dict[str, Any], each: dict[str, Any] | None) -> list[tuple[str, Any, str]]:
    """The facts beside a ticket: [(name, value, kind)]."""
    shown: list[tuple[str, Any, str]] = []
    if each:
        shown += [("Sandbox", " ".join([each["runtime"] or "–", *vm(each)]), ""), ("Agent", each["agent"] or "–", "")]
    elif found["agent"]:
        shown.append(("Agent", found["agent"], ""))
    if found["branch_name"]:
        shown.append(("Branch", found["branch_name"], "mono"))
    if found["merged_sha"]:
        shown.append(("Merged as", found["merged_sha"][:12], "mono"))
    delivered = delivery_line(swarm().db, found["id"])
    if delivered:
        shown.append(("Delivery", delivered, "mono"))
    if found["pr_url"]:
        link = formats.weblink(found["pr_url"], swarm().config.repository_url)
        shown.append(("Pull request", found["pr_url"], "link" if link else "mono"))
    if found["parent_id"]:
        shown.append(("Epic", [found["parent_id"]], "tickets"))
    if found["depends_on"]:
        shown.append(("After", found["depends_on"], "tickets"))
    if found["dependents"]:
        shown.append(("Holds up", found["dependents"], "tickets"))
    if found["not_before"] and found["status"] == "ready":
        shown.append(("Not before", found["not_before"], "time"))
    return [*shown, ("Created", found["created_at"], "time"), ("Changed", found["updated_at"], "time")]


def story(found: dict[str, Any], its_runs: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What happened to a ticket, newest first, told from its rows: the journal is pruned."""
    told = [(found["created_at"], "Created")]
    for each in its_runs:
        name = f"Run {each['run_no']}"
        told.append((each["created_at"], f"{name} was claimed"))
        if each["started_at"]:
            told.append((each["started_at"], f"{name} began" + (f" in {each['runtime']}" if each["runtime"] else "")))
        if each["ended_at"]:
            told.append((each["ended_at"], f"{name} ended: {formats.word(each['shown']).lower()}"))
    words = {"message": "You said", "edited": "You edited it", "waived": "You waived", "stopped": "You stopped it"}
    told += [(each["created_at"], f"{words[each['kind']]}: {formats.oneline(each['body'], 120)}" +
              (f" ({each['note']})" if each["note"] else "")) for each in found["steers"]]
    for each in found["requests"]:
        told.append((each["created_at"], ("Asked: " if each["kind"] == "question" else "Waits for you: ") + formats.oneline(each["body"], 120)))
        if each["answered_at"]:
            said = f": {formats.oneline(each['answer'], 120)}" if each["answer"] else ""
            told.append((each["answered_at"], each["state"].capitalize() + said))
    if found["status"] in ("completed", "failed", "cancelled"):
        told.append((found["updated_at"], formats.word(found["status"])))
    return [{"at": at, "text": text} for at, text in sorted(told, key=lambda item: str(item[0]), reverse=True)]
