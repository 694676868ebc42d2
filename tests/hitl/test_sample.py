"""The sample card builds a program that works: its commands are run here, in the order in which the tickets would be."""
import shutil
import subprocess

import pytest
from conftest import HANG, git

from engine.agents.runbook import shell_blocks
from hitl.card import sample
from hitl.card.spec_card import normalise, validate

PYTHON = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}


def shell(folder, script):
    done = subprocess.run(["sh", "-ec", script], cwd=folder, env=PYTHON, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def plan():
    return normalise(sample.card(), validate(sample.card()).meaning)


def test_the_sample_is_valid_without_a_warning_and_its_hash_is_known():
    checked = validate(sample.card())
    assert checked.warnings == [] and checked.sha256 == sample.sha256()


def test_the_sample_has_a_diamond_and_every_feature_has_commands_and_a_check(plan):
    features = plan["features"]
    assert features[1]["depends_on"] == features[2]["depends_on"] == [0] and set(features[3]["depends_on"]) == {1, 2}
    for feature in features:
        assert shell_blocks(feature["description"]) and any(isinstance(c, dict) and c["check"] for c in feature["acceptance_criteria"])
    assert plan["checks"]


@pytest.mark.skipif(not shutil.which("python3", path="/usr/bin:/bin"), reason="the sample's checks use the system's python3")
@pytest.mark.parametrize("last_first", [False, True])
def test_its_features_merge_in_any_order_and_every_check_passes(plan, tmp_path, last_first):
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "README.md").write_text("# Tally, a small text counter\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "Initial commit")
    merged = set()
    while len(merged) < len(plan["features"]):
        free = [n for n, feature in enumerate(plan["features"]) if n not in merged and merged.issuperset(feature["depends_on"])]
        for number in free:
            git(tmp_path, "checkout", "-qb", f"feature-{number}", "main")
            for block in shell_blocks(plan["features"][number]["description"]):
                shell(tmp_path, block)
            git(tmp_path, "add", "-A")
            git(tmp_path, "commit", "-qm", f"Feature {number}")
            for criterion in plan["features"][number]["acceptance_criteria"]:
                if isinstance(criterion, dict):
                    shell(tmp_path, criterion["check"])
            assert git(tmp_path, "status", "--porcelain") == ""
        git(tmp_path, "checkout", "-q", "main")
        for number in reversed(free) if last_first else free:
            git(tmp_path, "merge", "-q", "--no-edit", f"feature-{number}")
            merged.add(number)
    printed = "".join(shell(tmp_path, check) for check in plan["checks"])
    assert "Ran 13 tests" in printed and "lines 3, words" in printed
