"""Reads the YAML and the Liquid of a WORKFLOW.md by their libraries, in a process of its own with limits.

The file is foreign: a line of it can ask for gigabytes or for hours. What happens in the process is in reader_child.py. The libraries are in the extra
`default`; without them the small readers read less."""
from importlib.util import find_spec
from typing import Any

from engine.errors import Permanent
from engine.host import limited

LIBRARIES = {"yaml": "PyYAML", "liquid": "python-liquid"}
INSTALL = ".venv/bin/pip install -e '.[default]'"


def missing() -> str | None:
    """Which libraries are not installed, what does not work without them, and the command that installs them; None if all are there."""
    absent = [package for name, package in LIBRARIES.items() if find_spec(name) is None]
    if not absent:
        return None
    return (f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed, so only a small part of YAML and Liquid is read in the "
            f"WORKFLOW.md of repositories. Install what is missing with {INSTALL}, then restart.")


def read(text: str) -> dict[str, Any]:
    """{head: the front matter, with null for what is not used here; template; line: of the template's first line in the file}. Raises Permanent."""
    found: dict[str, Any] = _ask({"read": text})
    return found


def render(template: str, values: dict[str, Any], line: int) -> str:
    """The filled template. line: of its first line in the file. Raises Permanent, with the line, for what is unknown or too much."""
    return str(_ask({"render": template, "values": values, "line": line}))


def _ask(question: dict[str, Any]) -> Any:
    answer = limited.ask("engine.job.reader_child", question, "WORKFLOW.md of the repository")
    if "wrong" in answer:
        raise Permanent(answer["wrong"])
    return answer["ok"]
