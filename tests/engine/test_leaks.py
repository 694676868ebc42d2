"""What is looked for before a push: secrets in everything that is pushed, and changes to protected paths."""
import pytest
from agent_side import Agent, fresh
from hypothesis import given
from hypothesis import strategies as st

from engine.delivery.leaks import PATTERNS, check_paths, check_secrets, leaks, matches, redacted
from engine.errors import PolicyViolation

WORD = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6kM9nP2rS5uV8xY1zA4cD7fG0iL"
LIKE = {  # put together here, so that no scanner takes this file for a leak
    "a private key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----", "a GitHub token": "ghp" + "_" + WORD[:36], "a GitLab token": "glpat" + "-" + WORD[:20],
    "an AWS access key": "AKIA" + "ABCDEFGHIJKLMNOP", "a Google API key": "AIza" + WORD[:35], "a Slack token": "xoxb" + "-1234567890-" + WORD[:20],
    "a Stripe key": "sk_" + "live_" + WORD[:24], "a model provider's key": "sk-" + "ant-" + WORD[:40], "an npm token": "npm" + "_" + WORD[:36],
    "a PyPI token": "pypi" + "-AgE" + WORD[:60], "an Azure storage key": "Account" + "Key=" + (WORD * 2)[:86] + "=="}
HARMLESS = ("ghp_short", "AKIAabc", "sk-learn", "-----BEGIN PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----", "glpat-x", "npm_install", "AccountKey=x", "xoxb-1",
            "sha256:" + "ab12" * 16, "pypi-AgE", "the token ghp_ is a prefix")


@pytest.fixture
def agent(tmp_path):
    repository, base = fresh(tmp_path)
    made = Agent(repository, tmp_path / "agent", base)
    made.repository, made.base = repository, base
    return made


def taken(agent):
    from conftest import git
    git(agent.repository.path, "fetch", "-q", str(agent.folder), "+swarm-out:refs/heads/kept")
    return agent.tip()


def found(agent, known=None):
    return [tuple(leak) for leak in leaks(agent.repository, agent.base, taken(agent), known or {})]


def test_every_pattern_has_an_example():
    assert LIKE.keys() == PATTERNS.keys()


@pytest.mark.parametrize("name", LIKE)
def test_what_looks_like_a_secret_is_found_with_file_and_line(agent, name):
    agent.commit({"src/ä b.py": f"one\ntwo\nkey = '{LIKE[name]}'\n"})
    assert found(agent) == [("src/ä b.py:3", name, False)]


def test_what_does_not_is_left_alone(agent):
    agent.commit({"a.txt": "\n".join(HARMLESS)})
    assert found(agent) == []


def test_the_value_of_a_setting_is_found_anywhere_and_never_shown(agent):
    agent.commit({"a.txt": "x\n", "b.bin": "\0\1\2 hunter2-hunter2 \0"}, "Use hunter2-hunter2")
    known = {"SWARM_OPENAI_KEY": "hunter2-hunter2", "SWARM_MODEL_KEY": "short"}
    places = found(agent, known)
    assert [(place.partition(" ")[0], what, ours) for place, what, ours in places] == [
        ("the", "the value of SWARM_OPENAI_KEY", True), ("b.bin:1", "the value of SWARM_OPENAI_KEY", True)]
    with pytest.raises(PolicyViolation) as raised:
        check_secrets(agent.repository, agent.base, taken(agent), known, cleared=True)
    assert "hunter2" not in raised.value.sentence and "b.bin:1" in raised.value.sentence and raised.value.extra["known"] is True


def test_one_that_a_later_commit_took_out_is_still_pushed_and_so_found(agent):
    agent.commit({"a.txt": LIKE["a GitHub token"] + "\n"})
    agent.commit({"a.txt": "nothing\n"})
    assert found(agent) == [("a.txt:1", "a GitHub token", False)]


def test_what_was_there_before_is_not_the_builds_doing(agent):
    """Its line is not touched, though its file is."""
    agent.commit({"a.txt": LIKE["a GitHub token"] + "\nold\n"})
    agent.base = taken(agent)
    agent.commit({"a.txt": LIKE["a GitHub token"] + "\nnew\n"})
    assert found(agent) == []


def test_lines_that_look_like_a_diff_do_not_mislead(agent):
    text = "+++ b/other.txt\n@@ -1 +90 @@\n-- x\n++ y\ndiff --git a/q b/q\n" + LIKE["an npm token"] + "\n"
    agent.commit({"real.txt": text})
    assert found(agent) == [("real.txt:6", "an npm token", False)]


def test_a_secret_that_only_a_merge_brings_in(agent):
    from conftest import git
    first = agent.commit({"a.txt": "1\n"})
    git(agent.folder, "checkout", "-q", "-b", "side", agent.base)
    git(agent.folder, "commit", "-q", "--allow-empty", "-m", "side")
    side = git(agent.folder, "rev-parse", "HEAD").strip()
    tree = agent.tree([("100644", "blob", agent.blob(LIKE["a Slack token"].encode() + b"\n"), "evil.txt")])
    agent.commit_tree(tree, first, side)
    assert ("evil.txt:1", "a Slack token", False) in found(agent)


def test_a_person_may_clear_what_is_only_alike(agent):
    agent.commit({"a.txt": LIKE["a GitHub token"] + "\n"})
    with pytest.raises(PolicyViolation, match=r"what looks like a secret in a\.txt:1 \(a GitHub token\)") as raised:
        check_secrets(agent.repository, agent.base, taken(agent), {})
    assert raised.value.extra["known"] is False
    check_secrets(agent.repository, agent.base, taken(agent), {}, cleared=True)


@pytest.mark.parametrize(("path", "pattern", "expected"), [
    (".github/workflows/ci.yml", ".github/workflows", True), (".GitHub/Workflows/ci.yml", ".github/workflows", True),
    (".gitlab-ci.yml", ".gitlab-ci.yml", True),
    ("docs/.gitlab-ci.yml", ".gitlab-ci.yml", False), (".github/workflows-old/x", ".github/workflows", False), ("a/deploy.tf", "*.tf", True),
    ("deploy/prod/x", "deploy/", True), (".github", ".github/workflows", False)])
def test_which_paths_are_protected(path, pattern, expected):
    assert matches(path, pattern) is expected


def test_a_protected_path_counts_though_it_was_taken_back(agent):
    agent.commit({".github/workflows/ci.yml": "on: push\n", "a.txt": "1"})
    assert check_paths(agent.repository, agent.base, taken(agent), (".github/workflows",)) == [".github/workflows/ci.yml"]
    agent.commit({".github/workflows/ci.yml": ""})
    assert check_paths(agent.repository, agent.base, taken(agent), (".github/workflows",)) == [".github/workflows/ci.yml"]
    assert check_paths(agent.repository, agent.base, taken(agent), ("other",)) == []


@given(st.text(), st.sampled_from(sorted(LIKE.values())), st.text())
def test_a_redacted_text_holds_no_secret(before, secret, after):
    assert secret not in redacted(f"{before} {secret} {after} my-own-secret", {"K": "my-own-secret"})
    assert "my-own-secret" not in redacted(f"{before} {secret} {after} my-own-secret", {"K": "my-own-secret"})
