"""What the checks of a card say at the base: before the first agent begins, and when they are red after its work."""
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HANG, build, git, require, state, until
from real_engine import completed, feature, running

from engine.config import Config
from engine.environments.steps import Steps, digest
from engine.repositories import sources, versions
from engine.repositories.settings import set_without
from engine.runs import wanted
from engine.store.db import Database
from engine.tickets import answers, requests

SUITE = "sh suite.sh"
RED = "echo 'FAILED old_test - broken long ago at 0x7f001122 in 1.5s'; exit 3"


@pytest.fixture()
def config(tmp_path: Path) -> Config:
    require("bwrap")
    return Config(data=tmp_path / "data", runtime="bubblewrap", agent="runbook", slots=2, backoff_seconds=0.0, max_attempts=1, repository_roots=(tmp_path,))


@pytest.fixture()
def remote(tmp_path: Path) -> Iterator[Path]:
    """A repository whose suite is red before any work."""
    work, bare = tmp_path / "work", tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "-b", "main", str(work))
    (work / "suite.sh").write_text(RED + "\n")
    (work / "guard.sh").write_text("exit 0\n")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "First")
    git(tmp_path, "clone", "-q", "--bare", str(work), str(bare))
    yield bare


def card(remote: Path, *checks: str, work: str = "echo a > a.txt", whole: tuple[str, ...] = (), review: bool = False) -> dict:
    criteria = [{"text": f"it holds: {check}"[:60], "check": check} for check in checks]
    return {"name": "Base", "repository": str(remote), "checks": list(whole), "features": [feature("A", work, acceptance_criteria=criteria)], "review": review}


def said(db: Database) -> dict[str, str]:
    return {row["command"]: row["result"] for row in db.all("select command, result from baselines order by seq")}


def request(db: Database) -> dict:
    return dict(until(lambda: db.one("select * from requests where state = 'open'"), HANG, "a request is open"))


def test_each_check_runs_once_at_the_base_before_the_first_agent(db: Database, config: Config, remote: Path) -> None:
    session = build(db, config, card(remote, "test -e a.txt", "sh guard.sh", whole=("test -e a.txt", "sh guard.sh")))
    with running(db, config):
        completed(db, session)
        assert said(db) == {"test -e a.txt": "red", "sh guard.sh": "green"}
        kinds = [row[0] for row in db.all("select kind from runs order by started_at")]
        assert kinds[:3] == ["prepare", "baseline", "feature"] and db.value("select count(*) from requests") == 0
        completed(db, build(db, config, card(remote, "test -e a.txt", "test -e b.txt", work="touch a.txt b.txt")))
    rows = db.all("select checks from runs where kind = 'baseline' order by seq")
    assert len(rows) == 2 and "b.txt" in rows[1][0] and "guard.sh" not in rows[1][0] and "a.txt" not in rows[1][0], "only what is not known runs"


@pytest.mark.parametrize("how", ["waive", "without", "again"])
def test_a_check_that_cannot_run_asks_before_any_agent(db: Database, config: Config, remote: Path, tmp_path: Path, how: str) -> None:
    session = build(db, config, card(remote, "test -e a.txt", "no-such-program --version", whole=("no-such-program --version",)))
    with running(db, config):
        asked = request(db)
        assert asked["kind"] == "baseline" and asked["ticket_id"] == db.value("select id from tickets where type = 'epic'")
        assert "The program no-such-program is not in the sandbox (exit 127)." in asked["body"]
        assert db.value("select count(*) from runs where kind = 'feature'") == 0
        if how == "waive":
            answers.answer_request(db, "default", asked["seq"], requests.waive_checks(1))
            completed(db, session)
            assert db.value("select count(*) from tickets where acceptance_criteria like '%\"waived\": \"It cannot run at the base.\"%'") == 2
        elif how == "without":
            answers.answer_request(db, "default", asked["seq"], requests.GO_ON)
            assert "no-such-program" in request(db)["body"] and db.value("select type from tickets where status = 'needs_input'") == "feature"
        else:
            answers.answer_request(db, "default", asked["seq"], requests.TRY_AGAIN)
            until(lambda: db.value("select count(*) from runs where kind = 'baseline' and ended_at is not null") == 2, HANG, "it is tried again")
            again = request(db)
            assert again["seq"] > asked["seq"] and again["kind"] == "baseline"
            steps = Steps(setup=("mkdir -p .venv/bin; printf '#!/bin/sh\n' > .venv/bin/no-such-program; chmod +x .venv/bin/no-such-program",),
                          env={"PATH": "$SWARM_WORK/repo/.venv/bin:$PATH"})
            repository = sources.row_for(db, config, "default", str(remote))
            versions.propose(db, repository, steps, "page")
            versions.approve(db, repository["id"], digest(steps), "you")
            answers.answer_request(db, "default", again["seq"], requests.TRY_AGAIN)
            completed(db, session)
            assert said(db)["no-such-program --version"] == "green", "on the environment that was made meanwhile"
    assert db.value("select sum(failures) from tickets") == 0


