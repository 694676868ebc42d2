"""A WORKFLOW.md read as YAML and Liquid, by their libraries, in a process with limits. The file is foreign, and may be made to do harm."""
import os
import resource
from pathlib import Path
from typing import Any

import pytest
from conftest import build, git
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import Config
from engine.errors import Permanent
from engine.job import front_matter, reader, yaml_head
from engine.job.prompt import prompt
from engine.job.workflow import BYTES, Workflow, parse, render, workflow_at
from engine.store.db import Database
from engine.text import printable

VALUES = {"issue": {"identifier": "TKT-2", "title": "T", "description": None, "labels": [], "url": None,
                    "blocked_by": [{"id": "TKT-1", "identifier": "TKT-1", "state": "completed"}, {"id": "TKT-9", "identifier": "TKT-9", "state": "ready"}]},
          "attempt": None}


@pytest.fixture(autouse=True)
def libraries() -> None:
    why_not = reader.missing()
    if why_not:
        (pytest.fail if os.environ.get("SWARM_REQUIRE_ALL") == "1" else pytest.skip)(why_not)


def head(yaml: str) -> Workflow:
    return parse(f"---\n{yaml}\n---\n")


def filled(template: str, **values: Any) -> str:
    return render(Workflow(template), {**VALUES, **values})


def test_a_file_in_the_shape_of_another_program_is_used_and_what_is_not_used_is_named() -> None:
    found = parse("""---
tracker:
  kind: linear
  provider: {project_slug: "acme", api_key: $TRACKER_KEY}
  active_states: [Todo, In Progress]
polling:
  interval_ms: 5000
workspace:
  root: ~/workspaces
hooks:
  after_create: |
    set -eu
    git clone --depth 1 "$SOURCE_REPO_URL" . && echo cloned
    npm ci
  before_remove: >-
    echo
    bye
  timeout_ms: 900000
agent:
  max_concurrent_agents: 10
  max_turns: 20
codex:
  command: codex app-server
  turn_sandbox_policy: {type: workspaceWrite}
server: {port: 4000}
---

You work on `{{ issue.identifier }}`.
{% if attempt %}
Attempt #{{ attempt }}: go on.
{% endif %}
Title: {{ issue.title }}
Labels: {{ issue.labels | join: ", " }}
URL: {{ issue.url }}
{% if issue.description %}{{ issue.description }}{% else %}No description.{% endif %}
{% for blocker in issue.blocked_by %}{{ blocker.identifier }} is {{ blocker.state }}.
{% endfor %}
""")
    assert found.hooks == {"after_create": "set -eu\n: && echo cloned\nnpm ci\n", "before_remove": "echo bye"} and found.timeout == 900
    assert found.ignored == ("tracker", "polling", "workspace", "codex", "server", "agent.max_concurrent_agents", "agent.max_turns",
                             "git clone in hooks.after_create (the clone is there already)")
    first, second = (render(found, {**VALUES, "attempt": attempt}) for attempt in (None, 2))
    assert first.startswith("You work on `TKT-2`.\n\nTitle: T\nLabels: \nURL: \nNo description.\nTKT-1 is completed.\nTKT-9 is ready.\n")
    assert "Attempt #2: go on." in second and "Attempt" not in first


@pytest.mark.parametrize(("yaml", "hook"), [
    ("hooks: {before_run: make test}", "make test"), ("hooks:\n  before_run: >\n    a\n    b\n", "a b\n"), ('hooks:\n  before_run: "a\\tb \\u00e9"', "a\tb é"),
    ("x: &x make test\nhooks:\n  before_run: *x", "make test"), ("x: &x {before_run: one, nope: 1}\nhooks:\n  <<: *x", "one"),
    ("x: &x {before_run: one}\nhooks:\n  <<: [*x]\n  before_run: two", "two"), ("hooks:\n  before_run: !!str 5", "5"), ("hooks:\n  before_run: on", "on"),
    ("hooks:\n  before_run: 2026-11-29", "2026-11-29"), ("hooks:\n  before_run: 12:30", "12:30"), ("hooks:\n  before_run: 0o17", "0o17"),
    ('"hooks":\n  "before_run": yes # no', "yes")])
def test_it_is_yaml_whose_text_stays_text(yaml: str, hook: str) -> None:
    assert head(yaml).hooks == {"before_run": hook}


