"""One run in its own process: `python -c … <root> <run folder>`, started by the engine with the run's lock inherited.

It holds the lock while it lives. It always leaves result.json, unless it is killed.

Next: engine/run/phases.py
"""
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from engine.crash import point
from engine.environments import layers
from engine.errors import (
    AgentFailed,
    CannotRun,
    GroundFailed,
    Permanent,
    ProviderRefused,
    RateLimited,
    RunFailure,
    SwarmError,
    Transient,
    UnchangedSinceBase,
    Unreachable,
)
from engine.files import DISK_ERRORS, shortage
from engine.host.folders import remove
from engine.host.processes import sweep
from engine.jobs import Job, Result
from engine.keys import take_keys
from engine.run.checks import check_all, to_check
from engine.run.ending import Killed, Stopped
from engine.run.limits import OverLimit
from engine.run.output import Log, OverTime, Stalled
from engine.run.outputs import give_bundle, read_question, take_bundle
from engine.run.phases import bundle_in, work
from engine.run.sandbox import Run
from engine.runtimes import make
from engine.runtimes.base import start_time

# Imports make no garbage, and looking for it would take a tenth of the start-up.
BOOTSTRAP = "import gc, sys; gc.disable(); sys.path.insert(0, sys.argv.pop(1)); from engine.run.runner import main; gc.enable(); main(sys.argv[1])"
ALLOW = "No attempt is used up. Allow the host and answer “Try again”, or say what the agent should do without it."
STOPPED = "The run was stopped before it was done."
_LACK = re.compile(r"out of diskspace|no space left on device|pack-objects died|write error", re.I)
LITTLE = 64_000_000  # bytes; with less free on the host, such words are believed


def command(root: Path, folder: Path) -> list[str]:
    """The command of the process that does the run in `folder`; `root` contains the package engine.
    -I -S -B: it ignores the user's Python set-up, which also halves the start-up time."""
    return [sys.executable, "-I", "-S", "-B", "-c", BOOTSTRAP, str(root), str(folder)]


def main(path: str) -> None:
    folder = Path(path).absolute()
    _write_started(folder)
    signal.signal(signal.SIGTERM, _on_signal)
    signal.signal(signal.SIGINT, _on_signal)
    point("runner-started")
    result, run = Result(folder.name, "failed", int(time.time())), None
    try:
        job = Job.read(folder)
        result.run = job.run
        run = Run(job, folder, make(job.runtime, job.vm, job.program), result, Log(folder / "log", job.limits.log_mb), take_keys())
        if job.access:
            from engine.gateway.serving import Service  # only here, because most runs need none and start sooner without it

            run.service = Service(job, job.access, folder, run.keys.models, logins=run.keys.routes)
            run.log.hide([run.service.token, *run.keys.models.values(), *run.service.secrets().values()])
        KINDS[job.kind](run)
    except (Stopped, Killed):
        _fail(result, "transient", STOPPED)
    except RunFailure as failure:
        failure = _not_the_agents(run, failure)
        _fail(result, _kind(failure), failure.sentence)
        result.wait = float(str(failure.extra.get("wait", 0.0)))
    except Exception as error:  # the outer edge of this process: a run must not end without a reason
        sys.excepthook(type(error), error, error.__traceback__)
        _fail(result, "transient", error.sentence if isinstance(error, SwarmError) else _described(error))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if run:
        run.stop()  # once more, because a signal may have come in the middle of a stop or a start
        if result.outcome == "failed":
            sweep(result.run, folder)
    if run and run.service:
        result.usage = run.service.usage()
    point("before-result")
    _leave(result, folder)
    point("after-result")


def prepare(run: Run) -> None:
    from engine.run.prepare import prepare  # only here, because only this run reaches out to a repository elsewhere

    prepare(run)


def feature(run: Run) -> None:
    """The agent's work, its result, the checks. The bundle is kept for any result of the checks, so that the next run can continue from it."""
    outputs, copy = run.folder / "out", run.folder / "checks" / "in" / "out.bundle"
    failure: AgentFailed | Transient | None = None
    try:
        point("before-work")
        work(run)
        point("after-work")
    except AgentFailed as error:  # if the agent asked and then waited or ended with an error, its question counts
        failure = error
    except Stopped:
        failure = Transient(STOPPED)
    run.result.tip = take_bundle(outputs, copy)
    try:
        run.result.request = read_question(outputs)
        if run.result.request:
            run.result.outcome = "needs_input"
            return
        if run.service and run.service.over_budget:
            run.result.outcome, run.result.reason = "over_budget", run.service.over_budget
            return
        trouble = _trouble(run, failure)
        if failure or (trouble and not (run.result.tip and to_check(run.job))):
            raise trouble or failure or AgentFailed()  # without a check, nothing would show that half of the work is missing
        if run.disk and (run.tree_on_disk or not run.result.tip):
            raise Transient(f"{run.disk} Some of the agent's work may be missing.")
        point("before-checks")
        try:
            check_all(run)
        except CannotRun as error:
            if trouble:
                raise trouble from error
            _ask_for_host(run.result, error.sentence)
        except AgentFailed as error:
            kind = UnchangedSinceBase if isinstance(error, UnchangedSinceBase) else AgentFailed
            raise trouble or kind(" ".join(filter(None, (error.sentence, run.result.ignored)))) from error
        else:
            run.result.outcome = "ok" if run.result.tip else "no_change"
    finally:
        give_bundle(copy, outputs)


