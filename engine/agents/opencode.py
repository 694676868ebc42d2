"""opencode: `opencode run --format json`, any OpenAI-compatible model, its session in ~/.local/share/opencode."""
import json

from engine.agents.base import Agent, AgentReport, Event, at, brief, if_permitted, installed, program, tool_line
from engine.agents.claude import result_lines
from engine.jobs import Job
from engine.text import quoted


def _script(job: Job) -> str:
    name = f"swarm/{job.means.model}"
    config = {"share": "disabled", "autoupdate": False, "model": name, "small_model": name, "permission": {"*": "allow"},
              "provider": {"swarm": {"npm": "@ai-sdk/openai-compatible", "options": {"baseURL": "{env:SWARM_OPENAI_BASE_URL}",
                                                                                     "apiKey": "{env:SWARM_GATEWAY_TOKEN}"},
                                     "models": {job.means.model: {"limit": {"context": 128000, "output": 8000}}}}}}
    resume = f'${{RESUME:+-s {quoted(job.means.session)}}}' if job.means.session else ""
    return f"""export OPENCODE_CONFIG="$SWARM_WORK/opencode.json" OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1
printf %s {quoted(json.dumps(config))} > "$OPENCODE_CONFIG"
{program("opencode")} run --format json -m {quoted(name)} {resume} < "$SWARM_PROMPT"
"""


def _take(report: AgentReport, event: Event) -> None:
    kind = event.get("type")
    report.named(event.get("sessionID"))
    if kind == "step_finish":
        for name, path in (("input", ("input",)), ("output", ("output",)), ("cache_read", ("cache", "read")), ("cache_write", ("cache", "write"))):
            report.count(name, at(event, "part", "tokens", *path))
        report.ended = at(event, "part", "reason") == "stop"
        report.error = ""
    elif kind == "text":
        report.said(at(event, "part", "text"))
    elif kind == "error":
        report.failed(at(event, "error", "data", "message") or at(event, "error", "message") or at(event, "error", "name"))
    elif kind == "tool_use" and "permission" in str(at(event, "part", "state", "error") or ""):
        report.refused.append(brief(at(event, "part", "tool"), 40))


def _shown(event: Event) -> list[str]:
    kind, part = event.get("type"), at(event, "part")
    if kind == "text":
        return str(at(part, "text") or "").strip().split("\n")
    if kind == "tool_use":
        return ["› " + tool_line(at(part, "tool"), at(part, "state", "input")),
                *result_lines(at(part, "state", "error") or at(part, "state", "output"), bool(at(part, "state", "error")))]
    if kind == "error":
        return [f"error: {brief(at(event, 'error', 'data', 'message') or at(event, 'error', 'name'), 600)}"]
    return []


OPENCODE = Agent(
    name="opencode", author="opencode <opencode@localhost>", resumes=True, description="opencode, with any OpenAI-compatible model (chat).",
    available=installed("opencode", "openai", needs_name=True), script=_script, models=("openai",), take=_take, judge=if_permitted, shown=_shown,
    keeps=(".local/share/opencode",))
