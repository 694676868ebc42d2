"""An update of the program finds live runs: those of the version before, and those whose checkout changes under them."""
import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import build, until
from gateway_client import CLIENT
from gateway_side import KEY
from model_upstream import served
from real_engine import completed, feature, running
from runner_bench import Bench, bench_of, log_of

from engine.config import ROOT, Config
from engine.errors import Refused
from engine.host.processes import RUN_VARIABLE, take_lock
from engine.job.access import keys_file
from engine.jobs import FORMAT, Access, Budget, Job, Result, VmSpec, as_json, format_of
from engine.loop.fakes import FakeBranches
from engine.loop.launch import Look, ProcessLauncher
from engine.loop.reap import Reaper
from engine.run import runner
from engine.store.db import Database

WAIT = 'until test -e "$SWARM_IN/go"; do sleep 0.05; done'
VM = {"accelerator": "tcg", "memory_mb": 512, "cpus": 1, "clone": True, "boots": 2, "boot_ms": 900}
# A runner of the version before: its result has no format, and calls the VM a machine.
RUNNER_OF_BEFORE = f"""
import json, sys
sys.path.insert(0, sys.argv[1])
from engine.files import write_json
from engine.jobs import Result
from engine.run.runner import main
def write(self, folder):
    values = dict(vars(self))
    values["machine"] = {VM!r} if values.pop("vm") == {{}} else None
    write_json(folder / "result.json", values)
Result.write = write
main(sys.argv[2])
"""


def as_before(values: dict[str, Any]) -> dict[str, Any]:
    """A job or a result as format 1 has it."""
    return {"machine" if name == "vm" else name: value for name, value in values.items() if name != "format"}


