"""OpenAI Codex: `codex exec --json`, its session (a thread) in ~/.codex."""
from engine.agents.base import Agent, AgentReport, Event, at, brief, installed, items, must_end, program
from engine.agents.claude import result_lines
from engine.jobs import Job
from engine.text import quoted

# Its own sandbox is off: it is in one already, in which it could neither nest another nor commit.
_FLAGS = ("--json --dangerously-bypass-approvals-and-sandbox -c analytics.enabled=false -c check_for_update_on_startup=false"
          " -c model_provider=swarm -c \"$provider\"")


def _script(job: Job) -> str:
    model = f" -m {quoted(job.means.model)}" if job.means.model else ""
    resume = f'${{RESUME:+resume {quoted(job.means.session)}}}' if job.means.session else ""
    return f"""provider='model_providers.swarm={{name="swarm",base_url="'"$SWARM_OPENAI_BASE_URL"'",env_key="SWARM_GATEWAY_TOKEN",wire_api="responses",'
provider="$provider"'request_max_retries=2,stream_max_retries=2}}'
{program("codex")} exec {_FLAGS}{model} {resume} - < "$SWARM_PROMPT"
"""


def _take(report: AgentReport, event: Event) -> None:
    kind = event.get("type")
    if kind == "thread.started":
        report.named(event.get("thread_id"))
    elif kind == "turn.completed":  # counts over the whole thread, earlier runs of it included
        for name, key in (("input", "input_tokens"), ("output", "output_tokens"), ("cache_read", "cached_input_tokens")):
            report.count(name, at(event, "usage", key), add=False)
        report.ended, report.error = True, ""
    elif kind == "turn.failed":
        report.failed(at(event, "error", "message"))
    elif kind == "item.completed" and at(event, "item", "type") == "agent_message":
        report.said(at(event, "item", "text"))


def _shown(event: Event) -> list[str]:
    kind, item = event.get("type"), at(event, "item")
    what = at(item, "type")
    if kind == "thread.started":
        return [f"codex, thread {brief(event.get('thread_id'), 60)}"]
    if kind in ("turn.failed", "error"):
        return [f"error: {brief(at(event, 'error', 'message') or event.get('message'), 600)}"]
    if kind == "turn.completed":
        return [f"Ended: {brief(at(event, 'usage', 'output_tokens'))} tokens out"]
    if kind == "item.started" and what == "command_execution":
        return [f"› {brief(at(item, 'command'))}"]
    if kind != "item.completed":
        return []
    if what in ("agent_message", "reasoning"):
        return str(at(item, "text") or "").strip().split("\n")
    if what == "command_execution":
        return result_lines(at(item, "aggregated_output"), at(item, "exit_code") not in (0, None))
    if what == "file_change":
        return [f"› {brief(each.get('kind'), 20)} {brief(each.get('path'))}" for each in items(item, "changes")]
    return [f"› {brief(what, 40)}: {brief(at(item, 'message') or at(item, 'query') or at(item, 'tool'))}"]


CODEX = Agent(
    name="codex", author="Codex <codex@localhost>", resumes=True, description="OpenAI's Codex, with a model of OpenAI's kind (responses).",
    available=installed("codex", "openai"), script=_script, models=("openai",), take=_take, judge=must_end, shown=_shown, keeps=(".codex",))
