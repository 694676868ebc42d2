"""What the application knows about its engine: whether it runs here, its status, and its runtimes and agents."""
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Protocol

from engine.agents import AGENTS, choose_agent, installation
from engine.config import Config
from engine.errors import Permanent
from engine.host.processes import is_held
from engine.jobs import FORMAT, format_of
from engine.runtimes import BEST_FIRST, RUNTIMES, make


class RunningEngine(Protocol):
    """An engine in this process. Any thread may call it."""

    def status(self) -> dict[str, Any]:
        """{id, state, trouble, slots, busy, last_tick_age, tick_ms, uptime, runtime: {name, isolation, limits, passed_over, standing}, errors}; seconds."""


class Slot(Protocol):
    """This process's claim to the engine of its data folder."""

    @property
    def engine(self) -> RunningEngine | None:
        """Set while the engine runs here."""

    def elsewhere(self) -> dict[str, object]:
        """{"pid", "where"} of the process that runs the engine; {} if it has not written them yet."""

    def start(self, where: str) -> bool:
        """True: the engine runs here now. False: another process has it, and this one takes over when the lock is free."""

    def stop(self) -> None:
        """Stops the engine if it runs here, and frees the lock. Live runs continue."""


def where(config: Config, slot: Slot) -> str:
    """'here', 'elsewhere' (another process has the engine of this data folder) or 'off'."""
    if slot.engine is not None:
        return "here"
    return "elsewhere" if is_held(config.data / "engine.lock") else "off"


def shown(config: Config, slot: Slot) -> dict[str, Any]:
    """What a page shows about the engine, runtimes and agents, and why some cannot be used: its status() if it runs here, with `engine`
    (see where), `elsewhere` ({pid, where} of its process), `runtimes` [{name, isolation, isolates, in_use, why_not}], best first, and `agents`
    [{name, description, in_use, why_not, fallback}]."""
    status = {} if slot.engine is None else slot.engine.status()
    runtime = status.get("runtime") or {}
    return {"slots": config.slots, "last_tick_age": None, "errors": [], **status,
            "engine": where(config, slot), "elsewhere": {} if status else slot.elsewhere(),
            "runtimes": _runtimes(runtime), "agents": _agents(config, runtime.get("name", ""))}


def of_another_version(config: Config, runs: Iterable[str]) -> int:
    """Number of these live runs that a program with another format of jobs started. They continue by themselves, and this program takes in their results."""
    count = 0
    for run in runs:
        with suppress(OSError):  # it has no folder yet, so this program started it
            count += format_of(config.data / "runs" / run) != FORMAT
    return count


def agent_names() -> list[str]:
    """All agents that a ticket may name."""
    return list(AGENTS)


def _runtimes(used: dict[str, Any]) -> list[dict[str, Any]]:
    """Runtimes for a page. why_not is known if the engine runs here and did not choose the runtime."""
    passed_over = {each["name"]: each["reason"] for each in used.get("passed_over", ())}
    return [{"name": name, "isolation": runtime.isolation, "isolates": runtime.isolates, "in_use": name == used.get("name"), "why_not": passed_over.get(name)}
            for name, runtime in RUNTIMES.items() if name in BEST_FIRST or name == used.get("name")]


def _agents(config: Config, runtime: str) -> list[dict[str, Any]]:
    own_files = make(runtime, config.vm).own_files(config) if runtime else None
    here = installation(config, own_files)
    try:
        used = choose_agent(config, None, own_files=own_files).name
    except Permanent:
        used = ""
    return [{"name": agent.name, "description": agent.description, "in_use": agent.name == used, "why_not": agent.available(here),
             "fallback": agent.is_fallback}
            for agent in AGENTS.values()]
