"""The agent that needs no model: it runs the fenced sh blocks of a ticket's description, or writes the ticket's brief down."""
from engine.agents.base import Agent
from engine.jobs import Job
from engine.text import one_line, quoted

SHELLS = ("sh", "bash", "shell")
NO_AGENT = "No coding agent is configured, so this ticket's brief was written down and nothing was built."


def has_commands(description: str) -> bool:
    """True if the runbook agent would run something of this description."""
    return bool(shell_blocks(description))


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
    description="Runs the fenced sh blocks of the ticket's description; without any it only writes the ticket's brief. Needs no model.",
    available=lambda here: None, script=_runbook, note=_runbook_note, is_fallback=True, has_work=has_commands)