def _trouble(run: Run, failure: AgentFailed | Transient | None) -> RunFailure | None:
    """What the provider's last answer says of the run, whatever the agent itself says of it. failure: of the agent, if it failed."""
    trouble = run.service.trouble() if run.service else None
    if isinstance(failure, (OverTime, Stalled, Transient)) and trouble and _kind(trouble) == "transient":
        return None  # a request that was interrupted by the stop of the sandbox means nothing
    return trouble


def _ask_for_host(result: Result, sentence: str) -> None:
    """A check could not run: someone is asked, as if the agent had, and its work so far is kept."""
    result.outcome, result.reason = "needs_input", sentence
    result.request = {"question": f"{sentence} {ALLOW}", "options": ["Try again"]}


def integrate(run: Run) -> None:
    """Runs the card's own checks on the merged whole."""
    run.result.base = run.result.tip = bundle_in(run, run.folder / "checks" / "in" / "in.bundle", [])
    check_all(run)
    run.result.outcome = "ok"


def recheck(run: Run) -> None:
    from engine.run.recheck import recheck  # only here, because it needs more imports than other runs

    recheck(run)


def setup(run: Run) -> None:
    from engine.run.setup import setup  # only here, because it needs more imports than other runs

    setup(run)


def baseline(run: Run) -> None:
    from engine.run.baseline import baseline  # only here, because it needs more imports than other runs

    baseline(run)


KINDS = {"setup": setup, "baseline": baseline, "prepare": prepare, "feature": feature, "recheck": recheck, "integrate": integrate}


def _kind(failure: RunFailure) -> str:
    kinds = {Permanent: "permanent", UnchangedSinceBase: "unchanged", AgentFailed: "agent", RateLimited: "rate_limited", Unreachable: "unreachable",
             GroundFailed: "ground", ProviderRefused: "provider"}
    return next((kind for error, kind in kinds.items() if isinstance(failure, error)), "transient")


def _fail(result: Result, failure: str, reason: str) -> None:
    result.outcome, result.failure, result.reason = "failed", failure, reason


def _not_the_agents(run: Run | None, failure: RunFailure) -> RunFailure:
    """The failure; Transient instead of one of the agent if no limit of the run was exceeded, but the host's disk was full meanwhile or the
    environment is damaged. What git says of a lack of space counts only while the disk really has little: the agent could write such words itself."""
    if run is None or not isinstance(failure, AgentFailed) or isinstance(failure, OverLimit):
        return failure
    why = run.disk or (shortage(run.folder, LITTLE) if _LACK.search(failure.sentence) else None)
    why = why or (layers.spoiled(run.folder.parent.parent, run.snapshot) if run.snapshot else None)
    return Transient(f"{why} {failure.sentence}") if why else failure


def _leave(result: Result, folder: Path) -> None:
    """Writes result.json. On a full disk it makes room by what is needed no more; then by the outputs, so that the run failed for that reason."""
    for names in ((), ("work", "in", "checks"), ("out",)):
        for name in names:
            remove(folder / name)
        if "out" in names:
            result = Result(result.run, "failed", result.at, failure="transient", reason="No space left on device for the result of the run.",
                            usage=result.usage)
        try:
            return result.write(folder)
        except OSError as error:
            if error.errno not in DISK_ERRORS or "out" in names:
                raise


def _described(error: Exception) -> str:
    what = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    return f"The runner failed ({what}). Look for details in its runner.err."


def _on_signal(number: int, frame: FrameType | None) -> None:
    """SIGTERM: end and keep the work. SIGINT: end at once, also in the middle of that."""
    signal.signal(number, signal.SIG_IGN)
    if number == signal.SIGINT:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Killed
    raise Stopped


def _write_started(folder: Path) -> None:
    """Writes the identity of this process: pid, start time in clock ticks since boot, boot id. For display and signals; the lock shows if it lives."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    temporary = folder / "started.json.tmp"
    temporary.write_text(json.dumps({"pid": os.getpid(), "start": start_time(os.getpid()), "boot": boot}))
    os.rename(temporary, folder / "started.json")
