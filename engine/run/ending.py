"""The end of a run that does not end by itself (a limit, a person's stop, a shutdown): its agent is ended, then what it did is committed and bundled
in the same sandbox. A run that is cancelled is only ended."""
import select
import signal
import time

from engine.errors import AgentFailed, RunFailure
from engine.run.limits import LimitWatch
from engine.run.output import SAVE_SECONDS, Bounds, Output, drain, watch
from engine.runtimes.base import GRACE_SECONDS

KILL_SECONDS = 5.0      # for the agent's processes to be gone after SIGKILL
COMMIT_SECONDS = SAVE_SECONDS - GRACE_SECONDS - KILL_SECONDS
STEP_SECONDS = 0.02


class Stopped(BaseException):
    """SIGTERM came: the run ends, and its work so far is kept. It is no Exception, so that only those who mean it catch it."""


class Killed(BaseException):
    """SIGINT came: the run ends at once."""


def save_work(limits: LimitWatch, pipe: int, output: Output) -> None:
    """Ends the agent, and waits until its work is in the outputs. Gives up silently, but for a line in the log, when that takes too long or a limit is
    exceeded further. The caller stops the sandbox in all cases."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is being done
    output.log.cut()
    try:
        _end_agent(limits, pipe, output)
        watch(limits, pipe, output, Bounds(time.monotonic() + COMMIT_SECONDS, f"That took longer than {COMMIT_SECONDS:g} seconds."))
    except RunFailure as failure:
        output.log.write(f"The work so far could not be kept. {failure.sentence}\n".encode())


def _end_agent(limits: LimitWatch, pipe: int, output: Output) -> None:
    """SIGTERM, and SIGKILL 5 seconds later; sooner if the agent still exceeds a limit that protects the host."""
    began = looked = time.monotonic()
    kill = False
    limits.forget()
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while not limits.runtime.ask_to_end(limits.handle, kill):
        now = time.monotonic()
        if now - began > GRACE_SECONDS + KILL_SECONDS:
            raise AgentFailed("Processes of the agent could not be ended.")
        kill = kill or now - began > GRACE_SECONDS
        if now - looked > limits.LOOK_SECONDS:
            looked = now
            kill = kill or limits.is_exceeded()
        if poll.poll(STEP_SECONDS * 1000) and not drain(pipe, output, 1 << 20):
            time.sleep(STEP_SECONDS)  # at its end it is always readable
    limits.start_again()
