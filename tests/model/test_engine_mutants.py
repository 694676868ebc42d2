"""Is the model worth having? An engine with one safeguard taken out must not get past it; a copy with nothing taken out must."""
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from agent_side import WHEN, Agent
from conftest import build, git, statuses

from engine.config import ROOT, Config
from engine.git.branches import GitBranches, repository_path
from engine.git.repository import Repository
from engine.jobs import Result
from engine.loop.launch import Look
from engine.loop.loop import SwarmEngine
from engine.runtimes import Choice, Fake
from engine.store.db import Database

MODEL = "tests/model/test_engine_model.py"
FAIRNESS = "tests/engine/test_fairness.py"
REPEATED = "tests/model/test_engine_mutants.py::test_a_finish_that_is_repeated_merges_its_run_once"
EXAMPLES = "30"


class Mutant(NamedTuple):
    file: str
    old: str
    new: str
    judge: str = MODEL


MUTANTS = {
    "a stale run finishes its ticket": Mutant(
        "engine/tickets/claims.py",
        "change_rows(db, status, HELD_BY, ", "change_rows(db, status, \"id = :id and status in ('claimed', 'running')\", "),
    "a stale run begins": Mutant(
        "engine/tickets/claims.py", "f\"id = :id and claim_token = :token and status = '{status}'\"", "f\"id = :id and status = '{status}'\""),
    "a session with runs comes before one without": Mutant(
        "engine/tickets/claims.py", " where turn.id not in (select session_id from runs where {BUSY} and session_id is not null) limit", " limit",
        FAIRNESS),
    "the sessions of a tenant take no turns": Mutant("engine/tickets/claims.py", "    last = _last_session(db, tenant)\n", "    last = \"\"\n", FAIRNESS),
    "what a card allows at the same time counts for nothing": Mutant(
        "engine/tickets/approved_card.py", "and most > 0)", "and False)"),
    "nothing is promoted": Mutant("engine/tickets/settle.py", "        promote(db, epic)\n", "        pass\n"),
    "start-build looks only before its transaction": Mutant(
        "hitl/ticket_generator.py", "        row = _approved(db, tenant, session_id)\n        if (row",
        "        row = sessions.get(db, tenant, session_id)\n"  # and neither does the move, which looks too
        "        db.execute(\"update hitl_sessions set state = 'approved' where id = ?\", (session_id,))\n        if (row"),
    "an alive run of a dead owner is lost": Mutant(
        "engine/loop/loop.py", "        look = self.launcher.look(run[\"id\"])\n",
        "        look = self.launcher.look(run[\"id\"])\n        look = type(look).LOST if run[\"claimed_by\"] != self.id else look\n"),
    "the runs of another living owner are taken over": Mutant(
        "engine/loop/loop.py", " and (run[\"claimed_by\"] == self.id or not is_owned(self.config, run[\"claimed_by\"]))", ""),
    "what was taken back lands with the others that were checked": Mutant(
        "engine/finish/landing.py", "held = len(members) == len(merges) and claims", "held = claims",
        "tests/engine/test_merge_queue.py::test_a_ticket_that_waits_to_be_merged_can_be_cancelled_and_the_rest_lands"),
    "a stale recheck sends back what waits": Mutant(
        "engine/finish/landing.py", "if passes or not _holds(db, run):", "if passes:",
        "tests/engine/test_merge_queue_in_memory.py::test_a_recheck_that_has_lost_its_claim_says_nothing_about_what_waits_now"),
    "a commit that is in the branch is merged again": Mutant(
        "engine/git/merge.py", "if repository.is_ancestor(tip, head):", "if head == tip:", REPEATED),
    "the pause after a failure stays as it is": Mutant(
        "engine/times.py", "first * 2.0 ** min(failures - 1, 30)", "first", "tests/engine/test_times.py"),
}


