"""WORKFLOW.md of a repository: strict, and only ever executed inside a sandbox. What the small readers read; test_workflow_reader.py has the others."""
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import build, git, require, until
from hypothesis import given, settings
from hypothesis import strategies as st
from real_engine import running

from app import create_app, start_engine
from engine.config import Config
from engine.errors import Permanent
from engine.job.front_matter import cut, read
from engine.job.workflow import NEXT, Workflow, _without_clone, parse, render
from engine.store.db import Database

SMALL = "PyYAML and python-liquid are not installed, so only a small part of YAML and Liquid is read in the WORKFLOW.md of repositories."


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the extra: None is how Python itself remembers a module that is not there."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    monkeypatch.setitem(sys.modules, "liquid", None)


def split(text: str) -> tuple[dict, str]:
    lines, rest, _ = cut(text)
    return read(lines), rest


@pytest.mark.parametrize("text, value", [
    ("a: 1\nb: two words\nc: 'it''s'\nd: \"x\\ny\"\ne: true\nf:\ng: null\nh: 1.5\n", {"a": 1, "b": "two words", "c": "it's", "d": "x\ny", "e": True,
                                                                                  "f": None, "g": None, "h": 1.5}),
    ("# c\na:\n  b:\n    c: x  # note\n  d: y\n\ne: z\n", {"a": {"b": {"c": "x"}, "d": "y"}, "e": "z"}),
    ("a:\n  - one\n  - 2\nb:\n- x\nc: [p, q, 3]\n", {"a": ["one", 2], "b": ["x"], "c": ["p", "q", 3]}),
    ("run: |\n  make\n    deep\n\n  last\nnext: 1\n", {"run": "make\n  deep\n\nlast\n", "next": 1}),
    ("a: http://x.y/z#part\nb: '# no comment'\n", {"a": "http://x.y/z#part", "b": "# no comment"}), ("", {})])
def test_the_subset_of_yaml(text: str, value: dict) -> None:
    assert split(f"---\n{text}---\nrest\n") == (value, "rest\n")


@pytest.mark.parametrize("text, why", [
    ("a: &x 1\n", "line 2"), ("a: {b: 1}\n", "part of YAML"), ("a: 1\na: 2\n", "line 3 repeats the name"), ("\ta: 1\n", "a tab"),
    ("just words\n", "not understood"),
    ("a: 'open\n", "not closed"), ("a: 1\n   b: 2\n", "not indented"), ("a: !!python/object x\n", "part of YAML"), ("a: *x\n", "part of YAML"),
    ("".join("  " * n + "a:\n" for n in range(12)), "too deep")])
def test_what_is_not_understood_is_an_error_with_its_line(text: str, why: str) -> None:
    with pytest.raises(Permanent, match=f"(?i){why}"):
        split(f"---\n{text}---\n")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-|'\"\\ \n\t#[]{}&0.", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(split(f"---\n{text}\n---\n")[0], dict)
    except Permanent:
        return


def filled(template: str, values: dict) -> str:
    return render(Workflow(template), values)


def test_the_template_has_values_and_conditions(small: None) -> None:
    values = {"issue": {"title": "T", "labels": ["a", "b"], "url": None}, "attempt": None}
    template = "{{ issue.title }}{% if attempt %} again {{attempt}}{% else %} first{% endif %}\n{{ issue.labels }}{{ issue.url }}"
    assert filled(template, values) == "T first\n- a\n- b" and filled(template, {**values, "attempt": 2}) == "T again 2\n- a\n- b"
    assert filled("{{ issue.title }}", {"issue": {"title": "{{ attempt }}"}}) == "{{ attempt }}"


@pytest.mark.parametrize("template, why", [("{{ issue.nope }}", r"uses issue.nope, which is not a variable"), ("{{ other }}", "uses other"),
                                           ("{{ issue.title.x }}", r"issue.title.x")])
def test_an_unknown_variable_is_refused_by_its_name(small: None, template: str, why: str) -> None:
    with pytest.raises(Permanent, match=f"Line 3: the template .*{why}") as refused:
        filled(f"\n\n{template}", {"issue": {"title": "T"}})
    assert f"Install what is missing with .venv/bin/pip install -e '.[default]', then restart. {NEXT}" in refused.value.sentence