@pytest.fixture()
def of_before(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs are launched as the version before does it, until .undo()."""
    def write(self: Job, folder: Path) -> None:
        (folder / "job.json").write_text(json.dumps(as_before(as_json(self))))
    with monkeypatch.context() as patch:
        patch.setattr(Job, "write", write)
        patch.setattr(runner, "command", lambda root, folder: ["python3", "-c", RUNNER_OF_BEFORE, str(root), str(folder)])
        yield patch


def live_run(db: Database, ticket: str) -> str:
    return str(until(lambda: db.one("select id from runs where ticket_id = ? and state = 'running'", (ticket,)))["id"])


def go(config: Config, run: str) -> None:
    """Lets the script of a run go on."""
    (config.data / "runs" / run / "in" / "go").touch()


def test_live_runs_of_the_version_before_are_waited_for_and_finished_while_new_work_begins(
        client: Any, db: Database, config: Config, of_before: Any) -> None:
    config = dataclasses.replace(config, runtime="process", slots=2, synchronous="NORMAL", poll_seconds=0.2)
    session = build(db, config, {"name": "Before", "features": [feature("Old", WAIT, "echo old > old.txt", check="test -e old.txt"),
                                                                feature("New", "echo new > new.txt", depends_on=[])]})
    db.execute("update tickets set not_before = '2999-01-01T00:00:00.000Z' where id = 'TKT-003'")
    with running(db, config):
        old = live_run(db, "TKT-002")
        until((config.data / "runs" / old / "in" / "prompt.md").exists)
    of_before.undo()
    assert format_of(config.data / "runs" / old) == 1
    with running(db, config) as engine:
        db.execute("update tickets set not_before = null where id = 'TKT-003'")
        until(lambda: db.value("select status from tickets where id = 'TKT-003'") == "completed", what="new work is done meanwhile")
        assert client.get("/api/engine").get_json()["notice"] == "1 run of the earlier version is ending"
        assert "1 run of the earlier version is ending" in client.get("/engine").get_data(as_text=True)
        assert db.value("select state from runs where id = ?", (old,)) == "running" and engine.busy_slots() == 1
        go(config, old)
        completed(db, session)
    assert [tuple(row) for row in db.all("select id, outcome from runs where ticket_id = 'TKT-002'")] == [(old, "merged")]
    assert json.loads(db.value("select vm from runs where id = ?", (old,))) == VM, "its result says machine"
    assert client.get("/api/engine").get_json()["notice"] is None


def test_a_live_run_of_the_version_before_is_never_overdue_and_one_of_this_version_is(db: Database, config: Config, tmp_path: Path) -> None:
    job = Bench("process", tmp_path).job("true")
    launcher = ProcessLauncher(config)
    reaper = Reaper(db, config, launcher, FakeBranches())
    for name in ("ours", "before"):
        (launcher.folder(name)).mkdir(parents=True)
        job._replace(run=name).write(launcher.folder(name))
    path = launcher.folder("before") / "job.json"
    path.write_text(json.dumps(as_before(json.loads(path.read_text()))))
    live: Any = {"wanted": 1, "state": "running", "checked_by": None, "kind": "feature", "ticket_status": "cancelled"}
    assert reaper.step({**live, "id": "before"}, Look.ALIVE, 1e9) is None
    assert reaper.step({**live, "id": "ours"}, Look.ALIVE, 1e9) == reaper.end_overdue
    assert reaper.step({**live, "id": "before", "wanted": 0}, Look.ALIVE, 1.0) == reaper.end_unwanted, "a person may cancel it"


def test_jobs_and_results_of_the_version_before_are_read_and_those_of_a_later_one_are_left(tmp_path: Path) -> None:
    job = Bench("process", tmp_path).job("true", checks=("true",))._replace(vm=VmSpec("image", 512))
    result = Result("run", "ok", 7, vm=VM, tip="a" * 40)
    job.write(tmp_path)
    result.write(tmp_path)
    for name, read, made in (("job.json", Job.read, as_json(job)), ("result.json", Result.read, vars(result))):
        path = tmp_path / name
        now = json.loads(path.read_text())
        assert now["format"] == FORMAT and "machine" not in now
        path.write_text(json.dumps(as_before(now)))
        assert (as_json(read(tmp_path)) if name == "job.json" else vars(read(tmp_path))) == made
        path.write_text(json.dumps({**now, "format": FORMAT + 1}))
        with pytest.raises(Refused, match="written by a newer HITL Swarm"):
            read(tmp_path)


def test_a_recorded_run_of_the_version_before_is_read_as_it_was() -> None:
    folder = ROOT / "tests" / "data" / "runs" / "format_1"
    job, result = Job.read(folder), Result.read(folder)
    assert format_of(folder) == 1 and result is not None
    assert (job.ticket, job.kind, job.criteria[0].check, job.vm) == ("TKT-002", "feature", "test -e A.txt",
                                                                     VmSpec("/srv/data/images/default", 1024, 1, 4096, True, 60.0))
    assert (result.outcome, len(str(result.tip)), result.checks[0]["passed"], result.vm["accelerator"]) == ("ok", 40, True, "tcg")


@pytest.fixture(params=["bubblewrap", "process"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    yield from bench_of(request.param, tmp_path)


@pytest.mark.parametrize("with_gateway", [False, True])
def test_a_run_ends_well_though_its_checkout_is_gone_since_its_agent_began(bench: Bench, tmp_path: Path, with_gateway: bool) -> None:
    """As a git pull might take it away, all at once."""
    checkout = tmp_path / "checkout"
    subprocess.run(["cp", "-r", ROOT / "engine", ROOT / "schema.sql", "-t", _made(checkout)], check=True)
    ask = f"{CLIENT}\npython3 -c 'import client; print(client.ask(\"Hi\"))' | grep -q Hello\n" if with_gateway else ""
    with served() as model:
        access = Access({"openai": model.url + "/v1"}, (), 10, Budget()) if with_gateway else None
        job = bench.job(f"{WAIT}\n{ask}echo x > x.txt", checks=("test -e x.txt", "true"))._replace(access=access)
        folder = tmp_path / "data" / "runs" / job.run
        _made(folder)
        job.write(folder)
        lock, keys = take_lock(folder / "lock"), keys_file(Config(openai_key=KEY), job)
        assert lock is not None
        with open(folder / "runner.err", "wb") as errors:
            process = subprocess.Popen(runner.command(checkout, folder), pass_fds=[lock], start_new_session=True, stdin=keys, stdout=errors,
                                       stderr=errors, cwd="/", env={"PATH": os.environ["PATH"], RUN_VARIABLE: job.run})
        os.close(lock)
        os.close(keys)
        bench.runs.append(process)
        until(lambda: (folder / "log").exists() and "::phase agent" in log_of(folder))
        checkout.rename(tmp_path / "gone")
        (folder / "in" / "go").touch()
        process.wait(60)
    result = Result.read(folder)
    assert result is not None and (result.outcome, result.reason) == ("ok", None), log_of(folder) + (folder / "runner.err").read_text()
    assert [check["passed"] for check in result.checks] == [True, True] and (folder / "runner.err").read_text() == ""


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