def copy_of_the_checkout(folder: Path) -> Path:
    """Of what the judges need. What is compiled already comes along: a copy keeps the times by which Python knows it."""
    for name in ("engine", "hitl", "tests/doubles", "tests/engine", "tests/model"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("static", "templates"))
    shutil.copy(ROOT / "tests" / "conftest.py", folder / "tests")
    for name in ("app.py", "schema.sql", "setup.cfg"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def judged(folder: Path, *judges: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "SWARM_MODEL_EXAMPLES": EXAMPLES, "SWARM_MODEL_SHRINK": "0"}
    return subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *judges], cwd=folder, env=environment,
                          capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_model_notices_when(name: str, tmp_path: Path) -> None:
    pytest.importorskip("hypothesis")
    mutant = MUTANTS[name]
    path = copy_of_the_checkout(tmp_path) / mutant.file
    text = path.read_text()
    assert text.count(mutant.old) == 1, f"{mutant.file} no longer holds this text exactly once: {mutant.old!r}"
    path.write_text(text.replace(mutant.old, mutant.new))
    done = judged(tmp_path, mutant.judge)
    assert done.returncode == 1, f"it survived:\n{done.stdout[-3000:]}{done.stderr[-1000:]}"
    assert "AssertionError" in done.stdout, "it died of something else:\n" + done.stdout[-3000:]


def test_the_model_passes_an_engine_with_nothing_taken_out(tmp_path: Path) -> None:
    pytest.importorskip("hypothesis")
    done = judged(copy_of_the_checkout(tmp_path), MODEL, REPEATED)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_a_finish_that_is_repeated_merges_its_run_once(db: Database, config: Config, tmp_path: Path) -> None:
    """Real git; the engine dies between a merge and its record, and the next one begins that finish again at the top."""
    from model_world import Died, ModelLauncher, MortalDatabase, Outside, die
    outside = Outside(db)

    def engine() -> SwarmEngine:
        mortal = MortalDatabase(config.database, outside)
        return SwarmEngine(mortal, config, ModelLauncher(outside, mortal), GitBranches(config), Choice(Fake()))
    session = build(db, config, {"name": "Two", "features": [{"title": "A"}, {"title": "B"}]})
    first = engine()
    first.tick()
    repository = Repository(repository_path(config, session))
    with repository.locked():
        repository.create()
        base = repository.start_fresh("Two", WHEN)
    prepare = next(iter(outside.runs.values()))
    branch = prepare.job.integration
    repository.set_branch(branch, base)
    prepare.look, prepare.result = Look.ENDED, Result(prepare.job.run, "ok", WHEN, base=base)
    first.tick()
    for run_id in outside.alive():
        _ends_well(config, repository, outside.runs[run_id], base, tmp_path / run_id)

    outside.plan = (3, _dies(Died))  # moments: stop, before and after the run is recorded as merging, before its end is
    with pytest.raises(Died):
        first.tick()
    die(first)
    assert _merges(repository, branch) == 1
    assert "completed" not in statuses(db, session).values(), "it died after the merge and before the record"
    second = engine()
    second.tick()
    die(second)
    assert list(statuses(db, session).values())[1:] == ["completed", "completed"]
    assert _merges(repository, branch) == 2


def _ends_well(config: Config, repository: Repository, process: object, base: str, folder: Path) -> None:
    agent = Agent(repository, folder, base)
    tip = agent.commit({process.job.ticket: "done\n"})
    out = config.data / "runs" / process.job.run / "out"
    out.mkdir(parents=True)
    shutil.copy(agent.bundle(base), out / "out.bundle")
    process.look, process.result = Look.ENDED, Result(process.job.run, "ok", WHEN, base=base, tip=tip)


def _merges(repository: Repository, branch: str) -> int:
    return int(git(repository.path, "rev-list", "--count", "--merges", branch))


def _dies(how: type[BaseException]) -> object:
    def act() -> None:
        raise how
    return act
