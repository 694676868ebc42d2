"""A baseline run: what each check says at the base, before any work. Sets result.base, result.checks with `result` in each, and result.ground: {key},
or {missing: key} if the environment has to be made first."""
import time
from collections import Counter
from pathlib import Path
from typing import Any

from engine.environments import layers
from engine.environments.cannot_run import Base, why_cannot_run
from engine.errors import AgentFailed, Permanent
from engine.files import write_json
from engine.git.repository import Repository
from engine.git.tree import TreeAt
from engine.ground import Baseline, Ground
from engine.jobs import Criterion
from engine.run.checks import at, check_one, give_scripts, to_check
from engine.run.history import give_commit
from engine.run.limits import OverLimit
from engine.run.prepare import fetched_base
from engine.run.sandbox import Run
from engine.run.setup import key_at

BRANCH = "swarm-baseline/"  # branches that exist only while their bundle is made


def baseline(run: Run) -> None:
    """Runs each check of the job that is not known at the base; several times if the job says so."""
    since, given, repository = time.monotonic(), run.job.baseline or Baseline(), Repository(Path(run.job.repository))
    commit = given.commit or fetched_base(run, repository)
    if commit is None:
        run.result.request = None
        raise Permanent("The repository is empty, so there is nothing to check yet.")
    run.result.base = commit
    run.timed("prepare", since)
    if not _stands(run, repository, commit):
        run.result.outcome = "ok"
        return
    key = run.job.ground.key if run.job.ground else ""
    known = given.known.get(f"{commit} {key}", ())
    todo = [criterion for criterion in to_check(run.job) if criterion.check not in known]
    if todo:
        run.job = run.job._replace(integration=f"{BRANCH}{run.job.run}")
        inputs = give_scripts(run)
        give_commit(run, repository, commit, run.job.integration, inputs / "in.bundle")
        at(run, inputs, commit)
        base = Base(TreeAt(repository, commit))
        for number, criterion in enumerate(todo, 1):
            since = time.monotonic()
            run.result.checks.append(_measured(run, inputs, number, criterion, base, max(1, given.times)))
            write_json(run.folder / "checks.json", run.result.checks)
            run.timed("checks", since)
    run.result.outcome = "ok"


def _stands(run: Run, repository: Repository, commit: str) -> bool:
    """Sets the ground of the run. False: its environment has to be made first."""
    job, data = run.job, run.folder.parent.parent
    if job.setup is not None:
        key, _, _ = key_at(job.setup, repository, commit)
        if layers.read(layers.root(data) / key) is None:
            run.result.ground = {"missing": key}
            return False
        run.job = job._replace(ground=(job.ground or Ground())._replace(key=key))
    run.result.ground = {"key": run.job.ground.key if run.job.ground else ""}
    return True


def _measured(run: Run, inputs: Path, number: int, criterion: Criterion, base: Base, times: int) -> dict[str, Any]:
    """-> a check as check_one() has it, with result and runs. Of several tries, one that failed is shown."""
    tries = [_tried(run, inputs, number, criterion) for _ in range(times)]
    shown = next((each for each in tries if not each["passed"]), tries[0])
    states = Counter(each["passed"] for each in tries)
    why = "" if shown["passed"] else " ".join(shown.get("refused", ())) or why_cannot_run(base, shown["exit"], shown["output"], criterion.check)
    if len(states) > 1:
        result = "flaky"
        shown["output"] = f"{states[False]} of {times} runs failed.\n{shown['output']}"
    elif why:
        result = "cannot_run"
        shown["output"] = f"{why}\n{shown['output']}"
    else:
        result = "green" if shown["passed"] else "red"
    return {**shown, "result": result, "runs": times}


def _tried(run: Run, inputs: Path, number: int, criterion: Criterion) -> dict[str, Any]:
    """One run of a check. One that went over a limit of its sandbox is red, and says which."""
    since = time.monotonic()
    try:
        check, reason = check_one(run, inputs, number, criterion)
    except AgentFailed as error:
        if run.log.is_full or not isinstance(error, OverLimit):
            raise
        check, reason = {"text": criterion.text, "command": criterion.check, "exit": None, "seconds": round(time.monotonic() - since, 3),
                         "output": "", "passed": False}, error.sentence
    if check["exit"] is None:
        check["output"] = f"{check['output'].rstrip()}\n{reason}".lstrip()
    return check