@pytest.mark.parametrize("text", ["{{ issue.title | upcase }}", "{% for x in y %}{% endfor %}", "{% if a %}", "{% endif %}", "{{ open", "{{ }}",
                                  "{% include x %}",
                                  "---\nhooks: 5\n---\n", "---\nhooks:\n  before_run: [a]\n---\n", "---\nlimits:\n  run_seconds: -1\n---\n",
                                  "---\nhooks:\n  timeout_ms: soon\n---\n", "---\nagent: 5\n---\n", "---\na: 1\n"])
def test_a_file_that_cannot_be_used_says_so(small: None, text: str) -> None:
    with pytest.raises(Permanent, match=r"WORKFLOW.md of the repository cannot be used\. ") as refused:
        parse(text)
    assert SMALL in refused.value.sentence


@pytest.mark.parametrize("text", ["{{" * 120_000, "{%" * 120_000, "{% if attempt %}" * 15_000, "{{ a" + " " * 240_000 + "b }}", "{{ a }}{{" + "x" * 240_000,
                                  "---\na: " + "[" * 100_000 + "]" * 100_000 + "\n---\n", "---\na:" + " b" + " " * 240_000 + "c\nb: [\n---\n",
                                  "---\n" + "- " * 100_000 + "\n---\n", "---\n" + "a: x\n" * 3000 + "---\n", "---\na: '" + "''" * 100_000 + "\n---\n"])
def test_the_small_readers_refuse_what_is_made_to_do_harm_in_one_pass(small: None, text: str) -> None:
    with pytest.raises(Permanent, match=r"cannot be used\. Line \d+"):
        parse(text)


@pytest.mark.parametrize(("hook", "left"), [
    ("git clone git@forge.example:o/r.git .", ":"), ('git clone --depth 1 "$URL" . && npm ci', ": && npm ci"), ('git clone x "$PWD"; ls', ":; ls"),
    ("git clone \\\n  --depth 1 \\\n  x .\nmake", ":\nmake"), ("git clone x ./sub", None), ("git clone x", None), ("git clone " * 20_000, None)])
def test_a_clone_into_the_work_tree_is_left_out_because_the_clone_is_there(hook: str, left: str | None) -> None:
    assert _without_clone({"after_create": hook})[0] == {"after_create": hook if left is None else left}


def test_other_keys_are_left_alone_and_named(small: None) -> None:
    found = parse("---\ntracker:\n  kind: linear\nagent:\n  max_turns: 20\nlimits:\n  run_seconds: 5\n---\n\nHello {{ issue.title }}")
    assert (found.agent, found.limits, found.hooks, found.template, found.line) == (None, {"run_seconds": 5.0}, {}, "Hello {{ issue.title }}", 10)
    assert found.notes(hooks_run=True) == ("WORKFLOW.md: not used here, and ignored: tracker, agent.max_turns.",
                                           f"WORKFLOW.md: {SMALL} Install what is missing with .venv/bin/pip install -e '.[default]', then restart.")


