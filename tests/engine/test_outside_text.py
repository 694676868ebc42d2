"""What comes out of a sandbox or a worker is not trusted to be text: each way in, with half an emoji, NUL, a very long line, deep JSON, huge numbers."""
import json
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import build
from hypothesis import given, settings
from hypothesis import strategies as st
from runner_bench import Bench, log_of

from engine.agents import AGENTS
from engine.agents.log import described, event_of, read
from engine.config import Config
from engine.criteria import criteria_of
from engine.errors import AgentFailed
from engine.files import write_json
from engine.forge.base import clean
from engine.gateway.record import Asked, Record
from engine.jobs import FORMAT, Result
from engine.loop.launch import ProcessLauncher
from engine.run.output import Log, Output
from engine.run.outputs import OPTIONS, QUESTION_CHARACTERS, read_question
from engine.store.db import Database
from engine.text import DEEPEST, cleaned, from_outside, json_from_outside, stored
from engine.tickets import usage

HALF = "\ud83d"
BRIEF = {"ids": lambda value: type(value).__name__}  # the values are too long for a name, or no text at all
TEXTS = st.text(st.one_of(st.characters(), st.sampled_from("\ud83d\ude00\udcff\0\ufeff")))
VALUES = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), TEXTS),
                      lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12)
DEEP = "[" * 100_000 + "]" * 100_000


@settings(deadline=None)
@given(TEXTS | st.binary(), st.integers(0, 50))
def test_text_from_outside_is_valid_and_bounded(data: str | bytes, most: int) -> None:
    text = from_outside(data, most)
    assert len(text) <= most and text.encode().decode() == text and "\0" not in text


@pytest.mark.parametrize("data, text", [
    (b"plain", "plain"), ("caf\u00e9", "caf\u00e9"), (b"\xff\x00a", "\ufffd\ufffda"), (HALF, "\ufffd"), (f"a{HALF}b", "a\ufffdb"),
    (HALF + "\ude00", "\U0001f600"),
    ("\ude00" + HALF, "\ufffd\ufffd"), ("\udc80", "\ufffd"), ("\U0001f600".encode()[:2], "\ufffd")], **BRIEF)
def test_what_is_no_character_is_replaced_and_the_rest_stays(data: str | bytes, text: str) -> None:
    assert from_outside(data, 100) == text


@settings(deadline=None)
@given(VALUES)
def test_any_value_becomes_json_that_is_read_back_unchanged(value: Any) -> None:
    once = cleaned(value)
    text = json.dumps(once, ensure_ascii=False, allow_nan=False)
    assert json_from_outside(text.encode()) == once == cleaned(once) == json_from_outside(json.dumps(value))


@pytest.mark.parametrize("text, value", [
    ("9" * 5000, None), (str(2**63), None), (str(-2**63), -2**63), ("NaN", None), ("-Infinity", None), ("1e999", None), ("1.5", 1.5), ('"\\ud83d"', "\ufffd"),
    ('{"\\ud83d": "\\u0000"}', {"\ufffd": "\ufffd"}), ('"\\ud83d\\ude00"', "\U0001f600"), ("\ufeff1", 1)], **BRIEF)
def test_numbers_and_texts_of_foreign_json(text: str, value: Any) -> None:
    assert json_from_outside(text) == json_from_outside(text.encode()) == value


def test_nesting_is_bounded() -> None:
    with pytest.raises(ValueError, match="too deeply"):
        json_from_outside(DEEP)
    found, depth = json_from_outside("[" * 500 + "]" * 500), 0
    while found:
        found, depth = found[0], depth + 1
    assert depth == DEEPEST
    loop: list = []
    loop.append(loop)
    assert str(cleaned(loop)).count("[") == DEEPEST