def test_nothing_else_holds_a_build_up(db: Database, config: Config, remote: Path) -> None:
    """What the base does not have yet is red; a run that is stopped is done without."""
    session = build(db, config, card(remote, "sh new.sh", "./later.sh", work="echo true > new.sh; cp new.sh later.sh; chmod +x later.sh"))
    with running(db, config):
        completed(db, session)
        assert said(db) == {"sh new.sh": "red", "./later.sh": "red"}
        slow = build(db, config, card(remote, "test -e a.txt || sleep 300"))
        run = until(lambda: wanted.current(db, "baseline", "session", slow), HANG, "the baseline is wanted")
        wanted.cancel(db, "default", run["id"])
        completed(db, slow)
    assert db.value("select count(*) from requests") == 0


def test_a_repository_of_the_sessions_own_has_no_baseline(db: Database, config: Config) -> None:
    session = build(db, config, {"name": "Fresh", "checks": ["no-such-program || true"], "features": [
        feature("A", "echo a > a.txt", acceptance_criteria=[{"text": "a", "check": "test -e a.txt"}])]})
    with running(db, config):
        completed(db, session)
    assert db.value("select count(*) from runs where kind = 'baseline'") == 0 and db.value("select count(*) from requests") == 0


@pytest.mark.parametrize("how", [requests.KEEP, requests.waive_checks(1), requests.SEND_BACK])
def test_a_check_as_red_as_at_the_base_goes_to_a_person(db: Database, config: Config, remote: Path, how: str) -> None:
    """The feature's own criterion turned green, and the suite is as red as before: no attempt is used up."""
    session = build(db, config, card(remote, "test -e a.txt", SUITE))
    with running(db, config):
        asked = request(db)
        assert asked["kind"] == "baseline" and "is red in the same way as at the base" in asked["body"] and how in asked["options"]
        ticket = db.one("select * from tickets where id = ?", (asked["ticket_id"],))
        assert (ticket["status"], ticket["failures"], ticket["type"]) == ("needs_input", 0, "feature")
        answers.answer_request(db, "default", asked["seq"], how)
        if how == requests.SEND_BACK:
            until(lambda: db.value("select count(*) from runs where kind = 'feature' and ended_at is not null") == 2, HANG, "the agent goes on")
            assert request(db)["kind"] == "baseline" and db.value("select sum(failures) from tickets") == 0
            told = (config.data / "runs" / db.value("select id from runs where kind = 'feature' order by seq desc") / "job.json").read_text()
            assert "is red in the same way as at the base" in told and "A: Send it back" in told
            return
        completed(db, session)
    assert [row[0] for row in db.all("select outcome from runs where kind = 'feature' order by seq")] == ["needs_input", "merged"]
    assert db.value("select count(*) from runs where kind = 'feature' and phases like '%work%'") == 1, "the agent is not asked again"


