"""Whatever a run leaves: it ends with an outcome, the pages and the JSON of its session and ticket answer, and the next prompt can be written."""
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import build, by_hand
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from left_runs import left_engine, look_at_all, sha

from engine.agents import AGENTS
from engine.agents.log import described, read
from engine.config import Config
from engine.errors import AgentFailed
from engine.job.prompt import prompt
from engine.jobs import Job, Result
from engine.run.output import Log, Output
from engine.run.outputs import read_question
from engine.store.db import Database
from engine.tickets.rows import TicketRow

CARD = {"name": "Any", "features": [{"title": "A", "acceptance_criteria": [{"text": "works", "check": "true"}]}]}
TEXTS = st.text(st.one_of(st.characters(), st.sampled_from("\ud83d\ude00\udcff\0\ufeff")), max_size=20)
VALUES = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), TEXTS),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8)
ANY = st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode())
QUESTIONS = st.fixed_dictionaries({"question": TEXTS | VALUES}, optional={"options": st.lists(TEXTS | VALUES, max_size=3)})
TYPES = ("result", "assistant", "text", "message", "item.completed", "turn.completed", "error", "system")
PARTS = ("result", "message", "item", "part", "content", "usage", "session_id", "subtype", "error", "role")
EVENTS = st.fixed_dictionaries({"type": st.sampled_from(TYPES)}, optional=dict.fromkeys(PARTS, TEXTS | VALUES))
FIELDS = st.dictionaries(st.sampled_from(sorted(vars(Result("", "", 0)))), VALUES, max_size=4)


def result_with(changed: dict[str, Any], format_1: bool) -> bytes:
    values = {**vars(Result("r", "ok", 5, base=sha("base"), tip=sha("tip"))), **changed}
    if format_1:
        values["machine"] = values.pop("vm")
    return json.dumps(values if format_1 else {"format": 2, **values}).encode()


RESULTS = ANY | st.builds(result_with, FIELDS, st.booleans())


def leave(folder: Path, agent: str, request: bytes | None, events: list[bytes], output: bytes, result: bytes | None) -> None:
    """What a runner of this version makes of these outputs of a sandbox; or the result of a runner of any version."""
    log = Log(folder / "log", 1)
    log.write(f"::phase agent {agent}\n".encode() + b"".join(line + b"\n" for line in events) + b"::phase check 1\n")
    checked = Output(log, b"")
    checked.take(output)
    if result is not None:
        (folder / "result.json").write_bytes(result)
        return
    made = Result(folder.name, "ok", 5, base=sha("base"), tip=sha(folder.name), said=described(read(AGENTS[agent], folder / "log")))
    made.checks = [{"text": "works", "command": "true", "exit": 1, "seconds": 0.1, "output": checked.text(), "passed": False}]
    made.outcome, made.failure, made.reason = "failed", "agent", f"It failed: {checked.last_line()}"
    if request is not None:
        (folder / "out").mkdir()
        (folder / "out" / "request.json").write_bytes(request)
        try:
            made.request, made.outcome = read_question(folder / "out"), "needs_input"
        except AgentFailed as error:
            made.reason = error.sentence
    made.write(folder)




@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(agent=st.sampled_from(sorted(AGENTS)), request=st.none() | ANY | QUESTIONS.map(lambda value: json.dumps(value).encode()),
       events=st.lists(ANY | EVENTS.map(lambda value: json.dumps(value).encode()), max_size=4), output=st.binary(max_size=200), result=st.none() | RESULTS)
def test_whatever_a_run_leaves_its_end_is_recorded_and_shown(client: FlaskClient, db: Database, config: Config, agent: str, request: bytes | None,
                                                             events: list[bytes], output: bytes, result: bytes | None) -> None:
    session = build(db, config, CARD)
    with left_engine(db, config, lambda job, folder: leave(folder, agent, request, events, output, result)) as (engine, _):
        for _ in range(6):
            engine.tick()
        assert not engine.errors
        ticket = db.the("select * from tickets where session_id = ? and type = 'feature'", (session,), TicketRow)
        outcomes = [row[0] for row in db.all("select outcome from runs where ticket_id = ? order by seq", (ticket["id"],))]
        assert outcomes and outcomes[0] is not None
        db.execute("update runs set agent = ? where ticket_id = ?", (agent, ticket["id"]))  # whose events the log has
        look_at_all(client, session, ticket["id"])
        assert prompt(db, db.the("select * from tickets where id = ?", (ticket["id"],), TicketRow), "").encode()
        client.post(f"/api/hitl/{session}/cancel")
        engine.tick()
    assert db.value("select count(*) from runs where ended_at is null") == 0


