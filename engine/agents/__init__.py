"""Coding agents: how each is started in a sandbox, and how its events are read.

A script runs by `sh` in the work tree, with what scripts/work.sh gives it: SWARM_PROMPT (a file), SWARM_TOOLS (where make agents' programs
are), SWARM_WORK for what is to stay out of the tree, swarm-ask on PATH, the gateway's variables. RESUME is set where the session of an earlier
run is there again. Neither exit code nor events say that the work is good: checks say that."""
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from engine.agents.aider import AIDER
from engine.agents.base import KINDS, TOOLS, Agent, AgentInstallation
from engine.agents.claude import CLAUDE
from engine.agents.codex import CODEX
from engine.agents.custom import CUSTOM
from engine.agents.gemini import GEMINI
from engine.agents.mini import MINI
from engine.agents.opencode import OPENCODE
from engine.agents.runbook import NO_AGENT, RUNBOOK
from engine.errors import Permanent

if TYPE_CHECKING:  # a run's own process has its job, and no need of settings
    from engine.config import Config

__all__ = ["AGENTS", "FALLBACK", "Agent", "AgentInstallation", "choose_agent", "has_model", "installation", "is_configured", "why_unbuilt"]

AGENTS: dict[str, Agent] = {agent.name: agent for agent in (CLAUDE, CODEX, OPENCODE, GEMINI, AIDER, MINI, CUSTOM, RUNBOOK)}
FALLBACK = RUNBOOK  # works where no other is configured; runs that need no agent (a recheck) are its, too


def installation(config: "Config", own_files: tuple[Path | None, str] | None = None) -> AgentInstallation:
    """What there is for agents on this installation. own_files: of the runtime whose sandboxes they are to work in (see engine/runtimes/base.py)."""
    models = {kind: str(getattr(config, f"{kind}_model")) for kind in KINDS if config.reaches(kind)}
    folder, absent = own_files or (config.agents_folder / TOOLS, "")
    return AgentInstallation(folder, models, config.agent_command, absent)


def choose_agent(config: "Config", wanted: str | None, agents: Mapping[str, Agent] | None = None,
                 own_files: tuple[Path | None, str] | None = None) -> Agent:
    """The agent that a ticket wants, else the installation's setting; 'auto' takes the first that can run, FALLBACK last.
    Raises Permanent for a name that is not there, with the names that are, and for one that cannot run here."""
    table, here = AGENTS if agents is None else agents, installation(config, own_files)
    name = wanted or config.agent
    if name == "auto":
        return next((agent for agent in table.values() if not agent.is_fallback and has_model(agent, here) and agent.available(here) is None), FALLBACK)
    if name not in table:
        raise Permanent(f"The agent {name!r} does not exist. Choose one of: auto, {', '.join(table)}.")
    reason = table[name].available(here)
    if reason:
        raise Permanent(f"The agent {name} cannot run here. {reason}")
    return table[name]


def has_model(agent: Agent, here: AgentInstallation) -> bool:
    """False: it cannot run, whatever is installed. This asks no disk, and every run that starts asks it of every agent."""
    return agent.takes_command or not agent.models or any(kind in here.models for kind in agent.models)


def is_configured(config: "Config") -> bool:
    """Whether an agent that can build works where a card names none."""
    try:
        return not choose_agent(config, None).is_fallback
    except Permanent:
        return False


def why_unbuilt(name: str | None, description: str) -> str | None:
    """Why a run of this agent built nothing of a ticket so described, a sentence; None where it had something to do."""
    agent = AGENTS.get(name or "")
    return NO_AGENT if agent and not agent.has_work(description) else None
