"""The log of a run: pieces of it in steps, for the page of its ticket or its repository and while it grows, and the whole log as plain text."""
import os
import re
from itertools import pairwise
from typing import Any, BinaryIO

from flask import Blueprint, Response, abort, render_template, request, send_file

from engine.agents.log import readable
from engine.jobs import TIMES
from engine.runs import wanted
from hitl.views import log as log_steps
from hitl.views.ticket import log_slice, run_dict, run_of
from hitl.web.context import swarm, tenant
from hitl.web.filters import duration, number
from hitl.web.input import number as query_number

routes = Blueprint("ticket_log", __name__)
SHOWN = 200_000         # bytes of a log that a page shows at first
PIECE = 300_000         # bytes to read at a time
LONGEST_LINE = 50_000


@routes.get("/tickets/<ticket_id>/log")
def next_piece(ticket_id: str) -> str:
    """The next piece of the log, which tail.js appends. ?run=<id>&after=<bytes>&line=<number>: where it starts, and the number of its first line."""
    run = _run(ticket_id)
    return render_template("ticket/log_part.html", run=run, log=piece(run, query_number("after", 0), query_number("line", 1)))


@routes.get("/tickets/<ticket_id>/log.txt")
def raw(ticket_id: str) -> Response:
    """The whole log of a run, unchanged; empty while an active run has not written anything. A browser shows it as plain text."""
    return _whole(_run(ticket_id))


@routes.get("/runs/<run_id>/log")
def next_piece_of_run(run_id: str) -> str:
    """The same, for any run."""
    run = run_dict(wanted.get(swarm().db, tenant(), run_id))
    return render_template("ticket/log_part.html", run=run, log=piece(run, query_number("after", 0), query_number("line", 1)))


@routes.get("/runs/<run_id>/log.txt")
def raw_of_run(run_id: str) -> Response:
    """The same, for any run."""
    return _whole(run_dict(wanted.get(swarm().db, tenant(), run_id)))


def _whole(run: dict[str, Any]) -> Response:
    path = swarm().config.data / "runs" / run["id"] / "log"
    if not path.is_file():
        return Response(b"", content_type="text/plain; charset=utf-8") if run["ended_at"] is None else abort(404)
    return send_file(path, "text/plain; charset=utf-8", max_age=0)


def _run(ticket_id: str) -> dict[str, Any]:
    """The run that the query names. Raises NotFound."""
    run = run_of(swarm().db, tenant(), ticket_id, request.args.get("run", ""))
    assert run is not None
    return run


def piece(run: dict[str, Any], after: int | None = None, line: int = 1) -> dict[str, Any]:
    """A piece of a run's log in steps: {steps, next, line, size, more, skipped}. Without `after` it is the end of the log, at most SHOWN bytes.

    `next` is the byte and `line` is the number of the line where the next piece starts. A piece ends with a whole line. An unfinished last
    line is left for the next piece while the run is active."""
    live, skipped = run["ended_at"] is None, 0
    try:
        with open(swarm().config.data / "runs" / run["id"] / "log", "rb") as file:
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
    steps, line = log_steps.fold(data.decode("utf-8", "replace"), line, run["checks"] or None, run["agent"]) if data else ([], line)
    _open_and_time(steps, live, _times(run["id"]))
    return {"steps": steps, "next": after + len(data), "line": line, "size": size, "more": bool(data) and not at_end, "skipped": skipped}


def _open_and_time(steps: list[log_steps.Step], live: bool, times: dict[int, float]) -> None:
    """Opens the last step of an active run and all steps with errors, or else the longest step. Adds durations and line counts."""
    for step in steps:
        step.open = (live and step is steps[-1]) or any(tone == "is-error" for _, tone, _ in step.lines)
        took = duration(times[step.mark]) if step.mark in times and not step.continues else ""
        step.side = " · ".join(part for part in (took, number(len(step.lines), "line") if step.lines else "no output") if part)
    if steps and not any(step.open for step in steps):
        max(steps, key=lambda step: (step.title.startswith("Agent"), len(step.lines))).open = True


def _times(run_id: str) -> dict[int, float]:
    """{marker line: seconds until the next marker}, for the steps of a run's log that have ended. Key 0: the time until the first marker."""
    try:
        with open(swarm().config.data / "runs" / run_id / TIMES, encoding="ascii") as file:
            marks = [(int(line), float(seconds)) for line, seconds in re.findall(r"^(\d+) (\d+\.\d+)$", file.read(100_000), re.MULTILINE)]
    except FileNotFoundError:
        return {}
    return {line: after - before for (line, before), (_, after) in pairwise([(0, 0.0), *marks])}


def _near_the_end(file: BinaryIO, size: int) -> tuple[int, int]:
    """(the byte where the last lines of a long log start, the number of the first of them)."""
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
    """The last line of an active run's log that is not empty."""
    size = log_slice(swarm().config, run_id, 0, 0)["size"]
    text = log_slice(swarm().config, run_id, max(0, size - 2000), 2000)["text"]
    agent = swarm().db.value("select agent from runs where id = ?", (run_id,))
    lines = (shown for line in reversed(text.split("\n")) if not line.startswith(log_steps.MARK) for shown in reversed(readable(line, agent)))
    return next((line for line in lines if line.strip()), "")
