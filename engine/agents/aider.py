"""aider: edits as text, commits by itself, writes no events. It exits with 0 whatever happened, so its commit, the gateway and the checks judge it."""
from engine.agents.base import Agent, installed, program
from engine.jobs import Job
from engine.text import quoted

_LEAVES = ".aider*"  # in the work tree, which is not for the repository


def _script(job: Job) -> str:
    return f"""export OPENAI_API_KEY="$SWARM_GATEWAY_TOKEN" OPENAI_API_BASE="$SWARM_OPENAI_BASE_URL" LITELLM_LOCAL_MODEL_COST_MAP=True
printf '%s\\n' {quoted(_LEAVES)} >> "$(git rev-parse --git-path info/exclude)"
{program("aider")} --model {quoted("openai/" + job.means.model)} --edit-format diff --yes-always --no-check-update --analytics-disable \\
    --no-show-release-notes --no-show-model-warnings --no-pretty --no-stream --no-gitignore --map-tokens 0 --message-file "$SWARM_PROMPT"
"""


AIDER = Agent(
    name="aider", author="aider <aider@localhost>", resumes=True,
    description="aider, with any OpenAI-compatible model (chat). It edits files, and runs no commands.",
    available=installed("aider", "openai", needs_name=True), script=_script, models=("openai",))
