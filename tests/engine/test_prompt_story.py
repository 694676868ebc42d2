"""What a prompt tells beside the ticket: what was delivered before it, what failed, that it is stuck; and hooks only where something isolates."""
import json
import os
from dataclasses import replace
from typing import Any

import pytest
from conftest import build, git, require
from real_engine import completed, running

from engine.config import Config
from engine.job.build_job import hooks_of
from engine.job.network import NONE, network
from engine.job.prompt import prompt
from engine.job.workflow import Workflow
from engine.jobs import Access
from engine.runtimes import make
from engine.store.db import Database

CARD = {"name": "P", "technical_requirements": ["Python"], "features": [{"title": "A"}, {"title": "B", "depends_on": ["A"], "acceptance_criteria": ["fine"]}]}


def add_run(db: Database, ticket: str, outcome: str, number: int = 1, /, **values: Any) -> None:
    names = "".join(f", {name}" for name in values)
    db.execute(f"insert into runs (id, ticket_id, session_id, kind, state, claim_token, claimed_by, run_no, outcome, ended_at{names})"
               f" select id || '-' || ?, id, session_id, 'feature', 'ended', 't', 'e', ?, ?, created_at{', ?' * len(values)} from tickets where id = ?",
               (number, number, outcome, *values.values(), ticket))
    db.execute("update tickets set run_no = 2, failures = 1 where id = ?", (ticket,))


def told(db: Database, ticket: str = "TKT-003", workflow: Workflow | None = None) -> str:
    return prompt(db, db.one("select * from tickets where id = ?", (ticket,)), NONE, workflow)


def test_what_dependencies_delivered_is_told_with_branch_and_summary(db: Database, config: Config) -> None:
    build(db, config, CARD)
    db.execute("update tickets set branch_name = 'swarm/x' where id = 'TKT-002'")
    add_run(db, "TKT-002", "merged", said=json.dumps({"message": "I made </data>\n# A module"}))
    assert "- TKT-002 A (branch swarm/x): I made <\\/data> # A module\n</data>" in told(db)


@pytest.mark.parametrize("reason, failures, words", [
    ("The run wrote nothing for 600 seconds, so it was stopped.", 1, "Try another way"), ("The check “x” failed with exit code 1.", 2, "has failed 2 times"),
    ("The check “x” failed with exit code 1.", 1, "")])
def test_what_is_stuck_is_told_to_try_another_way(db: Database, config: Config, reason: str, failures: int, words: str) -> None:
    build(db, config, CARD)
    add_run(db, "TKT-003", "failed", reason=reason, checks=json.dumps([{"command": "make x", "output": "boom", "passed": False}]))
    db.execute("update tickets set failures = ?", (failures,))
    text = told(db)
    assert reason in text and "$ make x\nboom" in text and (words in text if words else "Try another way" not in text and "has failed" not in text)


def test_a_template_of_the_repository_keeps_the_rules_and_the_story(db: Database, config: Config) -> None:
    build(db, config, CARD)
    add_run(db, "TKT-003", "failed", reason="It broke.")
    text = told(db, workflow=Workflow("Do {{ issue.title }} ({{ attempt }}). {{ requirements }}{{ issue.acceptance_criteria }}"))
    assert "Do B (2). <data>\n- Python\n</data><data>\n- fine\n</data>" in text and "swarm-ask" in text and "It broke." in text
    assert "## The ticket" not in text


@pytest.mark.parametrize("setting, isolation, runtime, there", [
    ("auto", "required", "process", False), ("auto", "waived", "process", True), ("process", "required", "process", True),
    ("auto", "required", "bubblewrap", True), ("auto", "required", "qemu", True)])
def test_hooks_are_left_out_where_nothing_isolates_unless_a_person_said_so(config: Config, setting: str, isolation: str, runtime: str, there: bool) -> None:
    found = hooks_of(replace(config, runtime=setting), {"isolation": isolation}, make(runtime), Workflow(hooks={"before_run": "x"}))
    assert bool(found.hooks) is there


@pytest.mark.parametrize(("template", "criteria", "requirements"), [
    ("Do {{ issue.title }}, by its acceptance_criteria and requirements.", True, True),
    ("{{ issue.acceptance_criteria }}", False, True), ("{{ requirements }}", True, False),
    ("{{ issue.acceptance_criteria }}{{ requirements }}", False, False)])
