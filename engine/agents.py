"""Agent profiles: who does the work of a ticket, and the shell text that starts it inside the sandbox.

A script runs by `sh` in the work tree, with what scripts/work.sh gives it: SWARM_IN/prompt.md, SWARM_WORK for what is to stay out
of the tree, swarm-ask on PATH. Its exit code says whether the agent gave up, not whether the work is good: checks say that."""
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.errors import Permanent
from engine.jobs import Job

SHELLS = ("sh", "bash", "shell")
NO_AGENT = "No coding agent is configured, so this ticket's brief was written down and nothing was built."


@dataclass(frozen=True)
class Agent:
    """resumes: the next run begins on the ticket's own branch where one was left, not at the integration branch's head."""

    name: str
    author: str                              # of its commits: "Name <email>"
    description: str                         # for people
    resumes: bool
    available: Callable[[], str | None]      # why it cannot run here, or None
    script: Callable[[Job], str | None]      # None: it has nothing to run for this ticket
    note: Callable[[Job], str] = lambda job: ""  # a paragraph for the commit message
    models: tuple[str, ...] = ()                 # kinds of model API that its client speaks: openai, anthropic, gemini; (): it needs none


def has_commands(description: str) -> bool:
    """True if the runbook agent would run something of this description."""
    return bool(shell_blocks(description))


def choose_agent(setting: str, wanted: str | None, agents: Mapping[str, Agent] | None = None) -> Agent:
    """The agent that a ticket wants, else the installation's setting; 'auto' takes the first that can run, runbook last.
    Raises Permanent for a name that is not there, with the names that are, and for one that cannot run here."""
    table = AGENTS if agents is None else agents
    name = wanted or setting
    if name == "auto":
        return next((agent for agent in table.values() if agent.name != RUNBOOK.name and agent.available() is None), RUNBOOK)
    if name not in table:
        raise Permanent(f"There is no agent {name!r}. The agents are: auto, {', '.join(table)}.")
    reason = table[name].available()
    if reason:
        raise Permanent(f"The agent {name} cannot run here. {reason}")
    return table[name]


def shell_blocks(text: str) -> list[str]:
    """The contents of the fenced sh, bash and shell blocks of a Markdown text, in order. As in CommonMark, a fence ends with one of
    its own kind that is at least as long, and a block that is not closed ends with the text; any indentation is taken, for lists."""
    blocks: list[str] = []
    fence, wanted, indent, lines = "", False, 0, list[str]()
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        stripped = line.lstrip(" ")
        ticks = stripped[: len(stripped) - len(stripped.lstrip(stripped[:1]))] if stripped[:1] in ("`", "~") and stripped else ""
        rest = stripped[len(ticks):].strip()
        if not fence:
            if len(ticks) >= 3 and "`" not in rest:
                fence, indent, lines = ticks, len(line) - len(stripped), []
                wanted = rest.split(maxsplit=1)[:1] != [] and rest.split(maxsplit=1)[0].lower() in SHELLS
        elif ticks[:1] == fence[0] and len(ticks) >= len(fence) and not rest:
            blocks += ["\n".join(lines) + "\n"] if wanted and "".join(lines).strip() else []
            fence = ""
        else:
            lines.append(line[min(indent, len(line) - len(stripped)):])
    if fence and wanted and "".join(lines).strip():
        blocks.append("\n".join(lines) + "\n")
    return blocks


def quoted(text: str) -> str:
    """One word for a POSIX shell, whatever is in it (NUL, which no shell can hold, is left out)."""
    return "'" + text.replace("\0", "").replace("'", "'\\''") + "'"


def one_line(text: str) -> str:
    return " ".join(text.split())


def _runbook(job: Job) -> str:
    """Each block is a script of its own, in a file: it may then be of any length, and what it reads from stdin is not itself."""
    blocks = shell_blocks(job.description)
    if not blocks:
        return _write_brief(job)
    parts = []
    for number, block in enumerate(blocks, 1):
        first = next(line for line in block.split("\n") if line.strip())
        path = f'"$SWARM_WORK/block-{number}"'
        parts.append(f"printf '$ %s\\n' {quoted(first.strip())}\nprintf %s {quoted(block)} > {path}\nsh -e {path} < /dev/null || exit $?\n")
    return "\n".join(parts)


def _write_brief(job: Job) -> str:
    lines = [f"# {job.ticket}: {one_line(job.title)}", "", job.description.strip() or "(no description)"]
    if job.criteria:
        lines += ["", "## Done means", ""]
        lines += [f"- {one_line(c.text)}" + (f" (checked by `{one_line(c.check)}`)" if c.check else "") for c in job.criteria]
    path = f"docs/tickets/{job.ticket}.md"
    return (f"echo {quoted(NO_AGENT)}\nmkdir -p docs/tickets || exit $?\n"
            f"printf '%s\\n' {quoted(chr(10).join(lines))} > {quoted(path)} || exit $?\necho {quoted('Wrote ' + path)}\n")


def _runbook_note(job: Job) -> str:
    return "" if has_commands(job.description) else NO_AGENT


RUNBOOK = Agent(
    name="runbook", author="HITL Swarm runbook <runbook@localhost>", resumes=False,
    description="Runs the fenced sh blocks of the ticket's description; without one it writes the ticket's brief. Needs no model.",
    available=lambda: None, script=_runbook, note=_runbook_note)
AGENTS: dict[str, Agent] = {RUNBOOK.name: RUNBOOK}
