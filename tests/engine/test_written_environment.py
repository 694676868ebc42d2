"""The environment that a repository asks for in its WORKFLOW.md: read from the base, proposed, and used only once it is approved."""
import os
from pathlib import Path

import pytest
from conftest import HANG, build, git, require, until
from real_engine import completed, feature, running

from engine.config import Config
from engine.environments.steps import Steps, digest
from engine.job import reader
from engine.job.workflow import parse
from engine.job.written import environment_at
from engine.repositories import requests, sources, versions
from engine.store.db import Database
from engine.tickets import answers

STEPS = Steps(setup=("mkdir -p .made && echo made > .made/file",), env={"MADE": ".made/file"})
TEXT = """---
environment:
  setup:
    - mkdir -p .made && echo made > .made/file
  env:
    MADE: .made/file
---
"""


@pytest.fixture()
def libraries() -> None:
    why_not = reader.missing()
    if why_not:
        (pytest.fail if os.environ.get("SWARM_REQUIRE_ALL") == "1" else pytest.skip)(why_not)


@pytest.fixture()
def config(tmp_path: Path) -> Config:
    require("bwrap")
    return Config(data=tmp_path / "data", runtime="bubblewrap", agent="runbook", slots=1, backoff_seconds=0.0, repository_roots=(tmp_path,))


def remote_of(folder: Path, workflow: str, **files: str) -> Path:
    work, bare = folder / "work", folder / "remote.git"
    git(folder, "init", "-q", "-b", "main", str(work))
    for name, text in {"WORKFLOW.md": workflow, ".gitignore": ".made\n", **files}.items():
        (work / name).write_text(text)
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "First")
    git(folder, "clone", "-q", "--bare", str(work), str(bare))
    return bare


def said(folder: Path, workflow: str) -> tuple[Steps | None, str]:
    work = folder / "one"
    git(folder, "init", "-q", "-b", "main", str(work))
    (work / "WORKFLOW.md").write_text(workflow)
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "First")
    found = environment_at(work / ".git", git(work, "rev-parse", "HEAD").strip())
    return found.steps, found.wrong


@pytest.mark.parametrize("small", [False, True])
def test_both_readers_read_it_as_a_whole(libraries: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: bool) -> None:
    if small:
        monkeypatch.setattr(reader, "missing", lambda: "PyYAML is not installed.")
    assert said(tmp_path, TEXT) == (STEPS, "")
    assert "environment" not in parse(TEXT).ignored


def test_services_and_flow_forms_are_read(libraries: None) -> None:
    found = parse("---\nenvironment:\n  setup: [npm ci]\n  hosts: [npm]\n"
                  "  services: {db: {start: &s redis-server, ready: *s, env: {A: no}}}\n  days: 30\n---\n")
    assert found.environment == {"value": {"setup": ["npm ci"], "hosts": ["npm"], "days": 30,
                                           "services": {"db": {"start": "redis-server", "ready": "redis-server", "env": {"A": "no"}}}}}


@pytest.mark.parametrize(("environment", "words"), [
    ("environment: [a]", "environment must be an object"),
    ("environment: {install: x}", "environment.install is not known. Known keys: setup"),
    ("environment: {setup: {a: b}}", "environment.setup must be a list"),
    ("environment: {env: {LD_PRELOAD: x}}", "environment.env.LD_PRELOAD"),
    ("environment: {setup: [a], setup: [b]}", "Line 2: the name setup is there twice"),
    ("environment: {setup: !!python/name:os.system x}", "Line 2: the tag"),
    ("a: &a [x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\n"
     "environment: {setup: *d}", "environment has too many values"),
    ("environment: " + "[" * 30 + "]" * 30, "environment has too many values, or is nested too deeply"),
])
def test_what_cannot_be_used_is_said_and_the_rest_of_the_file_counts(libraries: None, tmp_path: Path, environment: str, words: str) -> None:
    text = f"---\nagent: runbook\n{environment}\n---\nWork.\n" if not environment.startswith("environment: {setup: [a]") and "python" not in environment \
        else f"---\n{environment}\nagent: runbook\n---\nWork.\n"
    steps, wrong = said(tmp_path, text)
    assert steps is None and words in wrong
    assert (parse(text).agent, parse(text).template) == ("runbook", "Work.")


