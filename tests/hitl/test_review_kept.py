"""What was reviewed is kept when the branch is written anew and git cleans up: the change since, and comments beside their lines."""
import dataclasses

import pytest
from conftest import git
from reviewing import SHOP

from engine.git.branches import GitBranches, HandOver, reviewed_ref
from engine.git.repository import Repository
from engine.jobs import Result
from engine.loop.loop import prune

ROOT = "/api/tickets/TKT-002"


def reviewed(work, config, run, tip):
    """What finishing does with a run whose commit a person is to see."""
    result = Result(f"TKT-002-{run}-x", "ok", 0, base=work.base, tip=tip)
    branch = git(work.path, "for-each-ref", "--format=%(refname:lstrip=2)", "--points-at", tip, "refs/heads/swarm").split()[0]
    kept = HandOver(result.run, "TKT-002", "F1", work.path.name.removesuffix(".git"), branch, "", result, reviewed=run)
    assert GitBranches(config).keep(kept) == GitBranches(config).keep(kept) == tip


def rewritten(work, config, keep=True):
    """Two rounds, the second on the base again instead of on the first. -> their tips"""
    work.write("shop.py", SHOP + "\n\nCURRENCY = 'EUR'\n")
    first = work.hand_over()
    if keep:
        reviewed(work, config, 1, first)
    work.client.post(f"{ROOT}/comments", json={"tip": first, "path": "shop.py", "side": "R", "line": 8, "body": "As a setting."})
    work.client.post(f"{ROOT}/request-changes", json={})
    git(work.tree, "reset", "-q", "--hard", work.base)
    work.write("shop.py", "import decimal\n" + SHOP + "\n\nCURRENCY = 'EUR'\n")
    second = work.hand_over()
    if keep:
        reviewed(work, config, 2, second)
    git(work.path, "gc", "-q", "--prune=now")
    return first, second


@pytest.mark.parametrize("keep", [True, False])
def test_a_reviewed_commit_outlives_a_branch_that_is_written_anew(client, db, config, work, keep):
    work.client = client
    first, second = rewritten(work, config, keep)
    found = client.get(f"{ROOT}/review").json
    assert (found["tip"], found["reviewed"]) == (second, [first] if keep else [])
    answer = client.get(f"{ROOT}/review?since={first}")
    assert answer.status_code == (200 if keep else 404)
    if keep:
        assert [(each["path"], each["added"], each["removed"]) for each in answer.json["files"]] == [("shop.py", 1, 0)]
    assert [(each["now"], each["outdated"]) for each in found["comments"]] == [(9, False) if keep else (None, True)]


def test_it_goes_when_the_runs_of_the_ticket_are_cleared_away(client, db, config, work):
    work.client = client
    rewritten(work, config)
    refs = Repository(work.path)
    for run in (1, 2):
        (config.data / "runs" / f"TKT-002-{run}-x").mkdir(parents=True)
        (config.data / "runs" / f"TKT-002-{run}-x" / "log").write_text("x")
    db.execute("update runs set ended_at = '2020-01-01T00:00:00.000Z' where ended_at is not null")
    prune.prune(db, config)
    assert refs.head(reviewed_ref("TKT-002", 1)) and refs.head(reviewed_ref("TKT-002", 2)), "its ticket is open"
    db.execute("update tickets set status = 'cancelled' where id = 'TKT-002'")
    with refs.locked():
        prune.prune(db, dataclasses.replace(config, keep_days=1))
    assert refs.head(reviewed_ref("TKT-002", 1)) and (config.data / "runs" / "TKT-002-1-x").exists(), "somebody writes in the repository: another time"
    prune.prune(db, dataclasses.replace(config, keep_days=1))
    assert refs.head(reviewed_ref("TKT-002", 1)) is None and refs.head(reviewed_ref("TKT-002", 2)) is None
    assert not (config.data / "runs" / "TKT-002-1-x").exists()
