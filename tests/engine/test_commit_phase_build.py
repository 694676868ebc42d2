"""What the commit phase finds, through whole builds: the ticket that it fails, the next attempt that has what was left, the review that it asks for."""
import dataclasses
import json

import pytest
from conftest import build, git, require, state, statuses, until
from real_engine import completed, ended, feature, integration, running

from engine.config import Config
from engine.store.db import Database
from engine.tickets import actions


@pytest.fixture
def real(config: Config) -> Config:
    require("bwrap")
    return dataclasses.replace(config, runtime="bubblewrap", slots=2, synchronous="NORMAL", poll_seconds=0.5)


def merged(db: Database, real: Config, session: str) -> list[str]:
    """The merged files, but for those of a fresh repository."""
    repository, branch = integration(db, real, session)
    return [path for path in git(repository, "ls-tree", "-r", "--name-only", branch).split("\n")[:-1] if path not in (".gitignore", "README.md")]


def reason(db: Database, outcome: str) -> str:
    return str(db.value("select reason from runs where ticket_id = 'TKT-002' and outcome = ? order by seq limit 1", (outcome,)))


MERGED = {
    "a look at an older commit": (["for n in one two; do echo $n > $n.txt; git add -A; git commit -qm $n; done", "git checkout -q HEAD~1"],
                                  ["one.txt", "two.txt"], "None"),
    "a nested repository": (["mkdir sub; cd sub; git init -q; echo a > a.txt; git add -A; git commit -qm a"], ["sub/a.txt"], "sub was a repository of its own"),
    "an unreadable file": (["echo x > x.txt; echo s > secret; chmod 000 secret"], ["x.txt"],
                           "secret could not be read, so it was left out: Permission denied."),
    "a virtual environment": (["python3 -m venv --without-pip .venv; echo x > x.txt"], ["x.txt"], "None"),
}


@pytest.mark.parametrize("name", MERGED)
def test_all_that_an_agent_made_is_merged_and_the_ticket_says_what_is_not(db: Database, real: Config, name: str) -> None:
    commands, paths, said = MERGED[name]
    session = build(db, real, {"name": "Whole", "features": [feature("F", *commands)]})
    with running(db, real):
        completed(db, session)
    assert merged(db, real, session) == paths and reason(db, "merged").startswith(said)
    assert str(db.value("select reason from tickets where id = 'TKT-002'")).startswith(said)


def test_work_on_another_branch_fails_the_attempt_and_the_next_one_has_it(db: Database, real: Config) -> None:
    commands = ["if git rev-parse -q --verify swarm-kept/1; then",
                "  grep -q '^- swarm-kept/1: [0-9a-f]* work$' \"$SWARM_PROMPT\"; git cherry-pick swarm-kept/1; exit; fi",
                "git checkout -q -b my-work; echo x > x.txt; git add -A; git commit -qm work; git checkout -q -"]
    session = build(db, real, {"name": "Kept", "features": [feature("F", *commands)]})
    with running(db, real):
        completed(db, session)
    assert [row[0] for row in db.all("select outcome from runs where ticket_id = 'TKT-002' order by seq")] == ["failed", "merged"]
    assert "refs/heads/my-work (1 commit, the newest is " in reason(db, "failed") and merged(db, real, session) == ["x.txt"]


def test_a_run_that_made_ignored_files_alone_names_them(db: Database, real: Config) -> None:
    real = dataclasses.replace(real, max_attempts=1)
    command = "mkdir -p .git/info; echo 'out/' >> .git/info/exclude; mkdir out; echo result > out/result.txt"
    build(db, real, {"name": "Ignored", "features": [feature("F", command)]})
    with running(db, real):
        run = ended(db, "TKT-002")
    assert run["reason"] == ("The agent changed nothing, and no check shows that no change was needed. "
                             "1 file that the run made is ignored: out/result.txt.")


def test_byte_code_of_two_features_does_not_conflict(db: Database, real: Config) -> None:
    core = feature("Core", "mkdir -p app; echo X=1 > app/core.py; : > app/__init__.py; python3 -c 'import app.core'")
    a = feature("A", "printf 'import app.core\\n' > app/a.py; echo X=2 >> app/core.py; python3 -c 'import app.a'", depends_on=["Core"])
    b = feature("B", "printf 'import app.core\\n' > app/b.py; python3 -c 'import app.b'; touch -d 2001-01-01 app/core.py; python3 -c 'import app.core'",
                depends_on=["Core"])
    session = build(db, real, {"name": "Code", "features": [core, a, b]})
    with running(db, real):
        completed(db, session)
    assert merged(db, real, session) == ["app/__init__.py", "app/a.py", "app/b.py", "app/core.py"]
    assert db.value("select count(*) from runs where outcome = 'conflict'") == 0


@pytest.mark.parametrize(("command", "looked_at"), [
    ("git rm -q 'f1*'", "The change deletes 21 of the 40 files that were there."), ("git rm -q f10 f20", ""), ("mkdir in; git mv f* in/", "")])
def test_a_change_that_deletes_most_files_goes_to_review_whatever_the_card_says(db: Database, real: Config, command: str, looked_at: str) -> None:
    make = "for n in $(seq 100 119) $(seq 20 36) 10; do echo $n > f$n; done"
    session = build(db, real, {"name": "Delete", "review": False, "features": [feature("Make", make), feature("Delete", command, depends_on=["Make"])]})
    with running(db, real):
        if looked_at:
            until(lambda: statuses(db, session)["TKT-003"] == "in_review")
            assert db.value("select reason from tickets where id = 'TKT-003'") == looked_at
            assert looked_at in db.value("select body from requests where kind = 'review'")
            actions.approve(db, "default", "TKT-003")
        completed(db, session)
    assert db.value("select count(*) from requests where kind = 'review'") == int(bool(looked_at))


def test_the_result_of_a_run_has_what_the_commit_phase_said(db: Database, real: Config) -> None:
    command = "echo x > x.txt; echo s > secret; chmod 000 secret; echo 'o' > .gitignore; echo > o"
    session = build(db, real, {"name": "Result", "features": [feature("F", command)]})
    with running(db, real):
        until(lambda: state(db, session) in ("completed", "failed"))
    result = json.loads((real.data / "runs" / ended(db, "TKT-002")["id"] / "result.json").read_text())
    assert result["notes"] == ["secret could not be read, so it was left out: Permission denied."]
    assert result["ignored"] == "1 file that the run made is ignored: o."
