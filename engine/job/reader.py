"""Reads the YAML and the Liquid of a WORKFLOW.md by their libraries, in a process of its own with limits.

The file is foreign: a line of it can ask for gigabytes or for hours. The process has no environment, little memory and little time of a processor;
what happens there is in reader_child.py. The libraries are in the extra `default`; without them the small readers read less."""
import json
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.config import ROOT
from engine.errors import Permanent, Transient

LIBRARIES = {"yaml": "PyYAML", "liquid": "python-liquid"}
INSTALL = ".venv/bin/pip install -e '.[default]'"
SECONDS = 120.0  # by the clock, for a machine that is busy; the limit on the processor's time ends what is hostile
BOOTSTRAP = ("import sys; root = sys.argv[1]; sys.path[:] = sys.argv[1:] + sys.path; "
             "from engine.job.reader_child import main; main()")
TOO_MUCH = "It needs too much time or memory to be read. Make it simpler."


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
    paths = [str(ROOT), *(path for path in sys.path if Path(path).is_absolute())]
    try:
        # -I -S -B: the modules come from where this process has them, and nothing else of the user's Python set-up counts
        done = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", BOOTSTRAP, *paths], input=json.dumps(question).encode(), capture_output=True,
                              env={}, cwd="/", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise Transient("WORKFLOW.md of the repository could not be read in time, because this computer is busy.") from None
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise Permanent(TOO_MUCH)
    if done.returncode:
        raise Transient(f"The reader of WORKFLOW.md failed: {done.stderr.decode('utf-8', 'replace').strip().rpartition(chr(10))[2]}")
    answer = json.loads(done.stdout)
    if "wrong" in answer:
        raise Permanent(answer["wrong"])
    return answer["ok"]