def test_a_check_of_the_feature_itself_that_stays_red_is_a_failed_attempt(db: Database, config: Config, remote: Path) -> None:
    session = build(db, config, card(remote, "test -e never.txt", "sh guard.sh"))
    with running(db, config):
        until(lambda: state(db, session) == "failed", HANG, "the build fails")
    assert db.value("select failures from tickets where type = 'feature'") == 1
    assert db.value("select count(*) from requests where kind = 'baseline'") == 0


def test_a_check_that_fails_in_another_way_is_a_failed_attempt(db: Database, config: Config, remote: Path) -> None:
    session = build(db, config, card(remote, "test -e a.txt", SUITE, work="touch a.txt; echo 'echo FAILED new_test - mine; exit 3' > suite.sh"))
    with running(db, config):
        until(lambda: state(db, session) == "failed", HANG, "the build fails")
    assert db.value("select failures from tickets where type = 'feature'") == 1


def test_a_check_that_turned_red_without_the_work_runs_once_more_at_the_base(db: Database, config: Config, remote: Path) -> None:
    """The world moved: what was green at the base is red there now."""
    repository = sources.row_for(db, config, "default", str(remote))
    session = build(db, config, card(remote, "test -e a.txt", SUITE))
    base = git(remote, "rev-parse", "main").strip()
    for command, result in ((SUITE, "green"), ("test -e a.txt", "red")):
        db.execute("insert into baselines (repository_id, base_sha, environment_key, command, result, exit) values (?, ?, '', ?, ?, 0)",
                   (repository["id"], base, command, result))
    with running(db, config):
        asked = request(db)
        assert asked["kind"] == "baseline" and "was green at the base, and is red there now" in asked["body"]
        assert said(db)[SUITE] == "flaky" and db.value("select sum(failures) from tickets") == 0
        answers.answer_request(db, "default", asked["seq"], requests.KEEP)
        completed(db, session)


def test_a_guard_that_the_work_broke_is_its_own_failure(db: Database, config: Config, remote: Path) -> None:
    session = build(db, config, card(remote, "test -e a.txt", "sh guard.sh", work="touch a.txt; echo 'exit 1' > guard.sh"))
    with running(db, config):
        until(lambda: state(db, session) == "failed", HANG, "the build fails")
    assert db.value("select failures from tickets where type = 'feature'") == 1 and said(db)["sh guard.sh"] == "green"


@pytest.mark.parametrize("how", [requests.KEEP, requests.waive_checks(1)])
def test_a_check_on_the_whole_that_is_as_red_as_at_the_base_goes_to_a_person(db: Database, config: Config, remote: Path, how: str) -> None:
    session = build(db, config, card(remote, "test -e a.txt", whole=(SUITE, "test -e a.txt")))
    with running(db, config):
        asked = request(db)
        assert asked["kind"] == "baseline" and db.value("select type from tickets where id = ?", (asked["ticket_id"],)) == "epic"
        answers.answer_request(db, "default", asked["seq"], how)
        completed(db, session)
    assert db.value("select sum(failures) from tickets") == 0


def test_a_change_whose_red_checks_are_kept_is_still_reviewed(db: Database, config: Config, remote: Path) -> None:
    build(db, config, card(remote, "test -e a.txt", SUITE, review=True))
    with running(db, config):
        answers.answer_request(db, "default", request(db)["seq"], requests.KEEP)
        asked = request(db)
    assert asked["kind"] == "review" and db.value("select status from tickets where id = ?", (asked["ticket_id"],)) == "in_review"


def test_checks_stand_on_the_environment_of_the_build(db: Database, config: Config, remote: Path) -> None:
    """A repository that goes on without an environment has its checks measured on the system alone."""
    repository = sources.row_for(db, config, "default", str(remote))
    set_without(db, repository["id"], True)
    completed_without = build(db, config, card(remote, "test -e a.txt"))
    with running(db, config):
        completed(db, completed_without)
    assert [row[0] for row in db.all("select distinct environment_key from baselines")] == [""]
