"""What an agent is: how it is started inside the sandbox, and how what it said is read on the host."""
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from engine.jobs import Job
from engine.text import one_line

TOOLS = "opt/agents"      # below the folder of make agents: laid over an image, it is /opt/agents there
TEXT = 300                # characters of what an agent said that go into a reason
KINDS = {"openai": "OpenAI", "anthropic": "Anthropic", "gemini": "Gemini"}
_ID = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"

Event = dict[str, Any]


class AgentInstallation(NamedTuple):
    """What agents stand on here. folder: where those are that make agents has installed, as the sandbox will see them, None where it sees
    none (absent says why). models: {kind of API: name of the model, '' for the agent's own default} of those configured. command: custom's."""

    folder: Path | None
    models: dict[str, str]
    command: str = ""
    absent: str = ""


class AgentReport:
    """What an agent's events said: nothing of it is believed further than it can harm the agent itself.

    session: to go on in it. tokens: as the agent counts them. error: why it gave up; whether its provider is the reason, the gateway knows.
    ended: it said that it was done. refused: what it was not permitted. message: its last words."""

    def __init__(self) -> None:
        self.session = self.error = self.message = ""
        self.ended = False
        self.tokens: dict[str, int] = {}
        self.refused: list[str] = []

    def named(self, session: object) -> None:
        if isinstance(session, str) and re.fullmatch(_ID, session):
            self.session = session

    def count(self, kind: str, number: object, add: bool = True) -> None:
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 10**12:
            self.tokens[kind] = number + (self.tokens.get(kind, 0) if add else 0)

    def failed(self, why: object) -> None:
        self.error = one_line(str(why))[:TEXT] or "it did not say why"

    def said(self, text: object) -> None:
        if isinstance(text, str) and text.strip():
            self.message = text.strip()[:4000]


def by_error(report: AgentReport, code: int) -> str | None:
    """Why an agent failed, a sentence; None where its events name no error: its exit code then says the rest."""
    return f"The agent gave up: {report.error}" if report.error else None


def must_end(report: AgentReport, code: int) -> str | None:
    """For agents that say so at their end: several exit with 0 on a step limit, or when they are cut off."""
    if code == 0 and not report.error and not report.ended:
        return "The agent stopped before it said that it was done."
    return by_error(report, code)


def if_permitted(report: AgentReport, code: int) -> str | None:
    """The same, for agents that have permissions: one that was refused ends with 0, and its model may have said that all is well."""
    if report.refused and not report.error:
        return f"The agent was not permitted to use {', '.join(dict.fromkeys(report.refused[:5]))}."
    return must_end(report, code)


class Agent(NamedTuple):
    """resumes: the next run begins on the ticket's own branch where one was left, not at the integration branch's head."""

    name: str
    author: str                                  # of its commits: "Name <email>"
    description: str                             # for people
    resumes: bool
    available: Callable[[AgentInstallation], str | None]   # why it cannot run here, or None
    script: Callable[[Job], str | None]          # None: it has nothing to run for this ticket
    note: Callable[[Job], str] = lambda job: ""  # a paragraph for the commit message
    models: tuple[str, ...] = ()                 # kinds of model API that its client speaks: openai, anthropic, gemini; (): it needs none
    take: Callable[[AgentReport, Event], None] = lambda report, event: None  # one event of its log (a JSON line)
    judge: Callable[[AgentReport, int], str | None] | None = None  # why it failed, by events and exit code; None: by_error
    shown: Callable[[Event], list[str]] | None = None  # an event in lines for people; None: it writes no events
    keeps: tuple[str, ...] = ()                  # in its home, what its session is; (): it has none to go on in
    takes_command: bool = False                  # what it runs is the operator's setting agent_command
    is_fallback: bool = False                    # auto takes it only where no other can run
    has_work: Callable[[str], bool] = lambda description: True  # False: of a ticket so described it builds nothing, and runs nothing of it


def installed(name: str, kind: str, needs_name: bool = False) -> Callable[[AgentInstallation], str | None]:
    """For an agent of make agents whose client speaks one kind of API. needs_name: it has no model of its own choice."""
    def available(here: AgentInstallation) -> str | None:
        if here.folder is None:
            return here.absent
        if not (here.folder / name / "bin" / name).exists():
            return f"It is not installed. Install it with: make agents AGENTS={name}"
        if kind not in here.models:
            return f"It has no model. Set SWARM_{kind.upper()}_KEY, or SWARM_{kind.upper()}_URL ({KINDS[kind]}'s kind of API)."
        if needs_name and not here.models[kind]:
            return f"It needs the name of a model. Set SWARM_{kind.upper()}_MODEL."
        return None
    return available


def program(name: str) -> str:
    """In a script: the installed program, wherever the sandbox has it."""
    return f'"$SWARM_TOOLS/{name}/bin/{name}"'




def at(value: Any, *path: str | int) -> Any:
    """What stands there in foreign JSON, None where nothing does."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def items(value: Any, *path: str | int) -> list[dict[str, Any]]:
    """The objects of the list that stands there."""
    found = at(value, *path)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def brief(value: Any, most: int = 200) -> str:
    """Foreign text in one line for people."""
    text = one_line(value if isinstance(value, str) else "" if value is None else str(value))
    return text if len(text) <= most else text[:most - 1] + "…"


def tool_line(name: Any, given: Any) -> str:
    """A use of a tool: its name and what matters of what it was given."""
    for key in ("command", "cmd", "file_path", "filePath", "path", "absolute_path", "pattern", "url", "query", "description"):
        value = at(given, key)
        if value:
            return f"{brief(name, 40)}: {brief(' '.join(map(str, value)) if isinstance(value, list) else value)}"
    return f"{brief(name, 40)}: {brief(given)}" if given else brief(name, 40)
