"""The checks of a run, each in a sandbox of its own on a clean clone, and what a check that did not pass means beside what it said at the base.

Next: engine/run/sandbox.py
"""
import os
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import AgentFailed, CannotRun, Transient, UnchangedSinceBase
from engine.files import write_json
from engine.ground import Baseline, Before
from engine.host.folders import remove
from engine.jobs import Criterion, Job
from engine.run import services
from engine.run.failing_lines import same
from engine.run.history import FILES
from engine.run.inputs import copy_relay, copy_scripts, give_ground, write, write_values
from engine.run.output import PHASE, Output, OverTime
from engine.run.sandbox import Run, run_sandbox
from engine.text import one_line

UNUSABLE_BUNDLE = 113  # check.sh, before the check started
_REFUSED = re.compile(r"CONNECT|from proxy|(?:error|code|response|status)\W{1,3}(?:403|502|504)\b", re.I)  # programs that name no host say this
FLAKY_TRIES = 3        # of a check that was sometimes red at the base


class _Failed(NamedTuple):
    check: dict[str, Any]
    criterion: Criterion
    number: int
    reason: str


def check_all(run: Run) -> None:
    """Runs the command of every criterion that has one, on a clean clone of the tip (or of the base, if nothing changed). Fills
    run.result.checks and checks.json. When all have run, raises AgentFailed for the first that did not pass (CannotRun if their network was refused), and
    UnchangedSinceBase if none of them is about the work."""
    todo = to_check(run.job)
    if not todo:
        return
    since, failed = time.monotonic(), list[_Failed]()
    run.troubles()  # of the agent
    inputs = give_scripts(run)
    if not (inputs / "in.bundle").exists():
        for name in FILES:
            if (run.folder / "in" / name).exists():
                os.link(run.folder / "in" / name, inputs / name)
    if run.job.setup and run.job.setup.ticket:
        from engine.run.own_setup import fit_ground  # only here, because most runs need none and start sooner without it

        fit_ground(run, inputs)
    at(run, inputs, run.result.tip or run.result.base or "")
    before = {each.command: each for each in (run.job.baseline or Baseline()).checks}
    for number, criterion in enumerate(todo, 1):
        known = before.get(criterion.check)
        for _ in range(FLAKY_TRIES if known and known.result == "flaky" else 1):
            check, reason = check_one(run, inputs, number, criterion)
            if check["passed"]:
                break
        if known:
            check["before"] = known.result
        run.result.checks.append(check)
        failed += [_Failed(check, criterion, number, reason)] if reason else []
        write_json(run.folder / "checks.json", run.result.checks)
        run.timed("checks", since)
        since = time.monotonic()
    if failed:
        _judge(run, inputs, failed, before)


def _judge(run: Run, inputs: Path, failed: list[_Failed], before: dict[str, Before]) -> None:
    """Raises for the checks that did not pass, unless someone keeps each of them as red as it is at the base."""
    base = (run.job.baseline or Baseline()).commit
    for each in failed:
        known = before.get(each.criterion.check)
        if known is None or not base:
            continue
        if known.result == "green":  # did the work turn it red, or the world?
            at(run, inputs, base)
            again, _ = check_one(run, inputs, each.number, each.criterion)
            if again["passed"]:
                continue
            each.check["moved"] = True
            known = known._replace(exit=again["exit"], output=again["output"])
        each.check["unchanged"] = same(each.check["exit"], each.check["output"], known.exit, known.output)
    write_json(run.folder / "checks.json", run.result.checks)
    failed = [each for each in failed if not (each.criterion.kept and each.check.get("unchanged"))]
    if not failed:
        return
    own = [each for each in failed if not _is_unchanged(run, each.check)]
    if own or not (run.job.kind != "feature" or any(_turned_green(check) for check in run.result.checks)):
        refused = all(each.check.get("refused") for each in own or failed)
        raise (CannotRun if refused else AgentFailed)((own or failed)[0].reason)
    raise UnchangedSinceBase(" ".join(_unchanged(each) for each in failed))


