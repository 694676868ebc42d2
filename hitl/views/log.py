"""A piece of a run's log, folded into steps. The runner writes a marker line ::phase <name> at the start of each step."""
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from engine.agents.log import readable
from hitl.web import ansi

MARK = "::phase "
TITLES = {"clone": "Check out the branch", "commit": "Commit the work"}
_BAD = ("FAILED ", "ERROR ", "error:", "Error:", "fatal:", "FATAL", "Traceback ", "E  ")


@dataclass
class Step:
    """lines: [(number, class, escaped text)]. mark: the number of its marker line, 0 for none. continues: the step started in an earlier piece."""

    title: str
    mark: int = 0
    continues: bool = False
    open: bool = False
    side: str = ""
    lines: list[tuple[int, str, Markup]] = field(default_factory=list)


def fold(text: str, first_line: int = 1, checks: list[dict[str, Any]] | None = None, agent: str | None = None) -> tuple[list[Step], int]:
    """The steps of whole lines of a log -> (steps, the number of the next line). Marker lines count but are not shown.
    Events of `agent` are shown in words."""
    steps: list[Step] = []
    number = first_line
    for line in text.split("\n")[:-1] if text.endswith("\n") else text.split("\n"):
        if line.startswith(MARK):
            steps.append(Step(_title(ansi.strip(line[len(MARK):])[:200], checks or []), number))
        else:
            if not steps:
                steps.append(Step("Output", continues=True) if first_line > 1 else Step("Start"))
            shown = readable(line, agent)
            if shown:
                steps[-1].lines.append((number, _tone(shown[0]), Markup("\n").join(ansi.line(each) for each in shown)))
        number += 1
    return steps, number


def _title(name: str, checks: list[dict[str, Any]]) -> str:
    word, _, rest = name.strip().partition(" ")
    if word == "agent":
        return f"Agent: {rest}" if rest else "Agent"
    if word == "check":
        which = checks[int(rest) - 1] if rest.isdecimal() and 0 < int(rest) <= len(checks) else {}
        said = ansi.strip(str(which.get("text") or which.get("command") or "").partition("\n")[0])[:120]
        return f"Check {rest}: {said}" if said else f"Check {rest}"
    return TITLES.get(word, name.strip().capitalize() or "Step")


def _tone(line: str) -> str:
    if line.startswith("$ "):
        return "is-dim"
    return "is-error" if line.startswith(_BAD) else ""
