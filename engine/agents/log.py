"""What an agent wrote, read back from the run's log: from the line ::phase agent to the next one."""
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.agents import AGENTS
from engine.agents.base import Agent, AgentReport, Event, by_error
from engine.text import json_from_outside

BEGIN, NEXT = b"::phase agent ", b"::phase "
CUT = 500                # characters that are shown of an event that is not whole
LINE_BYTES = 4_000_000   # a longer line is no event that anybody needs


def event_of(line: bytes | str) -> Event | None:
    """The event that a line of a log is, if it is one."""
    if line[:1] not in (b"{", "{") or len(line) > LINE_BYTES:
        return None
    try:
        value = json_from_outside(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("type"), str) else None


def events(path: Path) -> Iterator[Event]:
    """In order. Lines that are no events are passed over."""
    begun = False
    with open(path, "rb") as file:
        while line := file.readline(LINE_BYTES + 1):
            if line.startswith(NEXT):
                if begun:
                    return
                begun = line.startswith(BEGIN)
            elif begun:
                event = event_of(line)
                if event is not None:
                    yield event


def readable(line: str, agent: str | None) -> list[str]:
    """A line of a log as people read it: what an event of the agent says, in lines, none where it says nothing to them. Anything else as it is."""
    profile = AGENTS.get(agent or "")
    if profile is None or profile.shown is None or not line.startswith("{"):
        return [line]
    event = event_of(line)
    return [line[:CUT]] if event is None else profile.shown(event)


def read(agent: Agent, path: Path) -> AgentReport:
    """All that the events of a run's log said. Never raises for what is in them."""
    report = AgentReport()
    for event in events(path):
        agent.take(report, event)
    return report


def why_failed(agent: Agent, report: AgentReport, code: int) -> str | None:
    """A sentence; None where the events name no failure."""
    return (agent.judge or by_error)(report, code)


def described(report: AgentReport) -> dict[str, Any]:
    """For result.json and the run's row: {session, tokens, message}, what there is of it."""
    found = {"session": report.session, "tokens": report.tokens, "message": report.message}
    return {name: value for name, value in found.items() if value}
