"""A change of what an environment is made from: its checks stand on one that is made for it, and so does what is built on it. Nobody else finds it."""
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import build, git, require
from environment_side import make_remote
from real_engine import completed, ended, feature, running
from runner_bench import INTEGRATION, Bench, bench_of, log_of

from engine.config import Config
from engine.environments import layers
from engine.environments.steps import Steps, digest
from engine.ground import Ground, Setup
from engine.jobs import Access, Result
from engine.repositories import snapshots, sources, versions
from engine.repositories.rows import RepositoryRow
from engine.store.db import Database

INSTALL = "mkdir -p .venv && cat deps*.txt > .venv/installed && ! grep broken deps*.txt && ! test -e removed"


@pytest.fixture()
def bench(tmp_path: Path) -> Iterator[Bench]:
    for bench in bench_of("bubblewrap", tmp_path):
        commit(bench, "deps.txt", "one\n")
        yield bench


def commit(bench: Bench, name: str, text: str) -> None:
    clone = bench.folder / "clone"
    if not clone.exists():
        git(bench.folder, "clone", "-q", "-b", INTEGRATION, str(bench.repository.path), "clone")
    (clone / name).write_text(text)
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", name)
    git(clone, "push", "-q", "origin", f"HEAD:{INTEGRATION}")


def grounded(bench: Bench, **more: object) -> tuple[dict, str]:
    """-> (the steps, the key of the snapshot at the head)"""
    steps = {"setup": [INSTALL], "inputs": ["deps*.txt"], **more}
    made, folder = bench.run(kind="setup", setup=Setup({**steps, "secrets": []}, str(bench.repository.head(f"refs/heads/{INTEGRATION}"))))
    assert made.outcome == "ok", (made.reason, log_of(folder))
    return steps, str(made.ground["key"])


def work(bench: Bench, script: str, *checks: str, steps: dict, key: str, known: tuple[str, ...] = (), **values: object) -> tuple[Result, Path]:
    return bench.run(script, checks=checks, ground=Ground(values.pop("on", key), disk_mb=64),  # type: ignore[arg-type]
                     setup=Setup(steps, base=key, ticket="TKT-002", known=(*known, key)), **values)


def test_checks_of_a_changed_input_stand_on_an_environment_of_their_own(bench: Bench) -> None:
    steps, key = grounded(bench)
    result, folder = work(bench, "echo two >> deps.txt; cp .venv/installed seen.txt", "grep -q two .venv/installed", "! grep two seen.txt",
                          steps=steps, key=key)
    assert result.outcome == "ok", (result.reason, log_of(folder))
    own = layers.root(bench.folder) / result.ground["key"]
    about = json.loads((own / layers.ABOUT).read_text())
    assert own.name != key and result.ground["reused"] is False and about["made_of"]["ticket"] == "TKT-002"
    assert (layers.root(bench.folder) / key / "repo" / ".venv" / "installed").read_text() == "one\n", "the build's own is as it was"
    again, _ = work(bench, "echo two >> deps.txt; echo other > other.txt", "grep -q two .venv/installed", steps=steps, key=key, known=(own.name,))
    assert again.outcome == "ok" and (again.ground["key"], again.ground["reused"]) == (own.name, True), "a later run with the same inputs uses it"
    other, _ = work(bench, "echo two >> deps.txt; echo x > x", "grep -q two .venv/installed", steps=steps, key=key)
    assert other.ground["key"] not in (key, own.name), "whoever does not know it makes another one"


def test_a_change_of_something_else_needs_none(bench: Bench) -> None:
    steps, key = grounded(bench)
    result, _ = work(bench, "echo x > x.txt", "grep -q one .venv/installed", steps=steps, key=key)
    assert (result.outcome, result.ground) == ("ok", {})
    kept, _ = work(bench, "echo x > x.txt", "grep -q one .venv/installed", steps=steps, key=key, on=key)
    assert kept.ground == {} and len([path for path in layers.root(bench.folder).iterdir() if path.is_symlink()]) == 1


def test_update_works_on_top_of_the_builds_environment(bench: Bench) -> None:
    steps, key = grounded(bench, update=["cat .venv/installed > before; cp deps.txt .venv/installed"])
    result, folder = work(bench, "echo two >> deps.txt", "grep -q one before && ! grep two before", "grep -q two .venv/installed", steps=steps, key=key)
    assert result.outcome == "ok", (result.reason, log_of(folder))


def test_a_change_that_breaks_the_setup_is_the_agents_failure_with_its_step(bench: Bench) -> None:
    steps, key = grounded(bench)
    result, folder = work(bench, "echo broken >> deps.txt", "true", steps=steps, key=key)
    assert (result.outcome, result.failure) == ("failed", "agent"), log_of(folder)
    assert "Step 1 of the setup" in str(result.reason) and "without the change it works" in str(result.reason) and "broken" in str(result.reason)
    assert result.tip and [path.name for path in layers.root(bench.folder).iterdir() if path.is_symlink()] == [key]


def test_a_setup_that_fails_without_the_change_too_is_nobodys_failure(bench: Bench) -> None:
    steps, key = grounded(bench)
    commit(bench, "removed", "now the setup fails anyhow\n")
    result, _ = work(bench, "echo two >> deps.txt", "true", steps=steps, key=key)
    assert (result.outcome, result.failure) == ("failed", "ground") and "also without the change" in str(result.reason)


