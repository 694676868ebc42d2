"""What becomes of tickets whose model's provider refuses until someone acts, or is busy: who is asked, when, and what an answer does."""
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from conftest import build, require, state, statuses, until
from flask.testing import FlaskClient
from gateway_client import CLIENT
from memory_engine import TWO, USED, drive, make_engine
from model_upstream import Handler, chat, served
from real_engine import completed, running

from engine.config import Config
from engine.errors import BadRequest
from engine.jobs import Job, Result
from engine.loop.fakes import fake_result
from engine.loop.loop import SwarmEngine
from engine.store.db import Database
from engine.tickets import actions, answers, requests

REFUSED = "The model's provider (openai at api.openai.com) has no quota or credit left for this account (status 429). It said: “Pay.” Add credit."


def refusing(job: Job, code: int) -> Result:
    """Runs of every feature, until the test has it otherwise."""
    return fake_result(job, code) if job.kind != "feature" else Result(job.run, "failed", 0, failure="provider", reason=REFUSED, usage=USED)


def open_requests(db: Database) -> list[Any]:
    return db.all("select * from requests where state = 'open' order by seq")


def test_a_provider_that_refuses_asks_once_for_all_tickets_and_uses_up_no_attempt(db: Database, config: Config) -> None:
    config = replace(config, slots=2, openai_key="sk-1", agent="custom", agent_command="true", answer_seconds=0.001)
    names = "ABCDE"
    session = build(db, config, {"name": "Five", "features": [{"title": name} for name in names]})
    results = [refusing]
    engine = make_engine(db, config, lambda job, code: results[-1](job, code))
    drive(engine, 300)
    assert set(statuses(db, session).values()) == {"running", "needs_input"} and state(db, session) == "building"
    assert db.pairs("select outcome, count(*) from runs where kind = 'feature' group by 1") == {"transient": 2, "void": 3}
    assert db.value("select max(failures) from tickets") == 0
    (request,) = open_requests(db)
    assert (request["kind"], json.loads(request["options"])) == ("budget", [requests.TRY_AGAIN, requests.STOP]) and REFUSED in request["body"]
    with pytest.raises(BadRequest, match="'Try again', 'Stop'"):
        answers.answer(db, "default", "TKT-005", requests.RAISE)
    answers.answer(db, "default", "TKT-005", requests.TRY_AGAIN)  # of any ticket that waits
    drive(engine, 300)
    assert len(open_requests(db)) == 1 and db.pairs("select outcome, count(*) from runs where kind = 'feature' group by 1")["transient"] == 4
    results.append(fake_result)
    answers.answer(db, "default", "TKT-002", requests.TRY_AGAIN)
    drive(engine, 300)
    assert state(db, session) == "completed" and db.value("select max(failures) from tickets") == 0 and open_requests(db) == []