@pytest.mark.parametrize("value", [{"a": HALF}, {HALF: 1}, [float("nan")], {"a": {1, 2}}, {"a": b"x"}, [10**5000], json.loads("[" * 900 + "]" * 900)], **BRIEF)
def test_a_file_is_written_whatever_it_holds(value: Any, tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", value)
    assert json_from_outside((tmp_path / "a.json").read_bytes()) is not None


@pytest.mark.parametrize("content, question", [
    (f'{{"question": "Which \\ud83d?", "options": ["\\udc00", 1, null, {"9" * 4000}, NaN]}}', {"question": "Which \ufffd?", "options": ["\ufffd", "1"]}),
    ('{"question": "a\\u0000b"}', {"question": "a\ufffdb", "options": []}),
    (json.dumps({"question": "x" * 900_000, "options": ["y"] * 50}), {"question": "x" * QUESTION_CHARACTERS, "options": ["y"] * OPTIONS}),
    (b'{"question": "\xff\xed\xa0\xbd"}', {"question": "\ufffd" * 4, "options": []}),
    (DEEP, None), ('{"question": ' + "[" * 900 + "]" * 900 + "}", None), ("9" * 5000, None), (b"\0", None)], **BRIEF)
def test_a_question(content: str | bytes, question: dict | None, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    if question is None:
        with pytest.raises(AgentFailed, match="cannot be read"):
            read_question(tmp_path)
    else:
        assert read_question(tmp_path) == question


@settings(deadline=None)
@given(st.binary())
def test_any_question_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("out")
    (folder / "request.json").write_bytes(data)
    try:
        found = read_question(folder)
    except AgentFailed:
        return
    assert found is not None and json.dumps(found, ensure_ascii=False).encode()


EVENTS = {  # of each agent that writes events: its last words
    "claude": {"type": "result", "subtype": "success", "result": "Done \ud83d", "usage": {"input_tokens": 10**30}},
    "codex": {"type": "item.completed", "item": {"type": "agent_message", "text": "Done \ud83d"}},
    "gemini": {"type": "message", "role": "assistant", "content": "Done \ud83d"},
    "opencode": {"type": "text", "part": {"text": "Done \ud83d"}},
    "mini": {"type": "mini.ended", "exit_status": "Submitted", "submission": "Done \ud83d", "input": 10**30}}


@pytest.mark.parametrize("agent", sorted(EVENTS))
def test_events_of_an_agent(agent: str, tmp_path: Path) -> None:
    lines = [DEEP, '{"type": "' + "x" * 10_000_000, '{"type": "a", "n": ' + "9" * 5000 + "}", '{"type": "x\\u0000", "a": NaN}', json.dumps(EVENTS[agent])]
    (tmp_path / "log").write_bytes(f"::phase agent {agent}\n".encode() + "\n".join(lines).encode() + b"\n\xff\xfe\0\n")
    said = described(read(AGENTS[agent], tmp_path / "log"))
    assert said == {"message": "Done \ufffd"}
    result = Result("r", "ok", 0, said=said)
    result.write(tmp_path)
    assert (Result.read(tmp_path) or result).said == said


@settings(deadline=None)
@given(st.sampled_from(sorted(AGENTS)), VALUES)
def test_any_event_is_read_and_shown(agent: str, value: Any) -> None:
    event = event_of(json.dumps({"type": "result", "x": value} | (value if isinstance(value, dict) else {})))
    profile = AGENTS[agent]
    if event is not None and profile.shown is not None:
        assert "\n".join(profile.shown(event)).encode() is not None


@settings(deadline=None)
@given(st.binary(max_size=6000))
def test_the_output_of_a_check_and_its_last_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    output = Output(Log(tmp_path_factory.getbasetemp() / f"log-{os.getpid()}", 1000), b"::phase check ")
    output.take(b"::phase check 1\n" + data)
    assert (output.text().encode() and "\0" not in output.text()) or not output.text()
    assert len(output.last_line()) <= 300


def test_a_line_of_10_mb_is_cut_to_its_end(tmp_path: Path) -> None:
    output = Output(Log(tmp_path / "log", 20), b"::phase check ")
    output.take(b"::phase check 1\n" + b"\xf0\x9f\x98\x80" * 2_500_000)
    assert output.text() == "\U0001f600" * 1024


SHA = "a" * 40
GOOD = {"run": "r", "outcome": "ok", "at": 5, "base": SHA, "tip": SHA, "failure": None, "reason": None, "request": None, "checks": [], "phases": {}, "said": {},
        "usage": {}, "wait": 0.0, "merged": [], "conflicts": []}


@pytest.mark.parametrize("named", [{"format": 2, "vm": {"clone": True}}, {"machine": {"clone": True}}], ids=["format 2", "format 1"])
@pytest.mark.parametrize("changed, shown", [
    ({"said": {"message": HALF, "session": 7, "tokens": {"input": 10**17}}}, {"said": {"message": "\ufffd", "tokens": {"input": 10**15}}}),
    ({"usage": {"total": 2**63 - 1, "money": float("inf"), "models": {HALF: {}}}}, {"usage": {"total": 10**15, "money": None, "models": {"\ufffd": {}}}}),
    ({"checks": [3, {"text": HALF, "exit": "x", "output": "o" * 10_000_000}]},
     {"checks": [{"text": "\ufffd", "exit": None, "output": "o" * 20_000}]}),
    ({"reason": ["?"], "wait": "soon", "phases": 3, "unknown": 1}, {"reason": None, "wait": 0.0, "phases": {}})], **BRIEF)
def test_what_a_result_only_shows_is_made_right(named: dict, changed: dict, shown: dict, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps({**GOOD, **named, **changed}))
    result = Result.read(tmp_path)
    assert result is not None and result.outcome == "ok" and result.vm == {"clone": True}
    assert {name: getattr(result, name) for name in shown} == shown


@pytest.mark.parametrize("content", [
    "", "{", "[]", "null", DEEP, "\0", '{"format": "x"}', json.dumps({"format": FORMAT}),
    *(json.dumps({**GOOD, **wrong}) for wrong in (
        {"outcome": "merged"}, {"outcome": []}, {"base": "-x"}, {"tip": 5}, {"at": -1}, {"at": 10**30}, {"run": None}, {"request": {"question": 1}},
        {"merged": [{}]}, {"merged": 7}, {"conflicts": [{"run": 1}]}, {"failure": {}}))], **BRIEF)
def test_a_result_that_decides_what_it_cannot_mean_is_a_failed_run(content: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(content)
    result = Result.read(tmp_path)
    assert result is not None and (result.outcome, result.failure) == ("failed", "transient") and "cannot be used" in (result.reason or "")


@settings(deadline=None)
@given(VALUES)
def test_any_result_is_written_and_read(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    folder = tmp_path_factory.mktemp("run")
    result = Result("r", "failed", 0, failure="agent")
    result.reason = result.request = result.checks = result.said = result.usage = value
    result.write(folder)
    again = Result.read(folder)
    assert again is not None and again.outcome == "failed" and json.dumps(vars(again), ensure_ascii=False, allow_nan=False).encode()


def test_the_last_words_of_a_runner(config: Config) -> None:
    launcher = ProcessLauncher(config)
    launcher.folder("r").mkdir(parents=True)
    (launcher.folder("r") / "runner.err").write_bytes(b"x" * 10_000_000 + b"\0\xff the end")
    words = launcher.last_words("r")
    assert words is not None and words.endswith("x\ufffd\ufffd the end") and len(words) < 5000


def test_the_record_of_the_gateway(tmp_path: Path) -> None:
    Record(tmp_path / "requests.jsonl").add(Asked("egress", host=HALF, path="\0" + "x" * 10**7))
    line = json.loads((tmp_path / "requests.jsonl").read_bytes())
    assert line["host"] == "\ufffd" and line["path"] == "\ufffd" + "x" * 299


@pytest.mark.parametrize("data, text", [(b"\xff\0a", "\ufffd\ufffda"), (HALF + "\x1b[1mb", "\ufffdb"), (None, ""), ("x" * 10**7, "\u2026" + "x" * 9)], **BRIEF)
def test_what_a_forge_says(data: Any, text: str) -> None:
    assert clean(data, 9) == text


@pytest.mark.parametrize("held", ["", "[]", '{"total": "x"}', DEEP, '{"requests": NaN}'], **BRIEF)
def test_a_ledger_that_cannot_be_read_says_nothing(held: str, tmp_path: Path) -> None:
    (tmp_path / "budgets" / "s").mkdir(parents=True)
    (tmp_path / "budgets" / "s" / "r.json").write_text(held)
    assert usage.of_live(tmp_path, usage.Live(id="r", session_id="s")) is None


def test_columns_that_hold_half_an_emoji_and_texts_that_are_no_utf8(db: Database, config: Config) -> None:
    session = build(db, config, {"name": "Old", "features": [{"title": "A"}]})
    db.execute("""update tickets set title = cast(x'41eda0bd' as text), acceptance_criteria = '["\\ud83d", {"text": "\\u0000", "check": "true"}]'""")
    row = db.one("select * from tickets where session_id = ? and type = 'feature'", (session,))
    assert row is not None and row["title"] == "A\ufffd\ufffd\ufffd"
    assert [each.text for each in criteria_of(row["acceptance_criteria"])] == ["\ufffd", "\ufffd"]
    assert stored('{"a": NaN}', {}) == {"a": None} and stored(DEEP, []) == [] and stored("3", []) == []


ASK = """printf '%s' '{"question": "Which \\ud83d?", "options": ["\\udc00a", "b"]}' > "$SWARM_OUT/request.json" """


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench("process", tmp_path).prepared()


def test_a_run_that_asks_with_half_an_emoji_ends_with_its_question(bench: Bench) -> None:
    result, folder = bench.run(ASK)
    assert result.outcome == "needs_input" and result.request == {"question": "Which \ufffd?", "options": ["\ufffda", "b"]}, log_of(folder)


def test_a_check_that_writes_anything_ends_with_its_output(bench: Bench) -> None:
    result, _ = bench.run("touch a", checks=("printf 'a\\377\\355\\240\\275\\000b\\n'; exit 1",))
    assert (result.outcome, result.failure) == ("failed", "agent") and result.checks[0]["output"].rstrip() == "a" + "\ufffd" * 4 + "b"
