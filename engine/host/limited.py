"""A function in a process of its own, with limits: for foreign input of which one line can ask for gigabytes or for hours.

The process has no environment, little memory and little time of a processor. Its module has main(), which calls lower_limits(), reads a question as
JSON from standard input and writes an answer as JSON."""
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from engine.config import ROOT
from engine.errors import Permanent, Transient

SECONDS = 120.0  # by the clock, for a machine that is busy; the limit on the processor's time ends what is hostile
BOOTSTRAP = "import sys; root = sys.argv[1]; sys.path[:] = sys.argv[1:] + sys.path; from {module} import main; main()"
TOO_MUCH = "It needs too much time or memory to be read. Make it simpler."
MEMORY = 400_000_000  # bytes of address space


def ask(module: str, question: Any, what: str) -> Any:
    """The answer of a module's main(). what: the thing that is read, for errors. Raises Permanent if it is too much, Transient if this machine is in the
    way."""
    paths = [str(ROOT), *(path for path in sys.path if Path(path).is_absolute())]
    try:
        # -I -S -B: the modules come from where this process has them, and nothing else of the user's Python set-up counts
        done = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", BOOTSTRAP.format(module=module), *paths], input=json.dumps(question).encode(),
                              capture_output=True, env={}, cwd="/", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise Transient(f"{what} could not be read in time, because this computer is busy.") from None
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise Permanent(TOO_MUCH)
    if done.returncode:
        raise Transient(f"The reader of {what} failed: {done.stderr.decode('utf-8', 'replace').strip().rpartition(chr(10))[2]}")
    return json.loads(done.stdout)


def lower_limits(cpu_seconds: int) -> None:
    """In the process itself, before it sees the input. cpu_seconds: of a processor, with the imports."""
    for limit, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, cpu_seconds), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (most, most))