@pytest.mark.parametrize("said", [b"\xff\xed\xa0\xbd\0", b'{"question": "\\ud83d", "options": ["\\ude00"]}', b"[" * 100_000, b"9" * 5000,
                                  b'{"question": ' + b'"x' * 1_000_000 + b'"}'], ids=["bytes", "half an emoji", "deep", "a huge number", "long"])
def test_the_next_job_is_written_and_the_pages_answer(said: bytes, client: FlaskClient, db: Database, config: Config) -> None:
    session, jobs = build(db, config, CARD), list[Job]()

    def left(job: Job, folder: Path) -> None:
        jobs.append(job)
        leave(folder, "claude", said if len(jobs) == 2 else None, [said, b'{"type": "result", "result": "\\ud83d"}'], said, None)
    with left_engine(db, config, left) as (engine, launcher):
        for _ in range(8):
            engine.tick()
    assert len(jobs) >= 2 and not engine.errors
    assert Job.read(launcher.folder(jobs[-1].run)) == jobs[-1]
    db.execute("update runs set agent = 'claude'")
    look_at_all(client, session, "TKT-002")


OLD = (  # rows as an earlier version, a shell or another program may have left them
    "update runs set said = '{\"message\": \"\\ud83d\", \"tokens\": {\"input\": NaN}}'",
    "update runs set checks = '[{\"text\": \"\\ud83d\", \"command\": 7, \"seconds\": \"x\", \"output\": [], \"passed\": 1}, 3]'",
    "update runs set checks = '[{\"text\": \"works\", \"command\": \"true\", \"output\": \"\\ud83d\", \"passed\": false}, {}]'",
    "update runs set usage = '{\"total\": 1e999, \"requests\": \"\\ud83d\", \"money\": Infinity}'",
    "update runs set usage = '[]', vm = '{\"boot_ms\": \"\\ud83d\"}'",
    "update runs set phases = '{\"work\": \"\\ud83d\"}', vm = '{\"boot_ms\": {}, \"boots\": \"2\"}'",
    "update runs set reason = cast(x'eda0bd' as text), detail = cast(x'ff00' as text)", "update runs set vm = '{'",
    "update tickets set title = cast(x'eda0bd41' as text), description = cast(x'0041' as text), reason = cast(x'ff' as text)",
    "update tickets set acceptance_criteria = '[\"\\ud83d\", {\"text\": [1], \"check\": {}}]'", "update tickets set branch_name = cast(x'ff2fff' as text)",
    "update requests set body = cast(x'eda0bd' as text), options = '[\"\\ud83d\", 7, null]'", "update requests set options = '{'",
    "update hitl_sessions set project_name = cast(x'eda0bd' as text), reason = cast(x'ff' as text)",
    "update hitl_sessions set spec_card = '{\"name\": \"\\ud83d\", \"features\": [{\"title\": \"A\"}]}', approved_sha256 = null")


@pytest.mark.parametrize("sql", OLD, ids=range(len(OLD)))
@pytest.mark.parametrize("asks", [True, False], ids=["asked", "failed"])
def test_rows_that_hold_no_text_are_shown(sql: str, asks: bool, client: FlaskClient, db: Database, config: Config) -> None:
    session = build(db, config, CARD)
    request = b'{"question": "Which?", "options": ["a"]}' if asks else None
    with left_engine(db, config, lambda job, folder: leave(folder, "claude", request, [], b"out", None)) as (engine, _):
        for _ in range(4):
            engine.tick()
        by_hand(config, sql)
        look_at_all(client, session, "TKT-002")
        assert prompt(db, db.the("select * from tickets where id = 'TKT-002'", (), TicketRow), "").encode()
        for _ in range(3):
            engine.tick()
        assert not engine.errors


def test_an_answer_is_valid_whatever_it_contains(app: Flask, client: FlaskClient) -> None:
    app.add_url_rule("/page", "page", view_func=lambda: "half \ud83d")
    app.add_url_rule("/json", "json", view_func=lambda: {"n": [float("nan"), 1.5], "half": "\ud83d"})
    assert client.get("/page").data.decode() == "half ?"
    assert json.loads(client.get("/json").data.decode()) == {"n": [None, 1.5], "half": "\ufffd"}