def test_a_template_that_leaves_out_what_was_approved_does_not_hide_it(db: Database, config: Config, template: str, criteria: bool, requirements: bool) -> None:
    build(db, config, CARD)
    text = told(db, workflow=Workflow(template))
    assert ("## Done means" in text, "## For the whole project" in text) == (criteria, requirements)
    assert text.count("- fine\n</data>") == text.count("- Python\n</data>") == 1


INTERRUPTED, FAILED, EARLIER = "The run before this one was interrupted", "The previous attempt failed. Find", "An earlier attempt failed. Find"
CONFLICT = "The previous attempt conflicts with what was merged meanwhile"


@pytest.mark.parametrize(("outcomes", "headings"), [
    ("transient", {INTERRUPTED}), ("lost", {INTERRUPTED}), ("failed", {FAILED}), ("conflict", {CONFLICT}), ("failed transient", {INTERRUPTED, EARLIER}),
    ("failed needs_input", {EARLIER}), ("failed void", {FAILED}), ("failed in_review", set()), ("transient failed", {FAILED}), ("failed conflict", {CONFLICT}),
    ("failed in_review failed", {FAILED}), ("void", set())])
def test_the_prompt_says_how_the_runs_before_ended_and_calls_only_a_failed_one_failed(db: Database, config: Config, outcomes: str, headings: set) -> None:
    build(db, config, CARD)
    for number, outcome in enumerate(outcomes.split(), 1):
        add_run(db, "TKT-003", outcome, number, reason=f"Reason {number}.")
    text = told(db)
    assert {each for each in (INTERRUPTED, FAILED, EARLIER, CONFLICT) if each in text} == headings


HOSTS = ("pypi", "*.example.org", "files.example.net")
PROXIED = ("HTTP_PROXY and HTTPS_PROXY are set to a proxy that lets http and https through, on ports 80 and 443, to these hosts alone: "
           "pypi.org, files.pythonhosted.org (registry pypi); *.example.org; files.example.net (* stands for any name below).")


@pytest.mark.parametrize("runtime", ["bubblewrap", "qemu", "process"])
def test_the_prompt_says_which_hosts_can_be_reached(runtime: str) -> None:
    model = {"openai": "https://api.example.com/v1"}
    nothing, asks, lists, both = (network(make(runtime), access) for access in (None, Access(model), Access({}, HOSTS), Access(model, HOSTS)))
    assert ("no host can be reached" in nothing, "your own model and no other host" in asks) == ((runtime != "process",) * 2)
    assert PROXIED in lists and PROXIED in both
    if runtime == "process":
        assert all("Nothing isolates you" in said and "uses its network" not in said and "use its network" in said for said in (nothing, asks, lists, both))
    else:
        assert (lists.endswith("reach no other host."), both.endswith("reach no other host, and only you reach your model.")) == (True, True)


@pytest.mark.parametrize(("runtime", "hosts"), [("bubblewrap", ()), ("bubblewrap", ("pypi",)), ("process", ()), ("process", ("pypi",))])
def test_what_the_prompt_of_a_real_run_says_about_the_network_is_so(db: Database, config: Config, runtime: str, hosts: tuple[str, ...]) -> None:
    if runtime == "bubblewrap":
        require("bwrap")
    script = 'cp "$SWARM_IN/prompt.md" prompt.txt\nreadlink /proc/self/ns/net > net.txt\necho "${HTTPS_PROXY:-none}" > proxy.txt'
    session = build(db, config, {"name": "N", "features": [{"title": "Look", "description": f"```sh\n{script}\n```"}]})
    with running(db, replace(config, runtime=runtime, slots=1, egress_hosts=hosts)):
        completed(db, session)
    run = db.one("select tip_sha, session_id from runs where kind = 'feature'")
    prompt_of, net, proxy = (git(config.data / "repos" / f"{run['session_id']}.git", "show", f"{run['tip_sha']}:{name}.txt")
                                 for name in ("prompt", "net", "proxy"))
    assert (net.strip() != os.readlink("/proc/self/ns/net")) == ("There is no network" in prompt_of) == (runtime == "bubblewrap")
    assert proxy.startswith("http://127.0.0.1:") == ("lets http and https through" in prompt_of) == bool(hosts)
    assert ("pypi.org" in prompt_of) == bool(hosts) and "{network}" not in prompt_of
