"""mini-swe-agent: a shell and a model. It exits with 0 on a step limit, so the end of its trajectory is read."""
from engine.agents.base import Agent, AgentReport, Event, brief, installed, must_end, program
from engine.jobs import Job
from engine.text import quoted

_LONGEST = 100_000  # bytes of a prompt that is passed as an argument; the agent reads a longer one from its file
_STEPS = 250

# One line at the end, in the manner of the others' events.
_SUMMARY = """import json, sys
try:
    held = json.load(open(sys.argv[1]))
    used = [m.get("extra", {}).get("response", {}).get("usage") or {} for m in held.get("messages", [])]
    why = [m.get("extra", {}).get("exception_str") or "" for m in held.get("messages", [])][-1:]
    print(json.dumps({"type": "mini.ended", "exit_status": held["info"]["exit_status"], "why": "".join(why)[:1000],
                      "input": sum(u.get("prompt_tokens", 0) for u in used),
                      "output": sum(u.get("completion_tokens", 0) for u in used), "submission": str(held["info"].get("submission", ""))[:2000]}))
except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
    print(json.dumps({"type": "mini.ended", "exit_status": f"no trajectory ({error})"}))
"""


def _script(job: Job) -> str:
    model = quoted("openai/" + job.means.model)
    return f"""export OPENAI_API_KEY="$SWARM_GATEWAY_TOKEN" OPENAI_API_BASE="$SWARM_OPENAI_BASE_URL" LITELLM_LOCAL_MODEL_COST_MAP=True
export MSWEA_CONFIGURED=true MSWEA_SILENT_STARTUP=1 MSWEA_COST_TRACKING=ignore_errors MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT=3
task=$(cat "$SWARM_PROMPT")
[ "$(wc -c < "$SWARM_PROMPT")" -lt {_LONGEST} ] || task="Read the file $SWARM_PROMPT and do what it says."
{program("mini")} -m {model} -y --exit-immediately -c mini.yaml -c agent.step_limit={_STEPS} -o "$SWARM_WORK/trajectory.json" -t "$task"
code=$?
python3 -I -c {quoted(_SUMMARY)} "$SWARM_WORK/trajectory.json"
(exit "$code")
"""


def _take(report: AgentReport, event: Event) -> None:
    if event.get("type") == "mini.ended":
        report.count("input", event.get("input"), add=False)
        report.count("output", event.get("output"), add=False)
        report.ended = event.get("exit_status") == "Submitted"
        report.said(event.get("submission"))
        if not report.ended:
            report.failed(": ".join(str(event[name]) for name in ("exit_status", "why") if event.get(name)))


def _shown(event: Event) -> list[str]:
    return [f"Ended: {brief(event.get('exit_status'))} {brief(event.get('why'), 600)}".strip()] if event.get("type") == "mini.ended" else []


MINI = Agent(
    name="mini", author="mini-swe-agent <mini@localhost>", resumes=True, description="mini-swe-agent, with any OpenAI-compatible model (chat).",
    available=installed("mini", "openai", needs_name=True), script=_script, models=("openai",), take=_take, judge=must_end, shown=_shown)
