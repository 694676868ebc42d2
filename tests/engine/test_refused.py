"""A result that is refused is the agent's failed attempt: its reason names why, and what it left is kept aside for the next one."""
import dataclasses
import re
from pathlib import Path

import pytest
from conftest import build, git, require, state, statuses, until
from real_engine import completed, feature, integration, running

from engine.config import Config
from engine.git import branches
from engine.jobs import Job
from engine.store.db import Database

REFUSED = {
    "a symlink that leaves the tree": ("ln -s /etc/passwd secret", "secret"),
    "a submodule": ("mkdir sub && git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),sub", "sub"),
    "a file of 200 MB": ("truncate -s 200M big.bin", "big.bin"),
    "a changed .gitmodules": ("printf '[submodule \"x\"]\\n\\tpath = x\\n\\turl = https://localhost/x\\n' > .gitmodules", ".gitmodules"),
}
FORGED = """printf '# v2 git bundle\\n%s refs/heads/swarm-out\\n\\nPACK no pack at all' 1111111111111111111111111111111111111111 > "$SWARM_OUT/out.bundle\""""


@pytest.fixture
def real(config: Config) -> Config:
    require("bwrap")
    return dataclasses.replace(config, runtime="bubblewrap", slots=2, max_attempts=2)


def runs_of(db: Database, config: Config) -> list[tuple[Path, str, str]]:
    """(folder, outcome, reason) of each run of the first feature."""
    return [(config.data / "runs" / row["id"], row["outcome"], row["reason"]) for row in
            db.all("select id, outcome, reason from runs where ticket_id = 'TKT-002' order by seq")]


@pytest.mark.parametrize("name", REFUSED)
def test_it_names_the_path_and_the_next_attempt_has_it_and_the_engine_goes_on(db: Database, real: Config, name: str) -> None:
    command, path = REFUSED[name]
    session = build(db, real, {"name": "Hostile", "features": [feature("Bad", command), feature("Good", "echo good > good.txt")]})
    with running(db, real):
        until(lambda: state(db, session) == "failed")
    assert statuses(db, session) == {"TKT-001": "failed", "TKT-002": "failed", "TKT-003": "completed"}
    (_, first, why), (second, last, _) = runs_of(db, real)
    assert (first, last) == ("failed", "failed") and path in why
    assert why.endswith(" So the work was not taken. The next attempt finds it in its clone as swarm-kept/1.")
    prompt = Job.read(second).prompt
    assert why in prompt and re.search("^- swarm-kept/1: [0-9a-f]+ Bad$", prompt, re.M)
    repository, branch = integration(db, real, session)
    assert git(repository, "ls-tree", "--name-only", branch).split() == [".gitignore", "README.md", "good.txt"]


def test_the_next_attempt_can_take_over_what_was_good(db: Database, real: Config) -> None:
    script = ("if git rev-parse -q --verify swarm-kept/1; then git checkout -q swarm-kept/1 -- good.txt; exit 0; fi\n"
              "echo good > good.txt; ln -s ../../elsewhere bad; git add -A; git commit -qm work")
    session = build(db, real, {"name": "Again", "features": [feature("F", script)]})
    with running(db, real):
        completed(db, session)
    repository, branch = integration(db, real, session)
    assert git(repository, "ls-tree", "--name-only", branch).split() == [".gitignore", "README.md", "good.txt"]
    assert [outcome for _, outcome, _ in runs_of(db, real)] == ["failed", "merged"]


def test_what_is_too_large_to_be_copied_into_every_run_is_kept_as_a_file(db: Database, real: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches, "ASIDE_BYTES", 100)
    session = build(db, real, {"name": "Large", "features": [feature("F", "ln -s /etc/passwd secret")]})
    with running(db, real):
        until(lambda: state(db, session) == "failed")
    for folder, outcome, reason in runs_of(db, real):
        assert outcome == "failed" and reason.endswith(f" It is in runs/{folder.name}/refused.bundle of the data folder.")
        assert (folder / "refused.bundle").read_bytes().startswith(b"# v2 git bundle")
    repository, _ = integration(db, real, session)
    assert "refs/swarm/kept" not in git(repository, "for-each-ref")


@pytest.mark.parametrize(("script", "words"), [
    (FORGED, "The run's bundle cannot be used: "), ('ln -s /etc/passwd "$SWARM_OUT/out.bundle"', "The run left no out.bundle that can be read"),
    ('ln -s /etc/passwd "$SWARM_OUT/kept.bundle"; exit 3', "The run left no kept.bundle that can be read"),
    ('mkfifo "$SWARM_OUT/kept.bundle"; exit 3', "The run left a kept.bundle that is not a plain file"),
    ('echo nonsense > "$SWARM_OUT/kept.bundle"; exit 3', "The run's bundle cannot be used: ")])
def test_a_forged_bundle_uses_up_an_attempt(db: Database, real: Config, script: str, words: str) -> None:
    session = build(db, real, {"name": "Forged", "features": [feature("F", script)]})
    with running(db, real):
        until(lambda: state(db, session) == "failed")
    assert [(outcome, words in reason) for _, outcome, reason in runs_of(db, real)] == [("failed", True)] * 2
