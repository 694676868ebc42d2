"""Google's Gemini CLI: `gemini -o stream-json`, its session in ~/.gemini. A JavaScript program: it needs node in the sandbox."""
from engine.agents.base import Agent, AgentReport, Event, at, brief, installed, must_end, program, tool_line
from engine.agents.claude import result_lines
from engine.jobs import Job
from engine.text import quoted

_SETTINGS = '{"security":{"auth":{"selectedType":"gemini-api-key"}},"privacy":{"usageStatisticsEnabled":false}}'


def _script(job: Job) -> str:
    model = f" -m {quoted(job.means.model)}" if job.means.model else ""
    resume = f'${{RESUME:+--resume {quoted(job.means.session)}}}' if job.means.session else ""
    return f"""export GEMINI_API_KEY="$SWARM_GATEWAY_TOKEN" GOOGLE_GEMINI_BASE_URL="$SWARM_GEMINI_BASE_URL"
command -v node > /dev/null || {{ echo "The sandbox has no node, and the Gemini CLI needs it."; exit 127; }}
mkdir -p "$HOME/.gemini" && printf %s {quoted(_SETTINGS)} > "$HOME/.gemini/settings.json"
{program("gemini")} --yolo --skip-trust -o stream-json{model} {resume} < "$SWARM_PROMPT"
"""


def _take(report: AgentReport, event: Event) -> None:
    kind = event.get("type")
    if kind == "init":
        report.named(event.get("session_id"))
    elif kind == "message" and event.get("role") == "assistant":
        report.said(event.get("content"))
    elif kind == "result":
        report.count("input", at(event, "stats", "input_tokens"), add=False)
        report.count("output", at(event, "stats", "output_tokens"), add=False)
        report.count("cache_read", at(event, "stats", "cached"), add=False)
        report.ended = event.get("status") == "success"
        if not report.ended:
            report.failed(at(event, "error", "message") or event.get("status"))


def _shown(event: Event) -> list[str]:
    kind = event.get("type")
    if kind == "init":
        return [f"gemini, model {brief(event.get('model'), 60)}"]
    if kind == "message" and event.get("role") == "assistant":
        return str(event.get("content") or "").strip("\n").split("\n")
    if kind == "tool_use":
        return ["› " + tool_line(event.get("tool_name"), event.get("parameters"))]
    if kind == "tool_result":
        return result_lines(event.get("output") or at(event, "error", "message"), event.get("status") != "success")
    if kind in ("error", "result") and event.get("status") != "success":
        return [f"error: {brief(event.get('message') or at(event, 'error', 'message'), 600)}"]
    return []


GEMINI = Agent(
    name="gemini", author="Gemini CLI <gemini@localhost>", resumes=True, description="Google's Gemini CLI, with a model of Gemini's kind. Needs node.",
    available=installed("gemini", "gemini"), script=_script, models=("gemini",), take=_take, judge=must_end, shown=_shown, keeps=(".gemini",))
