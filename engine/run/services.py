"""Services of a run's environment: programs that each of its sandboxes starts before agent and checks, by scripts/services.sh."""
import os
import stat
from pathlib import Path

from engine.errors import AgentFailed, GroundFailed
from engine.jobs import Limits
from engine.run.output import PHASE, Log, Output

FAILED = 115    # work.sh and check.sh: a service ended, or was not ready in time
SECONDS = 120   # most for all of them together to be ready
TAIL = 65_536   # bytes of a service's output that are kept
LINES = 7       # of its output in a sentence


def seconds(limits: Limits) -> str:
    """How long all services may take until they are ready: less than a check may take, so that the service is named and not the check."""
    return str(int(max(1, min(SECONDS, limits.check_seconds / 2))))


def refuse_failed(code: int, output: Output) -> None:
    """Raises GroundFailed with the last lines of the service that ended a sandbox with this code, before its agent or check began."""
    if code == FAILED and not output.reached:
        lines = [line for line in output.text().split("\n") if line.strip()]
        first = next((number for number in range(len(lines) - 1, -1, -1) if lines[number].startswith("The service ")), 0)
        raise GroundFailed("\n".join(lines[first:][:LINES]) or "A service of the environment could not be used.")


def blamed(error: AgentFailed, inputs: Path, output: Output) -> AgentFailed | GroundFailed:
    """The failure; GroundFailed for a limit that was exceeded while services started, before the agent or the check began."""
    if not output.reached and (inputs / "services").exists():
        return GroundFailed(f"The services of the environment were not ready. {error.sentence}")
    return error


class Said:
    """What the services of a sandbox wrote, and how those ended that did not live until its end. Made when the sandbox is dead, and its files are there."""

    def __init__(self, work: Path, names: tuple[str, ...]) -> None:
        """work: the folder on the host that was $SWARM_WORK."""
        self._logs = {name: _tail(work / f"service-{name}.log") for name in names}
        codes = {name: _tail(work / f"service-{name}.exit").decode("ascii", "replace").strip() for name in names}
        self.ended = " ".join(f"The service {name} ended with exit code {code} meanwhile." for name, code in codes.items()
                              if code.isdecimal() and len(code) < 4 and int(code))

    def write(self, log: Log) -> None:
        log.rest()
        for name, data in self._logs.items():
            if data:
                log.write(PHASE + b"service " + name.encode() + b"\n" + log.clean(data) + (b"" if data.endswith(b"\n") else b"\n"))
        if self.ended:
            log.write(f"{self.ended}\n".encode())


NONE = Said(Path(), ())


def _tail(path: Path) -> bytes:
    """The end of a file that a sandbox wrote; nothing if it is no plain file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # the service did not start
        return b""
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            return b""
        file.seek(max(0, status.st_size - TAIL))
        return file.read(TAIL)
