"""Builds of repositories of every kind, with real runs, and what is asked where a repository cannot be used."""
import dataclasses
import json
import socket
from pathlib import Path

import pytest
from agent_side import upstream
from conftest import build, git, require, state, statuses, until
from real_engine import completed, ended, feature, integration, running

from engine.config import Config
from engine.errors import BadRequest
from engine.finish.outcomes import MOST_REACHED
from engine.store.db import Database
from engine.tickets import actions, answers, reconcile, requests, same_question
from engine.tickets.rows import RequestRow, TicketRow

CARD = {"name": "Add", "features": [feature("Work", "echo more > more.txt", acceptance_criteria=[{"text": "there", "check": "test -s more.txt"}])]}


@pytest.fixture
def real(config: Config, tmp_path: Path) -> Config:
    return dataclasses.replace(config, runtime="process", synchronous="NORMAL", poll_seconds=0.5, repository_roots=(tmp_path,),
                               repository_protocols=("https", "ssh"))


def open_request(db: Database) -> RequestRow:
    return until(lambda: db.one("select * from requests where state = 'open' order by seq desc limit 1", (), RequestRow), what="a request")


def delivered(db: Database, session: str, target: Path) -> str:
    """The branch of the build in the target, once it is there whole."""
    completed(db, session)
    branch = db.value("select branch_name from tickets where session_id = ? and type = 'epic'", (session,))
    assert git(target, "show", f"{branch}:more.txt") == "more\n"
    return str(branch)


@pytest.mark.parametrize("runtime", ["bubblewrap", "process"])
def test_a_shallow_clone_is_built_upon_checked_and_gets_its_result(db: Database, real: Config, tmp_path: Path, runtime: str) -> None:
    if runtime == "bubblewrap":
        require("bwrap")
    git(tmp_path, "clone", "-q", "--depth", "2", f"file://{upstream(tmp_path / 'source', 9)}", "shallow")
    real = dataclasses.replace(real, runtime=runtime)
    card = {**CARD, "repository": str(tmp_path / "shallow"), "checks": ["test $(git rev-list --count HEAD) -ge 4"],
            "features": [*CARD["features"], feature("Next", "cat more.txt >> next.txt", "git log --oneline", depends_on=["Work"])]}
    session = build(db, real, card)
    with running(db, real):
        branch = delivered(db, session, tmp_path / "shallow")
    repository, _ = integration(db, real, session)
    assert (repository / "shallow").read_text() == (tmp_path / "shallow/.git/shallow").read_text()
    git(tmp_path, "clone", "-q", "-b", branch, str(repository), "clone")
    assert git(tmp_path / "clone", "rev-parse", "HEAD") == git(tmp_path / "shallow", "rev-parse", branch)


def test_a_linked_work_tree_is_built_upon_where_it_is_checked_out(db: Database, real: Config, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(upstream(tmp_path / "source", 3)), "whole")
    git(tmp_path / "whole", "worktree", "add", "-q", "../linked", "-b", "other")
    git(tmp_path / "linked", "commit", "-q", "--allow-empty", "-m", "only here")
    session = build(db, real, {**CARD, "repository": str(tmp_path / "linked")})
    with running(db, real):
        branch = delivered(db, session, tmp_path / "whole")
    assert "only here" in git(tmp_path / "whole", "log", "--format=%s", branch)


@pytest.mark.parametrize(("kind", "branch"), [("bare", ""), ("folder", ""), ("folder", "dev/elop")])
def test_an_empty_repository_gets_a_first_commit_only_when_someone_wants_it(db: Database, real: Config, tmp_path: Path, kind: str, branch: str) -> None:
    target = tmp_path / "empty"
    git(tmp_path, "init", "-q", "-b", "trunk", *(["--bare"] if kind == "bare" else []), str(target))
    (target / "own.txt").write_text("mine\n")
    session = build(db, real, {**CARD, "repository": str(target), **({"base_branch": branch} if branch else {})})
    with running(db, dataclasses.replace(real, answer_seconds=0.001)):
        asked = open_request(db)
        assert asked["kind"] == "question" and asked["body"].startswith("The repository is empty")
        assert json.loads(asked["options"]) == [requests.FIRST_COMMIT, requests.TRY_AGAIN, requests.STOP]
        until(lambda: list(statuses(db, session).values()) == ["needs_input", "blocked"])
        assert git(target, "for-each-ref") == "" and not db.value("select sum(failures) from tickets")
        same_question.assume_overdue(db, 0.001)
        assert db.value("select state from requests where seq = ?", (asked["seq"],)) == "open", "nobody assumes that"
        with pytest.raises(BadRequest, match="must be one of"):
            answers.answer(db, "default", "TKT-001", "go ahead")
        answers.answer(db, "default", "TKT-001", requests.FIRST_COMMIT)
        delivered(db, session, target)
    base = db.value("select base_sha from tickets where id = 'TKT-001'")
    assert git(target, "rev-parse", f"refs/heads/{branch or 'trunk'}").strip() == base
    assert git(target, "show", f"{base}:README.md") == "# Add\n"
    if kind == "folder" and not branch:  # what is checked out there is written, and nothing else is touched
        assert git(target, "status", "--porcelain") == "?? own.txt\n" and (target / "README.md").read_text() == "# Add\n"


