"""Any other agent: a shell command of the operator's, by the setting SWARM_AGENT_COMMAND. Its exit code says whether it gave up."""
from engine.agents.base import Agent, AgentInstallation
from engine.jobs import Job


def _available(here: AgentInstallation) -> str | None:
    return None if here.command else "It has no command. Set SWARM_AGENT_COMMAND."


def _script(job: Job) -> str | None:
    return f"{job.means.command}\n" if job.means.command else None


CUSTOM = Agent(
    name="custom", author="Agent <agent@localhost>", resumes=True, description="The command of SWARM_AGENT_COMMAND, with every model that is configured.",
    available=_available, script=_script, models=("openai", "anthropic", "gemini"), takes_command=True)
