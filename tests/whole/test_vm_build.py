"""Whole builds in virtual machines. Many boots: make vm-test."""
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import build, git, until
from real_engine import completed, ended, feature, integration, running
from vms import furnish

from engine.commands import run_ticket
from engine.config import ROOT, Config
from engine.runtimes.qemu.command import PROGRAM
from engine.store.db import Database
from hitl.card import sample

pytestmark = pytest.mark.vm
PATIENCE = 400.0


@pytest.fixture
def vms(config: Config) -> Config:
    return furnish(config)


def test_the_sample_project_is_built_checked_and_merged_in_machines(db: Database, vms: Config, tmp_path: Path) -> None:
    session = build(db, vms, sample.card())
    with running(db, vms) as engine:
        assert engine.choice.runtime.name == "qemu"
        completed(db, session, PATIENCE)
    repository, branch = integration(db, vms, session)
    git(tmp_path, "clone", "-q", "-b", branch, str(repository), "clone")
    subprocess.run(["python3", "-m", "unittest", "discover"], cwd=tmp_path / "clone", check=True, capture_output=True)
    run = db.one("select * from runs where ticket_id = 'TKT-002'")
    assert run is not None
    vm = json.loads(run["vm"])
    assert (run["runtime"], vm["memory_mb"], vm["boots"]) == ("qemu", 512, 3)
    assert vm["accelerator"] in ("kvm", "tcg") and vm["boot_ms"] > 0 and json.loads(run["phases"])["boot"] >= vm["boot_ms"]


def test_a_ticket_is_run_in_a_machine_by_the_command(db: Database, vms: Config, capsys: pytest.CaptureFixture[str]) -> None:
    build(db, vms, {"name": "Test", "features": [feature("F1", "uname -v > system")]})
    assert run_ticket.run_ticket(db, vms, "TKT-001") == 0
    assert run_ticket.run_ticket(db, vms, "TKT-002") == 0
    assert "run 1 of kind feature, qemu" in capsys.readouterr().out


def test_a_machine_outlives_the_server_and_the_next_one_adopts_its_run(db: Database, vms: Config) -> None:
    build(db, vms, {"name": "Test", "features": [feature("F1", "echo began; sleep 15; echo done > file")]})
    program = ("import sys, time, pickle\nfrom engine.store.db import open_database\nfrom engine.loop.loop import SwarmEngine\n"
               "config = pickle.load(sys.stdin.buffer)\nSwarmEngine(open_database(config.database), config).start()\ntime.sleep(600)")

    server = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert server.stdin is not None
    server.stdin.write(pickle.dumps(vms))
    server.stdin.close()
    log = until(lambda: next((path for path in (vms.data / "runs").glob("TKT-002*/log") if b"began" in path.read_bytes()), None), PATIENCE)
    server.kill()
    server.wait()
    assert any(PROGRAM in line for line in vms_of(log.parent.name)), "the machine is still there"
    with running(db, vms):
        run = ended(db, "TKT-002", PATIENCE)
    assert (run["outcome"], run["run_no"], run["id"]) == ("merged", 1, log.parent.name)
    until(lambda: not vms_of(log.parent.name))


def vms_of(run: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"SWARM_RUN={run}".encode() in (path / "environ").read_bytes().split(b"\0"):
                found.append((path / "cmdline").read_text().replace("\0", " "))
        except OSError:  # gone meanwhile
            continue
    return found