def test_a_first_commit_that_cannot_be_made_says_why_and_takes_no_file(db: Database, real: Config, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main", "empty")
    (tmp_path / "empty/README.md").write_text("mine\n")
    session = build(db, real, {**CARD, "repository": str(tmp_path / "empty")})
    requests.allow_first_commit(db, db.the("select * from tickets where id = 'TKT-001'", (), TicketRow))
    with running(db, real):
        asked = open_request(db)
    assert asked["kind"] == "failed" and "could not make the first commit" in asked["body"] and "README.md" in asked["body"]
    assert (tmp_path / "empty/README.md").read_text() == "mine\n" and state(db, session) == "failed"


def test_an_unreachable_repository_asks_at_once_and_is_tried_again_a_few_times(db: Database, real: Config, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as port:
        url = f"https://127.0.0.1:{port.getsockname()[1]}/a/b.git"
    session = build(db, real, {**CARD, "repository": url})
    with running(db, dataclasses.replace(real, backoff_seconds=3600.0)):
        asked = open_request(db)
        assert asked["body"].startswith(f"{url} cannot be reached now: ") and asked["body"].endswith(f"Try 1 of {MOST_REACHED}: it is tried again by itself.")
        epic = db.the("select * from tickets where id = 'TKT-001'", (), TicketRow)
        assert (epic["status"], epic["failures"], epic["reason"]) == ("ready", 0, asked["body"])
        assert db.value("select (julianday(not_before) - julianday('now')) * 86400 <= 61 from tickets where id = 'TKT-001'"), "minutes, not hours"
        reconcile.reconcile(db)
        assert open_request(db)["seq"] == asked["seq"], "the question stays while it is tried again"
        answers.answer(db, "default", "TKT-001", requests.TRY_AGAIN)  # at once, and counted again from the first
        until(lambda: db.value("select count(*) from runs where ended_at is not null") == 2)
        assert "Try 1 of" in open_request(db)["body"]
        answers.answer(db, "default", "TKT-001", requests.STOP)
        until(lambda: state(db, session) == "failed")
    with running(db, dataclasses.replace(real, backoff_seconds=0.0)):
        assert actions.retry(db, "default", "TKT-001") == "ready"
        until(lambda: statuses(db, session)["TKT-001"] == "needs_input")
    rows = db.all("select * from requests where state = 'open'", (), RequestRow)
    assert len(rows) == 1 and rows[0]["body"].endswith(f"It was tried {MOST_REACHED} times and is not tried again without you.")
    assert db.value("select count(*) from runs") == 2 + MOST_REACHED


def test_a_repository_that_can_be_reached_again_withdraws_the_question(db: Database, real: Config, tmp_path: Path) -> None:
    """The way back is a path here: the pattern of owner/repo leads to a port where nobody listens, then to a folder."""
    (tmp_path / "acme").mkdir()
    source = upstream(tmp_path / "acme/widget", 3)
    with socket.create_server(("127.0.0.1", 0)) as port:
        away = dataclasses.replace(real, repository_url=f"https://127.0.0.1:{port.getsockname()[1]}/{{repository}}")
    session = build(db, away, {**CARD, "repository": "acme/widget"})
    with running(db, dataclasses.replace(away, backoff_seconds=3600.0)):
        asked = open_request(db)
    back = dataclasses.replace(real, repository_url=f"{tmp_path}/{{repository}}", repository_protocols=("file",))
    db.execute("update tickets set not_before = null")
    with running(db, back):
        delivered(db, session, source)
    assert db.value("select state from requests where seq = ?", (asked["seq"],)) == "withdrawn"


@pytest.mark.parametrize(("spoil", "sentence"), [
    ("damage", "a repository is damaged: "), ("branch", "The branch main is not there. It has: feature/a, old."), ("folder", "is not there"),
    ("partial", "is a partial clone, and objects")])
def test_what_nobody_but_a_person_can_help_goes_to_a_person_at_once(db: Database, real: Config, tmp_path: Path, spoil: str, sentence: str) -> None:
    source = upstream(tmp_path / "source", 3)
    git(source, "config", "uploadpack.allowFilter", "true")
    if spoil == "partial":
        git(tmp_path, "clone", "-q", "--bare", "--filter=blob:none", f"file://{source}", "partial")
        source = tmp_path / "partial"
    session = build(db, real, {**CARD, "repository": str(source), "base_branch": "main"})
    if spoil == "damage":
        git(source, "repack", "-q", "-a", "-d")
        pack = next((source / ".git/objects/pack").glob("*.pack"))
        pack.chmod(0o600)
        pack.write_bytes(pack.read_bytes()[:40])
    elif spoil == "branch":
        git(source, "update-ref", "-d", "refs/heads/main")
    elif spoil == "folder":
        source.rename(tmp_path / "elsewhere")
    with running(db, real):
        run = ended(db, "TKT-001")
        asked = open_request(db)
    assert run["outcome"] in ("failed", "void") and asked["kind"] == "failed" and sentence in asked["body"], run["reason"]
    assert state(db, session) == "failed" and db.value("select count(*) from runs") == 1


def test_what_runs_will_not_see_of_a_repository_is_said_when_it_is_prepared(db: Database, real: Config, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main", "outer")
    git(tmp_path / "outer", "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(upstream(tmp_path / "source", 2)), "inner")
    (tmp_path / "outer/.gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    git(tmp_path / "outer", "add", "-A")
    git(tmp_path / "outer", "commit", "-q", "-m", "x")
    session = build(db, real, {**CARD, "repository": str(tmp_path / "outer")})
    with running(db, real):
        delivered(db, session, tmp_path / "outer")
    reason = db.value("select reason from runs where kind = 'prepare'")
    assert "has submodules" in reason and "in Git LFS" in reason