def test_a_change_gets_no_secrets_and_says_so(bench: Bench) -> None:
    steps, key = grounded(bench)
    about = layers.root(bench.folder) / key / layers.ABOUT
    steps = {**steps, "secrets": ["NPM_TOKEN"]}
    said = json.loads(about.read_text())
    about.write_text(json.dumps({**said, "made_of": {**said["made_of"], "steps": steps}}))
    result, _ = work(bench, "echo two >> deps.txt", "! grep two .venv/installed", steps=steps, key=key)
    assert (result.outcome, result.ground) == ("ok", {}) and "needs secrets" in " ".join(result.notes)


def test_its_setup_reaches_what_setups_may_and_not_what_the_run_may(bench: Bench) -> None:
    steps, key = grounded(bench)
    wanted = {**steps, "setup": [f"{INSTALL}; test -z \"$HTTPS_PROXY\" || echo proxied > .venv/proxied"]}
    about = layers.root(bench.folder) / key / layers.ABOUT
    said = json.loads(about.read_text())
    about.write_text(json.dumps({**said, "made_of": {**said["made_of"], "steps": wanted}}))
    result, folder = work(bench, "echo two >> deps.txt; test -z \"$HTTPS_PROXY\"", "test -e .venv/proxied && test -z \"$HTTPS_PROXY\"", steps=wanted, key=key,
                          setup_access=Access({}, ("npm",), 10))
    assert result.outcome == "ok", (result.reason, log_of(folder))
    result, folder = work(bench, "echo three >> deps.txt", "test ! -e .venv/proxied && test -n \"$HTTPS_PROXY\"",
                          steps=wanted, key=key, access=Access({}, ("npm",), 10))
    assert result.outcome == "ok", (result.reason, log_of(folder))


@pytest.fixture()
def config(tmp_path: Path) -> Config:
    require("bwrap")
    return Config(data=tmp_path / "data", runtime="bubblewrap", agent="runbook", slots=2, backoff_seconds=0.0, repository_roots=(tmp_path,), max_attempts=2)


@pytest.fixture()
def remote(db: Database, config: Config, tmp_path: Path) -> Path:
    """A repository with approved steps."""
    bare = make_remote(tmp_path, **{"deps.txt": "one\n"})
    steps = Steps(setup=(INSTALL,), inputs=("deps*.txt",))
    versions.propose(db, repository_of(db, config, bare), steps, "page")
    versions.approve(db, repository_of(db, config, bare)["id"], digest(steps), "you")
    return bare


def repository_of(db: Database, config: Config, bare: Path) -> RepositoryRow:
    return sources.row_for(db, config, "default", str(bare))


def checked(title: str, script: str, check: str, **more: object) -> dict:
    return feature(title, script, acceptance_criteria=[{"text": title, "check": check}], **more)


def test_what_is_built_on_a_merged_change_stands_on_its_environment_and_others_do_not(db: Database, config: Config, remote: Path) -> None:
    features = [checked("A", "echo two >> deps.txt", "grep -q two .venv/installed"),
                checked("B", "cp .venv/installed seen.txt", "grep -q two seen.txt && grep -q two .venv/installed", depends_on=["A"])]
    whole = [{"text": "the whole", "check": "grep -q two .venv/installed"}]
    with running(db, config):
        session = build(db, config, {"name": "Own", "repository": str(remote), "features": features, "acceptance_criteria": whole})
        completed(db, session)
        base = db.value("select key from environments where ticket_id is null")
        own = db.value("select key from environments where ticket_id is not null")
        assert db.value("select count(*) from environments") == 2 and db.value("select count(*) from runs where kind = 'setup'") == 1
        assert db.value("select environment from tickets where type = 'epic'") == own
        assert [row[0] for row in db.all("select environment from runs where kind in ('feature', 'integrate') order by seq")] == [own, own, own]
        assert db.value("select sum(failures) from tickets") == 0
        other = build(db, config, {"name": "Other", "repository": str(remote), "features": [checked("C", "cp .venv/installed c.txt", "! grep two c.txt")]})
        completed(db, other)
    assert db.value("select environment from tickets where type = 'epic' and session_id = ?", (other,)) == base
    newest = snapshots.newest(db, repository_of(db, config, remote)["id"])
    assert newest and newest["key"] == base


def test_changes_of_two_tickets_meet_in_an_environment_with_both(db: Database, config: Config, remote: Path) -> None:
    features = [checked(name, f"echo {name} > deps-{name}.txt", f"grep -q {name} .venv/installed") for name in ("A", "B")]
    with running(db, config):
        session = build(db, config, {"name": "Two", "repository": str(remote), "features": features,
                                     "acceptance_criteria": [{"text": "both", "check": "grep -q A .venv/installed && grep -q B .venv/installed"}]})
        completed(db, session)
    last = db.value("select environment from runs where kind = 'integrate'")
    assert (layers.root(config.data) / last / "repo" / ".venv" / "installed").read_text().split() == ["A", "B", "one"]
    assert db.value("select sum(failures) from tickets") == 0


def test_a_change_that_breaks_the_setup_uses_up_the_attempts_and_tells_the_step(db: Database, config: Config, remote: Path) -> None:
    with running(db, config):
        build(db, config, {"name": "Broken", "repository": str(remote), "features": [checked("A", "echo broken >> deps.txt", "true")]})
        ticket = db.value("select id from tickets where type = 'feature'")
        run = ended(db, ticket)
    assert run["outcome"] == "failed" and "Step 1 of the setup" in run["reason"] and "without the change it works" in run["reason"]
    assert db.value("select failures from tickets where id = ?", (ticket,)) >= 1