@pytest.mark.parametrize("text", ["---\nenvironment:\n---\n", "---\nenvironment: {}\n---\n", "---\nagent: runbook\n---\n", "Work.\n", "---\n: [\n---\n"])
def test_a_file_that_says_nothing_of_it_proposes_nothing(libraries: None, tmp_path: Path, text: str) -> None:
    assert said(tmp_path, text) == (None, "")


def test_it_is_proposed_before_what_is_detected_and_runs_once_approved(db: Database, config: Config, tmp_path: Path) -> None:
    remote = remote_of(tmp_path, TEXT, **{"requirements.txt": ""})
    session = build(db, config, {"name": "W", "repository": str(remote), "features": [feature("A", "cat $MADE > a.txt")]})
    with running(db, config):
        asked = until(lambda: db.one("select * from requests where state = 'open'"), HANG, "a request is open")
        repository = sources.of_session(db, config, session)
        assert repository is not None
        proposal = versions.proposed(db, repository["id"])
        assert proposal and (proposal["source"], proposal["sha256"]) == ("workflow", digest(STEPS)) and digest(STEPS) in asked["body"]
        assert db.value("select count(*) from runs where kind = 'setup'") == 0
        answers.answer_request(db, "default", asked["seq"], requests.APPROVE)
        completed(db, session)
    assert db.value("select count(*) from requests where state = 'open'") == 0


def test_a_later_text_is_told_and_the_approved_one_is_used_meanwhile(db: Database, config: Config, tmp_path: Path) -> None:
    remote = remote_of(tmp_path, TEXT.replace("echo made", "touch ran; echo other"))
    repository = sources.row_for(db, config, "default", str(remote))
    versions.propose(db, repository, STEPS, "detected")
    versions.approve(db, repository["id"], digest(STEPS), "you")
    checked = feature("A", "cat $MADE > a.txt", acceptance_criteria=[{"text": "approved", "check": "grep -q made a.txt && ! test -e ran"}])
    with running(db, config):
        completed(db, build(db, config, {"name": "W", "repository": str(remote), "features": [checked]}))
        completed(db, build(db, config, {"name": "W", "repository": str(remote), "features": [checked]}))
    told = db.all("select owner_kind, body from requests where state = 'open'")
    assert len(told) == 1 and told[0][0] == "repository" and "another environment than the approved one" in told[0][1]
    proposal = versions.proposed(db, repository["id"])
    assert proposal and proposal["source"] == "workflow"


def test_the_page_is_stronger_than_the_file(db: Database, config: Config, tmp_path: Path) -> None:
    remote = remote_of(tmp_path, TEXT.replace("echo made", "echo other"))
    repository = sources.row_for(db, config, "default", str(remote))
    versions.propose(db, repository, STEPS, "page")
    versions.approve(db, repository["id"], digest(STEPS), "you")
    with running(db, config):
        completed(db, build(db, config, {"name": "W", "repository": str(remote), "features": [feature("A", "cat $MADE > a.txt; grep made a.txt")]}))
    assert versions.proposed(db, repository["id"]) is None and db.value("select count(*) from requests") == 0


def test_a_broken_one_is_told_and_holds_nothing_up(db: Database, config: Config, tmp_path: Path) -> None:
    remote = remote_of(tmp_path, "---\nenvironment:\n  install: npm ci\n---\n")
    with running(db, config):
        completed(db, build(db, config, {"name": "W", "repository": str(remote), "features": [feature("A", "echo a > a.txt")]}))
    told = db.all("select owner_kind, state, body from requests")
    assert [(row[0], row[1]) for row in told] == [("repository", "open")]
    assert "environment.install is not known" in told[0][2] and "Fix it in the repository" in told[0][2]
    assert db.value("select count(*) from runs where kind = 'setup'") == 0