@pytest.mark.parametrize("yaml", [
    "codex: !!python/object/apply:os.system [id]", "codex: !mine {a: 1}", "codex: {a: 1, a: 2}\ncodex: 2", "day: 2026-13-45\nat: 99:99", "on: off\nno: yes",
    "1: a\n? [a, b]\n: c\ntrue: x\nnull: x\n? {}\n: y", "n: 1e999999\nm: 0x" + "f" * 5000, "a: &a [*a]", "a: &a {<<: *a}", "a: " + "9" * 5000,
    "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)), "a: |\n" + "  x\n" * 1900])
def test_the_keys_of_others_fail_nothing_whatever_they_are(yaml: str) -> None:
    found = head(f"{yaml}\nlimits: {{check_seconds: 7}}")
    assert found.limits == {"check_seconds": 7.0} and found.ignored
    assert all(len(name) <= 60 and name == printable(name) for name in found.ignored) and sum(map(len, found.notes(hooks_run=True))) < 1500


@pytest.mark.parametrize(("yaml", "why"), [
    ("hooks:\n  before_run: !!python/name:os.system x", "Line 3: the tag python/name:os.system is not read here"), ("hooks: {}\nhooks: {}", "Line 3: .*twice"),
    ("hooks:\n  before_run: a\n  before_run: b", "Line 4: the name before_run is there twice"), ("limits:\n  run_seconds: " + "9" * 5000, "limits.run_seconds"),
    ("limits:\n  run_seconds: !!int 0x1f", "Line 3: this is no value of the kind int"), ("limits: {run_seconds: .inf}", "limits.run_seconds"),
    ("limits: {run_seconds: true}", "limits.run_seconds"), ("hooks:\n  before_run: [a]", "hooks.before_run must be text"), ("hooks: 5", "hooks must be a map"),
    ("hooks:\n  before_run: {a: b}", "hooks.before_run must be text"), ("agent: [a]", "agent must be a name"), ("agent: {name: 5}", "agent must be a name"),
    ("a: 1\nb: [1, 2", "Line "), ("- a", "Line 2: the front matter must be a map"), ("a: *nowhere", "Line 2: .*undefined alias"), ("a: b: c", "Line 2: "),
    ("a: 1\n\tb: 2", "Line 3: "), ("a: 1\nb: \x01", "Line 3: YAML may not contain the character U\\+0001"), ("hooks:\n  <<: 5", "Line 3: << takes"),
    ("a: " + "[" * 100_000, "Line 2: .*nested too deeply"), ("a: " + "{a: " * 60_000, "Line 2: .*nested too deeply"),
    ("".join("  " * n + "a:\n" for n in range(60)), "Line 51: .*nested too deeply"), ("- " * 100_000, "Line 2: .*nested too deeply"),
    ("x: &x {<<: *x}\nhooks:\n  <<: *x", "Line 2: << takes"), ("a: %TAG", "Line 2: "), ("a: 1\n...\nb: 2", "Line 4: ")])
def test_what_cannot_be_used_is_refused_with_its_line(yaml: str, why: str) -> None:
    with pytest.raises(Permanent, match=rf"(?s)^WORKFLOW.md of the repository cannot be used\. .*{why}"):
        head(yaml)


@pytest.mark.parametrize(("template", "why"), [
    ("\n{{ issue.nope }}", "Line 2: the template uses issue.nope, which is not a variable"), ("{% if nope %}{% endif %}", "Line 1: the template uses nope,"),
    ("{{ issue['nope'] }}", "uses issue.nope"), ("{{ issue.nope | default: 'x' }}", "uses issue.nope"), ("{{ issue.__class__ }}", "uses issue.__class__"),
    ("\n\n{{ issue.title | nope }}", "Line 3: the template cannot be used: unknown filter 'nope'"), ("a\n{% nope %}", "Line 2: .*unexpected tag 'nope'"),
    ("{% if attempt %}\n\nx", "Line 3: .*expected tag endif"), ("\n{% endif %}", "Line 2: "), ("a\n\n{{ }}\n", "Line 3: "), ("\n{{ open", "Line 2: "),
    ("\n{% include 'a' %}", "Line 2: the template includes a, but there are no other files"), ("{% render 'a' %}", "Line 1: the template includes a"),
    ("\n{% for i in (1..100000000) %}{% endfor %}", r"Line 2: the template makes too much \(loop iteration limit"),
    ("{% for i in (1..9999) %}{% for j in (1..9999) %}{% endfor %}{% endfor %}", "makes too much"),
    ("{% assign x = 'aaaaaaaaaa' %}" + "{% assign x = x | append: x %}" * 40, "makes too much"), ("{% if attempt %}" * 3000, "makes too much"),
    ("{% for i in (1..9000) %}" + "x" * 10_000 + "{% endfor %}", r"makes too much \(output stream limit"), ("{{ 5 | divided_by: 0 }}", "Line 1: "),
    ("{{ 'a' " + "| replace: 'a', 'aaaaaaaaaaaaaaaaaaaa' " * 12 + "}}", "needs too much time or memory"),
    ("{{ (1..100000000) | join: ',' | size }}", "needs too much time or memory"), ("{{" * 120_000, "needs too much time or memory|Line 1"),
    ("{{ 9" + "| times: 99999999999999999999 " * 8000 + "}}", "cannot be read"), ("{{ (1..999999999999999999999999) | size }}", "cannot be read")])
def test_a_template_that_is_wrong_or_made_to_do_harm_is_refused(template: str, why: str) -> None:
    with pytest.raises(Permanent, match=rf"(?s)^WORKFLOW.md of the repository cannot be used\. .*({why})"):
        render(parse(template), VALUES)
    assert resource.getrlimit(resource.RLIMIT_CPU)[0] == resource.RLIM_INFINITY, "the limits are those of the other process"


@pytest.mark.parametrize(("template", "text"), [
    ("{{ issue.blocked_by }}", "- TKT-1\n- TKT-9"), ("{{ issue.blocked_by | map: 'state' | join: '+' }}", "completed+ready"), ("{{ issue }}", "TKT-2"),
    ("{% if issue.labels == empty %}none{% endif %}{% if issue.labels.size > 0 %}some{% endif %}", "none"), ("{{ attempt | default: 1 }}", "1"),
    ("{% unless attempt %}first{% endunless %}{% comment %}{{ nope }}{% endcomment %}{% raw %}{{ x }}{% endraw %}", "first{{ x }}"),
    ("{%- assign a = issue.title | downcase -%} {{- a }}", "t"), ("{% case issue.title %}{% when 'T' %}yes{% else %}no{% endcase %}", "yes")])
def test_the_template_is_liquid(template: str, text: str) -> None:
    assert filled(template) == text


def test_values_are_not_rendered_again() -> None:
    assert filled("{{ issue.title }}", issue={"title": "{{ attempt }}{% bad"}) == "{{ attempt }}{% bad"


def test_a_hook_time_that_is_not_positive_is_the_default_and_named() -> None:
    found = head("hooks: {timeout_ms: 0}")
    assert (found.timeout, found.ignored) == (60, ("hooks.timeout_ms (it is not positive, so it is 60 seconds)",))


@pytest.mark.parametrize(("text", "why"), [(b"a\n\0", "Line 2 has a NUL byte"), (b"x" * (BYTES + 1), "is not a plain file of at most 256 kB"),
                                           (b"---\nhooks: 5", "Line 1: the front matter has no end")])
def test_a_file_that_is_no_text_or_too_large_is_refused(tmp_path: Path, text: bytes, why: str) -> None:
    git(tmp_path, "init", "-q", "-b", "main", ".")
    (tmp_path / "WORKFLOW.md").write_bytes(text)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "W")
    with pytest.raises(Permanent, match=why):
        workflow_at(tmp_path / ".git", git(tmp_path, "rev-parse", "HEAD").strip())


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main", ".")
    (tmp_path / "WORKFLOW.md").write_bytes(b"\xef\xbb\xbf---\r\nhooks:\r\n  before_run: \xff\r\n---\r\n\xfe{{ issue.title }}\r\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "W")
    found = workflow_at(tmp_path / ".git", git(tmp_path, "rev-parse", "HEAD").strip())
    assert found is not None and found.hooks == {"before_run": "\ufffd"} and render(found, VALUES) == "\ufffdT"


def test_what_a_ticket_has_is_in_its_template(db: Database, config: Config) -> None:
    build(db, config, {"name": "P", "features": [{"title": "A"}, {"title": "B", "depends_on": ["A"]}]})
    template = ("{% for b in issue.blocked_by %}{{ b.identifier }}={{ b.state }}{% endfor %} {{ issue.created_at | slice: 0, 2 }}"
                "{% if issue.acceptance_criteria %}criteria{% else %} none{% endif %}{% if requirements %}R{% endif %}{% if issue.url %}U{% endif %}")
    assert "TKT-002=blocked 20 none\n" in prompt(db, db.one("select * from tickets where id = 'TKT-003'"), "", Workflow(template))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab:-|>'\"\\ \n\t#[]{}&*!?<0.,%@`\x85\u2028", max_size=60))
def test_any_yaml_is_read_or_refused_with_a_line(text: str) -> None:
    """In this process, for its speed: what it gets from the library is a value or a Permanent."""
    try:
        assert isinstance(yaml_head.read(f"---\n{text}\n---\n")["head"], dict)
    except Permanent as refused:
        assert refused.sentence.startswith("Line ")


def test_both_readers_read_the_same_of_what_the_small_one_reads() -> None:
    text = ("---\nagent: codex\nhooks:\n  after_create: |\n    npm ci\n\n    make\n  before_run: 'it''s' # so\n  timeout_ms: 120000\n"
            "limits:\n  run_seconds: 1.5\n---\nx")
    lines, template, line = front_matter.cut(text)
    assert yaml_head.read(text) == {"head": front_matter.read(lines), "template": template, "line": line}