def test_to_stop_after_a_refusal_fails_what_waits_and_it_can_be_retried(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    results = [refusing]
    engine = make_engine(db, config, lambda job, code: results[-1](job, code))
    drive(engine)
    answers.answer(db, "default", "TKT-003", requests.STOP)
    drive(engine)
    assert set(statuses(db, session).values()) == {"failed"}
    assert "provider refused, and the answer was to stop" in db.value("select reason from tickets where id = 'TKT-002'")
    results.append(fake_result)
    actions.retry(db, "default", "TKT-001")
    drive(engine)
    assert state(db, session) == "completed"


@pytest.mark.parametrize(("spent", "refused"), ["AB", "BA"])
def test_a_refusal_and_a_used_up_budget_are_asked_about_apart(db: Database, config: Config, spent: str, refused: str) -> None:
    session = build(db, config, TWO)

    def results(job: Job, code: int) -> Result:
        if job.title == spent and job.kind == "feature" and not db.value("select budget_raises from hitl_sessions"):
            return Result(job.run, "over_budget", 0, reason="Used up.")
        return refusing(job, code) if job.title == refused else fake_result(job, code)

    engine = make_engine(db, config, results)
    drive(engine)
    assert {json.loads(row["options"])[0] for row in open_requests(db)} == {requests.RAISE, requests.TRY_AGAIN}
    answers.answer(db, "default", "TKT-003", requests.RAISE)  # either ticket may be named: the answer says which request is meant
    drive(engine)
    assert sorted(statuses(db, session).values()) == ["completed", "needs_input", "running"] and len(open_requests(db)) == 1


def test_no_ticket_waits_for_nobody_when_the_one_that_asked_is_dropped(db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    results = [refusing]
    engine = make_engine(db, config, lambda job, code: results[-1](job, code))
    drive(engine)
    asked = open_requests(db)[0]["ticket_id"]
    other = {"TKT-002": "TKT-003", "TKT-003": "TKT-002"}[asked]
    actions.cancel(db, "default", asked)
    drive(engine)
    assert len(open_requests(db)) == 1 and statuses(db, session)[other] == "needs_input"
    results.append(fake_result)
    answers.answer(db, "default", other, requests.TRY_AGAIN)
    drive(engine)
    assert state(db, session) == "completed"


def limited(wait: float, kind: str = "rate_limited") -> Callable[[Job, int], Result]:
    def results(job: Job, code: int) -> Result:
        return fake_result(job, code) if job.kind != "feature" else Result(job.run, "failed", 0, failure=kind, reason="It is busy.", wait=wait)
    return results


def once_more(db: Database, engine: SwarmEngine, hours: float) -> Any:
    """The same ticket again, as if these hours had passed. -> its row"""
    db.execute("update tickets set not_before = null where not_before is not null")
    db.execute("update runs set ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', ended_at, ?)", (f"-{hours} hours",))
    db.execute("update requests set answered_at = strftime('%Y-%m-%dT%H:%M:%fZ', answered_at, ?)", (f"-{hours} hours",))
    drive(engine, 3)
    return db.one("select * from tickets where id = 'TKT-002'")


def test_a_wait_for_a_busy_provider_ends_with_a_question_after_hours_and_begins_anew_with_the_answer(db: Database, config: Config) -> None:
    build(db, config, {"name": "One", "features": [{"title": "A"}]})
    engine = make_engine(db, replace(config, backoff_seconds=300.0), limited(0.0))
    drive(engine, 10)
    for _ in range(11):
        assert once_more(db, engine, 0.5)["status"] == "ready"
    row = once_more(db, engine, 0.6)
    assert (row["status"], row["failures"]) == ("needs_input", 0)
    (request,) = open_requests(db)
    assert "It is busy. The ticket has had to wait since 2" in request["body"]
    answers.answer(db, "default", "TKT-002", requests.TRY_AGAIN)
    drive(engine, 3)
    for _ in range(11):
        assert once_more(db, engine, 0.5)["status"] == "ready"
    assert once_more(db, engine, 0.6)["status"] == "needs_input" and db.value("select max(failures) from tickets") == 0


@pytest.mark.parametrize("days", [0.5, 3, 40])
def test_a_provider_that_wants_to_be_left_alone_for_days_asks_at_once(db: Database, config: Config, days: float) -> None:
    build(db, config, {"name": "One", "features": [{"title": "A"}]})
    engine = make_engine(db, config, limited(days * 86_400))
    drive(engine, 10)
    assert db.value("select status from tickets where id = 'TKT-002'") == "needs_input" and len(open_requests(db)) == 1
    assert db.value("select count(*) from runs where kind = 'feature'") == 1


def test_a_wait_of_hours_is_kept_while_all_waits_together_are_short_enough(db: Database, config: Config) -> None:
    build(db, config, {"name": "One", "features": [{"title": "A"}]})
    engine = make_engine(db, config, limited(3 * 3600.0))
    drive(engine, 10)
    assert db.value("select status from tickets where id = 'TKT-002'") == "ready"
    assert once_more(db, engine, 3.1)["status"] == "needs_input"


def test_troubles_of_both_kinds_by_turns_end_too(db: Database, config: Config) -> None:
    build(db, config, {"name": "One", "features": [{"title": "A"}]})
    turn: list[str] = []

    def results(job: Job, code: int) -> Result:
        turn.append(job.run)
        return limited(0.0, "rate_limited" if len(turn) % 2 else "transient")(job, code)

    engine = make_engine(db, replace(config, backoff_seconds=300.0), results)
    drive(engine, 10)
    rows = [once_more(db, engine, 0.5) for _ in range(14)]
    assert rows[-1]["status"] == "needs_input" and rows[-1]["failures"] == 0


def test_a_refusal_is_shown_as_what_it_is(client: FlaskClient, db: Database, config: Config) -> None:
    session = build(db, config, TWO)
    drive(make_engine(db, config, refusing))
    for page in ("/tickets/TKT-002", "/tickets/TKT-003", f"/sessions/{session}", "/inbox"):
        text = client.get(page, follow_redirects=True).get_data(as_text=True)
        assert "It said: “Pay.”" in text and "Try again" in text and "udget" not in text.partition("<main")[2].partition("</main")[0].replace("/api", ""), page
    assert "The model&#39;s provider refuses" in client.get("/tickets/TKT-002").get_data(as_text=True)
    asked = client.get("/api/requests").get_json()["requests"]
    assert [(each["kind"], each["options"]) for each in asked] == [("budget", ["Try again", "Stop"])]
    assert client.post(f"/requests/{asked[0]['seq']}/answer", data={"option": "Stop"}, headers={"Origin": "http://localhost"}).status_code in (302, 303)
    assert set(statuses(db, session).values()) == {"failed"}


def test_the_whole_engine_asks_once_for_a_quota_that_is_used_up_and_goes_on_with_the_answer(db: Database, config: Config) -> None:
    require("bwrap")
    paid: list[str] = []

    def reply(handler: Handler, body: Any) -> None:
        chat(handler, body) if paid else handler.answer({"error": {"code": "insufficient_quota", "message": "You exceeded your current quota."}}, 429)

    command = CLIENT + "python3 -c 'import client; answer = client.ask(\"Hi\"); print(answer); assert \"Hello\" in answer'"
    command += " && touch \"done-$SWARM_RUN.txt\"; code=$?; rm -rf client.py __py*; exit $code"
    with served(reply) as upstream:
        real = replace(config, runtime="bubblewrap", slots=2, synchronous="NORMAL", agent="custom", agent_command=command,
                       openai_url=upstream.url, openai_key="sk-test", backoff_seconds=0.01)
        session = build(db, real, {"name": "Three", "features": [{"title": name} for name in "ABC"]})
        with running(db, real):
            until(lambda: list(statuses(db, session).values()).count("needs_input") == 3)
            (request,) = open_requests(db)
            assert "openai at 127.0.0.1" in request["body"] and "“You exceeded your current quota.”" in request["body"] and "Add credit" in request["body"]
            assert len(upstream.seen) <= 2 and db.value("select max(failures) from tickets") == 0
            paid.append("yes")
            answers.answer(db, "default", "TKT-003", requests.TRY_AGAIN)
            completed(db, session)
    assert db.value("select max(failures) from tickets") == 0


def test_the_whole_engine_waits_for_a_provider_that_is_overloaded_in_a_stream(db: Database, config: Config) -> None:
    require("bwrap")

    def reply(handler: Handler, body: Any) -> None:
        busy = [{"type": "response.created"}, {"type": "response.failed", "response": {"error": {"code": "server_is_overloaded", "message": "Busy."}}}]
        handler.stream(busy) if len(handler.upstream.seen) < 4 else chat(handler, body)

    command = CLIENT + "python3 -c 'import client; print(client.ask(\"Hi\"))'; rm -rf client.py __py*; echo more >> work.txt"
    with served(reply) as upstream:
        real = replace(config, runtime="bubblewrap", slots=1, synchronous="NORMAL", agent="custom", agent_command=command, openai_url=upstream.url,
                       openai_key="sk-test", backoff_seconds=0.01)
        session = build(db, real, {"name": "One", "features": [{"title": "A"}]})
        with running(db, real):
            completed(db, session)
    assert [row[0] for row in db.all("select outcome from runs where kind = 'feature' order by seq")] == ["transient"] * 3 + ["merged"]
    assert db.value("select failures from tickets where id = 'TKT-002'") == 0