def _is_unchanged(run: Run, check: dict[str, Any]) -> bool:
    """In a recheck, a check that is red again as at the base was green in between, so one of the changes is at fault; unless it was green at the base, too."""
    return bool(check.get("unchanged") and (run.job.kind != "recheck" or check.get("moved")))


def _turned_green(check: dict[str, Any]) -> bool:
    """True for a check that the work had to turn green, and did."""
    return bool(check["passed"]) and check.get("before") != "green"


def _unchanged(each: _Failed) -> str:
    name = one_line(each.criterion.check)[:200]
    if each.check.get("moved"):
        return f"The check “{name}” was green at the base, and is red there now, in the same way as after the work. Something else has changed."
    return f"The check “{name}” is red in the same way as at the base, before any work."


def to_check(job: Job) -> list[Criterion]:
    return [criterion for criterion in job.criteria if criterion.check and not criterion.waived]


def give_scripts(run: Run) -> Path:
    """Copies the files that a check's sandbox needs, once. -> the folder of its inputs"""
    inputs = run.folder / "checks" / "in"
    if not (inputs / "check.sh").exists():
        inputs.mkdir(parents=True, exist_ok=True)
        copy_relay(run, inputs)
        copy_scripts(inputs, "check.sh", "clone.sh", "services.sh")
        give_ground(run, inputs)
    return inputs


def at(run: Run, inputs: Path, commit: str) -> None:
    """Lets the next checks run on this commit."""
    write_values(inputs / "job", integration=run.job.integration, tip=commit, service_seconds=services.seconds(run.job.limits))


def check_one(run: Run, inputs: Path, number: int, criterion: Criterion) -> tuple[dict[str, Any], str | None]:
    """-> ({text, command, exit, seconds, output, passed}, why it did not pass)"""
    since, output, code, late = time.monotonic(), Output(run.log, PHASE + b"check "), None, None
    write(inputs / f"check-{number}", criterion.check.replace("\r\n", "\n") + "\n")
    folder, seconds = run.folder / "checks" / f"out-{number}", run.job.limits.check_seconds
    try:
        code = run_sandbox(run, "check.sh", inputs, folder, {"SWARM_CHECK": str(number)}, output, run.bounds(seconds))
    except AgentFailed as error:
        failure = services.blamed(error, inputs, output)
        if not isinstance(failure, OverTime):
            raise failure from error
        late = failure.sentence
    finally:
        remove(folder)  # nothing that a check leaves is needed
    services.refuse_failed(code or 0, output)
    if code and not output.reached:
        if code == UNUSABLE_BUNDLE:
            raise AgentFailed(f"The agent's work cannot be used: {output.last_line()}")
        raise Transient(f"The check could not start: {output.last_line() or f'exit code {code}'}")
    name, reason = one_line(criterion.check)[:200], None
    if late:
        reason = f"The check “{name}” did not pass. {late}"
    elif code:
        reason = f"The check “{name}” failed with exit code {code}."
    if reason and run.services.ended:
        reason = f"{reason} {run.services.ended}"
    check = {"text": criterion.text, "command": criterion.check, "exit": code, "seconds": round(time.monotonic() - since, 3),
             "output": output.text(), "passed": code == 0}
    troubles = run.troubles()
    return check, _with_troubles(check, reason, troubles) if reason and troubles else reason


def _with_troubles(check: dict[str, Any], reason: str, troubles: list[tuple[str, str]]) -> str:
    """Says in a check that failed which hosts its network refused. check["refused"] is set if its output tells of them: many programs ask for hosts that
    they do not need. -> the reason with the host and the setting"""
    said = check["output"]
    told = [sentence for host, sentence in troubles if host.partition(":")[0] in said or _REFUSED.search(said)]
    check["output"] = "\n".join([said.rstrip("\n"), *(sentence for _, sentence in troubles)]).lstrip("\n")
    if told:
        check["refused"] = told
    return f"{reason} {(told or [sentence for _, sentence in troubles])[0]}"
