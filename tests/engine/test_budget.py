"""What becomes of a ticket whose run is over budget or rate-limited, and of what runs have used."""
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import build, state, statuses
from flask.testing import FlaskClient
from memory_engine import TWO, USED, drive, make_engine, spending

from engine.agents.runbook import RUNBOOK
from engine.config import Config
from engine.errors import BadRequest, Refused
from engine.gateway.prices import parse_prices
from engine.job.access import access_for, budget, configured, keys_file, used_up
from engine.jobs import Budget, Job, Limits, Result, ledgers_of
from engine.loop.fakes import fake_result
from engine.store.db import Database
from engine.tickets import actions, answers, requests, usage
from engine.tickets.approved_card import limits_of

MODELLED = {"agent": "custom"}  # needs a model, and any command makes it one that can run


def own(run: Any) -> Any:
    """What a run has used, by its row."""
    return run["usage"] and json.loads(run["usage"])


def test_a_run_over_budget_waits_for_a_word_and_goes_on_when_the_budget_is_raised(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    engine = make_engine(db, config, spending("A", reason="The budget of this run is used up (9 of 9 tokens)."))
    drive(engine)
    assert statuses(db, session) == {"TKT-001": "running", "TKT-002": "needs_input", "TKT-003": "completed"}
    assert db.value("select failures from tickets where id = 'TKT-002'") == 0
    assert db.value("select outcome from runs where ticket_id = 'TKT-002'") == "over_budget"
    request = db.one("select * from requests where state = 'open'")
    assert (request["kind"], json.loads(request["options"])) == ("budget", [requests.RAISE, requests.STOP])
    with pytest.raises(BadRequest, match="Raise the budget"):
        answers.answer(db, "default", "TKT-002", "maybe")
    answers.answer(db, "default", "TKT-002", requests.RAISE)
    assert db.value("select budget_raises from hitl_sessions") == 1
    drive(engine)
    assert state(db, session) == "completed"
    access = access_for(db, replace(config, run_tokens=9, egress_hosts=("a.b",)), db.one("select * from hitl_sessions"), "feature", RUNBOOK)
    assert access is not None and access.budget.run_tokens == 18


def test_to_stop_fails_what_waits_and_it_can_be_retried(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    engine = make_engine(db, config, spending("A", reason="Used up."))
    drive(engine)
    answers.answer(db, "default", "TKT-002", requests.STOP)
    drive(engine)
    assert statuses(db, session)["TKT-002"] == "failed" and state(db, session) == "failed"
    assert "the answer was to stop" in db.value("select reason from tickets where id = 'TKT-002'")
    actions.retry(db, "default", "TKT-002")
    drive(engine)
    assert state(db, session) == "completed"


def test_no_run_that_needs_a_model_begins_when_the_session_has_nothing_left(db: Database, config: Config) -> None:
    config = replace(config, session_tokens=100, openai_key="sk-1", agent="runbook", agent_command="true")
    session = build(db, config, {"name": "N", "features": [{"title": "A"}, {"title": "B", "depends_on": ["A"], **MODELLED}]})
    engine = make_engine(db, config, spending("-"))
    drive(engine)
    assert statuses(db, session) == {"TKT-001": "running", "TKT-002": "completed", "TKT-003": "needs_input"}
    assert len(db.all("select seq from requests where state = 'open' and kind = 'budget'")) == 1
    assert db.value("select outcome from runs where ticket_id = 'TKT-003'") == "void"
    answers.answer(db, "default", "TKT-003", requests.RAISE)
    drive(engine)
    assert state(db, session) == "completed"


def test_a_rate_limit_uses_up_no_attempt_however_often_and_waits_as_long_as_it_is_told(db: Database, config: Config) -> None:
    build(db, config, {"name": "One", "features": [{"title": "A"}]})
    def limited(job: Job, code: int) -> Result:
        if job.kind == "prepare":
            return fake_result(job, code)
        return Result(job.run, "failed", 0, failure="rate_limited", reason="Later, please.", wait=wait)

    wait = 600.0
    engine = make_engine(db, config, limited)
    drive(engine)
    row = db.one("select status, failures, transients, reason, not_before > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+590 seconds') as late"
                 " from tickets where id = 'TKT-002'")
    assert tuple(row) == ("ready", 0, 1, "Later, please.", 1)
    db.execute("update tickets set not_before = null where id = 'TKT-002'")
    wait = 0.0
    drive(engine, 100)
    assert db.value("select failures from tickets where id = 'TKT-002' and status in ('ready', 'claimed', 'running')") == 0
    assert db.value("select count(*) from runs where outcome = 'transient'") > 20


def test_what_runs_used_is_summed_by_ticket_and_session(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    drive(make_engine(db, config, spending("A", reason="Used up.")))
    of_ticket, of_session = usage.of_ticket(db, "TKT-002"), usage.of_session(db, session)
    assert (of_ticket["runs"], of_ticket["total"], of_ticket["money"], of_ticket["refused"], of_ticket["received"]) == (1, 100, 0.25, 1, 7)
    assert (of_session["runs"], of_session["total"], of_session["money"]) == (2, 200, 0.5)
    assert usage.of_tickets(db, session) == {"TKT-002": of_ticket, "TKT-003": usage.of_ticket(db, "TKT-003")}
    assert usage.spent(db, session) == (200, 0.5) and usage.spent(db, "another") == (0, 0.0)
    assert own(db.one("select * from runs where ticket_id = 'TKT-002'")) == USED


def test_what_a_card_allows_holds_where_it_is_less_than_the_settings_and_grows_with_them(db: Database, config: Config) -> None:
    card = {"name": "N", "features": [{"title": "A"}], "budget": {"tokens": 1000, "money": 2.5}}
    config = replace(config, session_tokens=600, session_money=0.0, prices=parse_prices('{"currency": "EUR", "m": {"input": 1}}'))
    session = build(db, config, card)
    row = db.one("select * from hitl_sessions where id = ?", (session,))
    limits = budget(db, config, row)
    assert (limits.session_tokens, limits.session_money, limits.currency) == (600, 2.5, "EUR")
    assert budget(db, replace(config, session_tokens=0, session_money=1.0), row).session_tokens == 1000
    raised = budget(db, replace(config, session_tokens=5000), {"id": session, "budget_raises": 2})
    assert (raised.session_tokens, raised.session_money) == (3000, 7.5)
    assert used_up(raised._replace(session_spent_money=8.0)) == "The budget of this session is used up (8.00 of 7.5 EUR)."


@pytest.mark.parametrize("budget", ["much", [], {}, {"tokens": "1"}, {"tokens": -1}, {"tokens": True}, {"tokens": None, "money": [3]}, {"money": 0}])
def test_a_budget_that_was_edited_by_hand_into_something_else_changes_nothing(config: Config, budget: Any) -> None:
    assert limits_of(replace(config, session_tokens=7, session_money=1.0), {"budget": budget}, 1) == (14, 2.0)
    assert limits_of(config, "no card", 0) == (config.session_tokens, 0.0)


def test_a_build_ends_at_the_budget_of_its_card(db: Database, config: Config) -> None:
    config = replace(config, openai_key="sk-1", agent="runbook", agent_command="true")
    session = build(db, config, {"name": "N", "features": [{"title": "A"}, {"title": "B", "depends_on": ["A"], **MODELLED}],
                                 "budget": {"tokens": 100}})
    drive(make_engine(db, config, spending("-")))
    assert statuses(db, session)["TKT-003"] == "needs_input"
    assert "(100 of 100 tokens)" in db.value("select body from requests where state = 'open' and kind = 'budget'")


def test_what_a_lost_run_spent_is_taken_from_its_ledger(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    drive(make_engine(db, config))
    run = db.one("select * from runs where kind = 'feature'")
    usage.book(db, config.data, run)
    assert own(db.one("select * from runs where id = ?", (run["id"],))) is None
    ledgers_of(config.data, session).mkdir(parents=True)
    (ledgers_of(config.data, session) / f"{run['id']}.json").write_text(json.dumps({**USED, "held_tokens": 900, "held_money": 9.0}))
    usage.book(db, config.data, run)
    assert own(db.one("select * from runs where id = ?", (run["id"],))) == USED


def test_access_is_what_the_agent_speaks_and_the_operator_has_configured(db: Database, config: Config) -> None:
    build(db, config, TWO)
    session, modelled = db.one("select * from hitl_sessions"), RUNBOOK._replace(models=("openai", "gemini"))
    both = replace(config, openai_url="http://127.0.0.1:1/v1", anthropic_key="sk-a", gemini_key="sk-g", run_tokens=7, prices={"m": {"input": 1.0}})
    assert configured(both) == {"openai": "http://127.0.0.1:1/v1", "anthropic": "https://api.anthropic.com",
                                "gemini": "https://generativelanguage.googleapis.com"}
    access = access_for(db, both, session, "feature", modelled)
    assert access is not None and set(access.models) == {"openai", "gemini"} and access.budget == Budget(7, 0.0, 50_000_000, 0.0, 0, 0.0)
    assert access_for(db, both, session, "feature", RUNBOOK) is None and access_for(db, both, session, "integrate", modelled) is None
    hosts = access_for(db, replace(both, egress_hosts=("npm",)), session, "integrate", modelled)
    assert hosts is not None and (hosts.models, hosts.hosts) == ({}, ("npm",))
    assert access_for(db, replace(both, egress_hosts=("npm",)), session, "prepare", modelled) is None
    assert used_up(Budget(session_money=2.0, session_spent_money=2.5)) == "The budget of this session is used up (2.50 of 2 in money)."


def test_keys_go_by_a_descriptor_and_are_shown_nowhere(db: Database, config: Config, tmp_path: Path) -> None:
    config = Config.from_env({"SWARM_OPENAI_KEY": "sk-very-secret", "SWARM_DATA": str(tmp_path)})
    assert "sk-very-secret" not in repr(config) + json.dumps(config.described({}))
    descriptor = keys_file(config, Job("r", "feature", "T", "s", "", "", "", "", "", "", "fake", "x", "", Limits(1, 1, 1, 1, 1, 1, 1)))
    assert os.read(descriptor, 100) == b""
    os.close(descriptor)


@pytest.mark.parametrize(("name", "value", "allowed"), [
    ("SWARM_OPENAI_URL", "ftp://x", "http or https URL"), ("SWARM_EGRESS_HOSTS", "http://pypi.org", "host names"), ("SWARM_PRICES", "{", "JSON object"),
    ("SWARM_RUN_MONEY", "-1", "an amount"), ("SWARM_GATEWAY_CA", "/nonexistent", "a file with certificates")])
def test_settings_of_the_gateway_are_named_when_they_are_bad(name: str, value: str, allowed: str) -> None:
    with pytest.raises(Refused) as caught:
        Config.from_env({name: value})
    assert name in caught.value.sentence and allowed in caught.value.sentence


def test_settings_of_the_gateway_are_read_by_the_gateway_and_may_be_empty() -> None:
    config = Config.from_env({"SWARM_EGRESS_HOSTS": "PyPI, *.example.org", "SWARM_PRICES": '{"currency": "EUR", "m": {"input": 1}}'})
    assert config.egress_hosts == ("pypi", "*.example.org") and config.prices == {"m": {"input": 1.0}}
    shown = {each["name"]: each["value"] for each in Config.from_env({"SWARM_PRICES": "", "SWARM_EGRESS_HOSTS": ""}).described({})}
    assert shown["SWARM_PRICES"] == shown["SWARM_EGRESS_HOSTS"] == "(empty)"


def test_the_request_is_on_the_pages_and_answered_there(client: FlaskClient, db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    drive(make_engine(db, config, spending("A", reason="The budget of this run is used up (9 of 9 tokens).")))
    for page in (f"/sessions/{session}", "/tickets/TKT-002", "/"):
        answer = client.get(page, follow_redirects=True)
        assert answer.status_code == 200, page
    page = client.get("/tickets/TKT-002").get_data(as_text=True)
    assert "The budget is used up" in page and "Raise the budget" in page and "used up (9 of 9 tokens)" in page
    seq = db.value("select seq from requests where state = 'open'")
    assert client.post(f"/requests/{seq}/answer", data={"option": requests.RAISE}, headers={"Origin": "http://localhost"}).status_code in (200, 302, 303)
    assert db.value("select budget_raises from hitl_sessions") == 1
