"""What was used of models and asked of the gateway, as people see it: pages, notes and JSON."""
import json
from dataclasses import replace
from typing import Any

import pytest
from conftest import build
from flask import Flask
from flask.testing import FlaskClient
from memory_engine import TWO, USED, drive, make_engine, spending
from paging import seen

from engine.config import Config
from engine.gateway.prices import parse_prices
from engine.jobs import ledgers_of
from engine.store.db import Database
from hitl.views import usage as used

PRICED = {**USED, "unpriced": [], "currency": "EUR", "estimated": 0}
HOSTILE = "evil.example/<script>alert(1)</script>\x1b[31m"


@pytest.fixture
def config(config: Config) -> Config:
    return replace(config, session_tokens=240, prices=parse_prices('{"currency": "EUR", "m": {"input": 1}}'))


@pytest.fixture
def session(app: Flask, db: Database, config: Config) -> str:
    """Two features of which the first ran twice; each of the three runs used 100 tokens."""
    made = build(db, config, TWO)
    drive(make_engine(db, config, spending("A", "failed", failure="agent", reason="No.")))
    db.execute("update runs set usage = ? where usage is not null", (json.dumps(PRICED),))
    return made


def set_used(db: Database, **values: Any) -> None:
    """Of all runs that used something, as if they had ended so."""
    db.execute("update runs set usage = ? where usage is not null", (json.dumps({**PRICED, **values}),))


def test_the_ticket_shows_what_its_run_and_all_its_runs_used(client: FlaskClient, session: str) -> None:
    seen(client, "/tickets/TKT-002")
    page = client.get("/tickets/TKT-002").text
    assert "Run 2" in page and "All runs" in page and "0.25 EUR" in page and "0.50 EUR" in page and "From cache" in page
    assert page.count("100 tokens · 0.25 EUR") == 2
    assert client.get("/tickets/TKT-002/history").text.count("100 tokens · 0.25 EUR") == 2
    found = client.get("/api/tickets/TKT-002").json
    assert (found["usage"]["total"], found["usage"]["money"], found["usage"]["currency"], found["usage"]["cache_read"]) == (200, 0.5, "EUR", 20)
    assert [(run["usage"]["input"], run["usage"]["money"]) for run in client.get("/api/tickets/TKT-002/runs").json["runs"]] == [(80, 0.25)] * 2
    assert client.get("/api/tickets/TKT-001").json["run"]["usage"] is None and "Used" not in client.get("/tickets/TKT-001").text


def test_the_session_shows_its_sum_against_its_budget_and_says_so_at_80_percent(client: FlaskClient, db: Database, session: str) -> None:
    usage = client.get(f"/api/hitl/{session}").json["usage"]
    assert (usage["total"], usage["money"], usage["budget"]) == (300, 0.75, {"tokens": 240, "money": None, "raises": 0})
    assert "used 300 of 240 tokens, 0.75 EUR" in client.get(f"/sessions/{session}").text
    db.execute("update hitl_sessions set state = 'building'")
    assert "The budget of this session is used up: 300 of 240 tokens." in client.get(f"/sessions/{session}").text
    db.execute("update hitl_sessions set budget_raises = 1")
    page = client.get(f"/sessions/{session}").text
    assert "used 300 of 480 tokens" in page and "of this session&#39;s budget" not in page
    assert used.notice({"total": 384, "money": None, "requests": 1, "currency": "", "budget": {"tokens": 480, "money": None}}).startswith("80 % of this")


def test_money_is_limited_and_told_in_the_currency_of_the_table(client: FlaskClient, app: Flask, session: str) -> None:
    swarm = app.extensions["swarm"]
    swarm.config = replace(swarm.config, session_tokens=0, session_money=0.9)
    page = client.get(f"/sessions/{session}").text
    assert "used 300 tokens, 0.75 of 0.90 EUR" in page
    assert used.notice(client.get(f"/api/hitl/{session}").json["usage"]).startswith("83 % of this session's budget is used: 0.75 of 0.90 EUR.")


def test_no_money_is_shown_where_no_price_is_known_and_at_least_where_some_is_not(client: FlaskClient, db: Database, session: str) -> None:
    set_used(db, money=0.0, unpriced=["m"], estimated=2)
    page = client.get("/tickets/TKT-003").text
    assert "about 100 tokens" in page and "EUR" not in page and "Estimated" in page
    assert client.get("/api/tickets/TKT-003").json["usage"]["money"] is None
    set_used(db, unpriced=["m"])
    assert "at least 0.25 EUR" in client.get("/tickets/TKT-003").text
    set_used(db, money=0.0)
    assert "0.00 EUR" in client.get("/tickets/TKT-003").text, "a price of nothing is one"
    set_used(db, money=0.0042)
    assert "0.0042 EUR" in client.get("/tickets/TKT-003").text


def test_the_notes_tell_it_of_the_session_each_ticket_and_each_run(client: FlaskClient, session: str) -> None:
    notes = client.get(f"/api/hitl/{session}/notes").text
    assert "- Used: 300 tokens (240 in, 30 out, 30 from cache), 0.75 EUR" in notes
    assert "- Used: 200 tokens (160 in, 20 out, 20 from cache), 0.50 EUR" in notes
    assert notes.count(", 100 tokens · 0.25 EUR") == 3
    assert client.get(f"/sessions/{session}/notes").status_code == 200


