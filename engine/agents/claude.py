"""Claude Code: `claude -p`, events as stream-json, its session in ~/.claude."""
import json

from engine.agents.base import Agent, AgentReport, Event, at, brief, if_permitted, installed, items, program, tool_line
from engine.jobs import Job
from engine.text import quoted

# What a repository's .claude/settings.json and .mcp.json would start. Its CLAUDE.md is read all the same; without the source "project" it would not be.
_OFF = {"disableAllHooks": True, "apiKeyHelper": "", "otelHeadersHelper": "", "awsAuthRefresh": "", "awsCredentialExport": ""}
_SAID = """for each in .mcp.json .claude/settings.json .claude/settings.local.json; do
  if [ -e "$each" ]; then echo "What $each would start is off. Someone can allow it on the page of the repository."; fi
done
"""


def _script(job: Job) -> str:
    model = f" --model {quoted(job.means.model)}" if job.means.model else ""
    resume = f'${{RESUME:+--resume {quoted(job.means.session)}}}' if job.means.session else ""
    said, own = ("", "") if job.means.own_tools else (_SAID, f" --strict-mcp-config --settings {quoted(json.dumps(_OFF))}")
    return f"""export ANTHROPIC_BASE_URL="$SWARM_ANTHROPIC_BASE_URL" ANTHROPIC_API_KEY="$SWARM_GATEWAY_TOKEN"
export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 CLAUDE_CODE_MAX_RETRIES=2 DISABLE_AUTOUPDATER=1 IS_SANDBOX=1
{said}{program("claude")} -p --output-format stream-json --verbose --dangerously-skip-permissions{own}{model} {resume} < "$SWARM_PROMPT"
"""


def _take(report: AgentReport, event: Event) -> None:
    report.named(event.get("session_id"))
    if event.get("type") != "result":
        return
    report.said(event.get("result"))
    for kind, name in (("input", "input_tokens"), ("output", "output_tokens"), ("cache_read", "cache_read_input_tokens"),
                       ("cache_write", "cache_creation_input_tokens")):
        report.count(kind, at(event, "usage", name), add=False)
    report.refused = [brief(each.get("tool_name"), 40) for each in items(event, "permission_denials")]
    # An error of the API still says "subtype": "success"; a turn limit says error_max_turns.
    if event.get("is_error") or event.get("subtype") not in (None, "success"):
        status = f" (status {event['api_error_status']})" if event.get("api_error_status") else ""
        report.failed(f"{event.get('result') or event.get('subtype')}{status}")
    report.ended = not report.error


def _shown(event: Event) -> list[str]:
    kind = event.get("type")
    if kind == "system" and event.get("subtype") == "init":
        return [f"claude {brief(event.get('claude_code_version'), 20)}, model {brief(event.get('model'), 60)}"]
    if kind == "result":
        return [f"Ended: {brief(event.get('result') or event.get('subtype'), 2000)}"]
    lines = []
    for part in items(event, "message", "content"):
        if part.get("type") == "text" and kind == "assistant":
            lines += str(part.get("text", "")).strip().split("\n")
        elif part.get("type") == "tool_use":
            lines.append("› " + tool_line(part.get("name"), part.get("input")))
        elif part.get("type") == "tool_result":
            lines += result_lines(part.get("content"), bool(part.get("is_error")))
    return lines


def result_lines(content: object, failed: bool = False) -> list[str]:
    """The first lines of what a tool gave back."""
    text = content if isinstance(content, str) else "\n".join(str(part.get("text", "")) for part in items(content))
    lines = [brief(line) for line in text.strip().split("\n")[:6] if line.strip()]
    return [("error: " if failed and n == 0 else "  ") + line for n, line in enumerate(lines)]


CLAUDE = Agent(
    name="claude", author="Claude Code <claude@localhost>", resumes=True, description="Anthropic's Claude Code, with a model of Anthropic's kind.",
    available=installed("claude", "anthropic"), script=_script, models=("anthropic",), take=_take, judge=if_permitted, shown=_shown,
    keeps=(".claude", ".claude.json"))