HOOKS = """---
hooks:
  after_create: |
    echo created > made.txt
    test ! -e /root/.ssh
  before_run: echo before >> made.txt
  after_run: echo after >> made.txt; cp made.txt seen.txt
  before_remove: exit 5
  timeout_ms: 5000
limits:
  check_seconds: 7
---
Build {{ issue.title }}. {% if attempt %}Attempt {{ attempt }}.{% endif %}

{{ issue.description }}
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    require("bwrap")
    git(tmp_path, "init", "-q", "-b", "main", str(tmp_path / "theirs"))
    return tmp_path / "theirs"


def built(db: Database, config: Config, theirs: Path, workflow: str, runtime: str = "bubblewrap", **values: object) -> str:
    (theirs / "WORKFLOW.md").write_text(workflow)
    git(theirs, "add", "-A")
    git(theirs, "commit", "-q", "-m", "Workflow")
    real = replace(config, runtime=runtime, slots=1, synchronous="NORMAL", max_attempts=1, repository_roots=(theirs.parent,), **values)
    build(db, real, {"name": "W", "repository": str(theirs), "features": [{
        "title": "Greet", "description": "```sh\ncp \"$SWARM_IN/prompt.md\" prompt.txt\n```", "acceptance_criteria": [
            {"text": "hooks ran", "check": "grep -c . seen.txt | grep -qx 3 && test ! -e made.txt"}]}]})
    with running(db, real):
        until(lambda: db.value("select status from tickets where id = 'TKT-002'") in ("completed", "failed", "needs_input"))
    return str(db.value("select reason from tickets where id = 'TKT-002'"))


def test_hooks_run_in_the_sandbox_and_the_template_is_in_the_prompt(db: Database, config: Config, theirs: Path) -> None:
    reason = built(db, config, theirs, HOOKS)
    run = db.one("select * from runs where kind = 'feature'")
    folder = config.data / "runs" / run["id"]
    assert db.value("select status from tickets where id = 'TKT-002'") == "completed", (reason, (folder / "log").read_text())
    text = git(config.data / "repos" / f"{run['session_id']}.git", "show", f"{run['tip_sha']}:prompt.txt")
    assert "Build Greet. \n\n<data>\n" in text and "swarm-ask" in text and "## The ticket" not in text
    assert "::phase hook after_create\n" in (folder / "log").read_text() and "The hook before_remove ended with exit code 5." in (folder / "log").read_text()
    assert '"check_seconds": 7' in (folder / "job.json").read_text()


@pytest.mark.parametrize("hook, why", [("before_run: exit 3", "The hook before_run ended with exit code 3"),
                                       ("after_create: sleep 60\n  timeout_ms: 300", "The hook after_create ended with exit code 124")])
def test_a_hook_that_fails_before_the_work_ends_the_attempt(db: Database, config: Config, theirs: Path, hook: str, why: str) -> None:
    assert why in built(db, config, theirs, f"---\nhooks:\n  {hook}\n---\n")


@pytest.mark.parametrize("reader", ["installed", "small"])
def test_an_unknown_variable_goes_to_a_person_with_its_line_and_uses_up_no_attempt(db: Database, config: Config, theirs: Path, reader: str,
                                                                                   request: pytest.FixtureRequest) -> None:
    if reader == "small":
        request.getfixturevalue("small")
    assert "cannot be used. Line 5: the template uses issue.secret, which is not a variable." in built(
        db, config, theirs, "---\ntracker: 5\n---\n\nDo {{ issue.secret }}")
    assert db.value("select group_concat(outcome) from runs where kind = 'feature'") == "void"
    ticket = db.one("select status, failures from tickets where id = 'TKT-002'")
    asked = db.one("select kind, body from requests where state = 'open'")
    assert (ticket["status"], ticket["failures"], asked["kind"]) == ("failed", 0, "failed") and "Line 5: the template uses issue.secret" in asked["body"]


def test_the_start_says_that_the_small_readers_are_used(config: Config, small: None, capsys: pytest.CaptureFixture[str]) -> None:
    app = create_app(config)
    start_engine(app)
    app.extensions["swarm"].slot.stop()
    app.extensions["swarm"].db.close()
    assert f"HITL Swarm: {SMALL} Install what is missing with .venv/bin/pip" in capsys.readouterr().err


def test_the_small_readers_say_so_in_the_log_of_the_run_and_of_the_server(db: Database, config: Config, theirs: Path, small: None,
                                                                          caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "swarm")
    built(db, config, theirs, HOOKS)
    run = db.one("select id, outcome from runs where kind = 'feature'")
    assert run["outcome"] == "merged" and (config.data / "runs" / run["id"] / "log").read_text().startswith(f"WORKFLOW.md: {SMALL}")
    assert f'event=workflow ticket=TKT-002 run={run["id"]} note="WORKFLOW.md: {SMALL}' in caplog.text


def test_the_agent_that_a_repository_wants_must_be_able_to_run(db: Database, config: Config, theirs: Path) -> None:
    assert "The agent codex cannot run here." in built(db, config, theirs, "---\nagent: codex\n---\n")


def test_a_link_is_no_workflow(db: Database, config: Config, theirs: Path) -> None:
    (theirs / "WORKFLOW.md").symlink_to("/etc/passwd")
    git(theirs, "add", "-A")
    git(theirs, "commit", "-q", "-m", "Link")
    (theirs / "WORKFLOW.md").unlink()
    (theirs / "WORKFLOW.md").symlink_to("/etc/hostname")
    real = replace(config, runtime="bubblewrap", slots=1, synchronous="NORMAL", repository_roots=(theirs.parent,))
    build(db, real, {"name": "W", "repository": str(theirs), "features": [{"title": "F", "description": "x"}]})
    with running(db, real):
        until(lambda: db.value("select status from tickets where id = 'TKT-002'") == "failed")
    assert "is not a plain file" in db.value("select reason from tickets where id = 'TKT-002'")