def test_a_run_that_lives_is_counted_by_its_ledger(client: FlaskClient, db: Database, config: Config, session: str) -> None:
    db.execute("update runs set usage = null, state = 'running', ended_at = null, outcome = null where ticket_id = 'TKT-003'")
    run = db.value("select id from runs where ticket_id = 'TKT-003'")
    ledgers_of(config.data, session).mkdir(parents=True)
    (ledgers_of(config.data, session) / f"{run}.json").write_text(json.dumps({**PRICED, "total": 7, "held_tokens": 9, "held_money": 0.0}))
    assert client.get(f"/api/hitl/{session}").json["usage"]["total"] == 207
    page = client.get("/tickets/TKT-003").text
    assert "so far" in page and '<th scope="row">Tokens</th><td class="num">7</td>' in page


def record(config: Config, run: str, count: int, refused: int = 0, **values: Any) -> None:
    """The record of a run with `count` requests, of which the first `refused` were refused."""
    lines = [{"at": "2026-01-02T03:04:05.000Z", "side": "egress", "method": "GET", "host": f"h{n}.example", "path": "/x", "allowed": n > refused,
              "status": 200 if n > refused else 403, "why": "" if n > refused else "not listed", "sent": 10, "received": 2000, "seconds": 0.5, "model": "",
              "tokens": 0, "number": n, "refused": min(n, refused), **values} for n in range(1, count + 1)]
    folder = config.data / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def run(db: Database, session: str) -> str:
    return str(db.value("select id from runs where ticket_id = 'TKT-003'"))


def test_what_was_asked_of_the_gateway_is_folded_counted_and_escaped(client: FlaskClient, config: Config, run: str) -> None:
    record(config, run, 5, 3, host=HOSTILE, model="", why=HOSTILE)
    seen(client, "/tickets/TKT-003")
    page = client.get("/tickets/TKT-003").text
    assert "5 requests" in page and "3 refused" in page and '<details class="panel fold" id="gateway">' in page
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "\x1b" not in page
    found = client.get("/api/tickets/TKT-003/gateway").json
    assert (found["total"], found["refused"], found["recorded"], found["next"]) == (5, 3, 5, None)
    assert found["requests"][0]["host"] == HOSTILE and found["requests"][3]["allowed"] is True
    assert [each["number"] for each in client.get("/api/tickets/TKT-003/gateway?refused=1").json["requests"]] == [1, 2, 3]
    assert "Requests to the gateway" not in client.get("/tickets/TKT-001").text


def test_a_long_record_comes_in_pieces_each_of_which_is_bounded(client: FlaskClient, db: Database, config: Config, run: str) -> None:
    record(config, run, 10_000, 9_990, path="/" + "é" * 299)  # 20 MB, as the longest may be
    set_used(db, asked={"requests": 1_000_000, "refused": 999_990, "recorded": 10_000})
    page = client.get("/tickets/TKT-003").text
    assert "1,000,000 requests" in page and "999,990 refused" in page and "Only the first 10,000 requests were recorded" in page
    assert page.count("<td data-label=\"Time\"") == 50 and len(page) < 300_000
    seen, after = [], 0
    while after is not None:
        answer = client.get(f"/api/tickets/TKT-003/gateway?after={after}&run={run}").json
        assert len(answer["requests"]) <= 500
        seen, after = seen + [each["number"] for each in answer["requests"]], answer["next"]
    assert seen == list(range(1, 10_001))
    second = client.get(f"/tickets/TKT-003?run={run}&asked={client.get('/api/tickets/TKT-003/gateway?limit=50').json['next']}").text
    assert "h51.example" in second and "h50.example" not in second and 'id="gateway" open' in second
    allowed = client.get("/api/tickets/TKT-003/gateway?after=99999999999").json
    assert allowed["requests"] == [] and allowed["next"] is None


def test_a_record_that_is_no_record_or_is_gone_is_no_error(client: FlaskClient, db: Database, config: Config, run: str) -> None:
    record(config, run, 2)
    path = config.data / "runs" / run / "requests.jsonl"
    path.write_bytes(b'\xff\n[1]\n{"host": 5, "status": "x", "seconds": null}\n' + path.read_bytes() + b'{"cut')
    assert [each["host"] for each in client.get("/api/tickets/TKT-003/gateway").json["requests"]] == ["5", "h1.example", "h2.example"]
    assert client.get("/tickets/TKT-003?asked=-3").status_code == 200 and client.get("/tickets/TKT-003?asked=7&only=refused").status_code == 200
    path.unlink()
    set_used(db, asked={"requests": 4, "refused": 1, "recorded": 4})
    assert client.get("/api/tickets/TKT-003/gateway").json["total"] == 4
    assert "Their record was deleted" in client.get("/tickets/TKT-003").text
    assert client.get("/api/tickets/TKT-003/gateway?run=nope").status_code == 404
    assert client.get("/api/tickets/TKT-003/gateway?after=x").status_code == 400
