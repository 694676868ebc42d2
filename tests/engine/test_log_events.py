"""The log of an agent that writes events: readable lines on the page, secrets blacked out, nothing believed."""
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.agents import AGENTS, session
from engine.agents.base import AgentReport
from engine.agents.log import events, read, why_failed
from engine.jobs import AgentSetup, Job, Limits
from engine.run.output import Log, Output
from hitl.views.log import fold

CLAUDE = [
    {"type": "system", "subtype": "init", "session_id": "s-1", "model": "m", "claude_code_version": "2"},
    {"type": "assistant", "session_id": "s-1", "message": {"content": [{"type": "text", "text": "I look <b>first</b>."},
                                                                        {"type": "tool_use", "name": "Bash", "input": {"command": "ls -l"}}]}},
    {"type": "user", "message": {"content": [{"type": "tool_result", "content": "a.txt\nb.txt", "is_error": False}]}},
    {"type": "result", "subtype": "success", "is_error": False, "result": "Done.", "usage": {"input_tokens": 5, "output_tokens": 7}}]
CODEX = [
    {"type": "thread.started", "thread_id": "t-1"},
    {"type": "item.started", "item": {"type": "command_execution", "command": "make test"}},
    {"type": "item.completed", "item": {"type": "command_execution", "aggregated_output": "1 failed\n", "exit_code": 1}},
    {"type": "item.completed", "item": {"type": "file_change", "changes": [{"path": "a.py", "kind": "add"}]}},
    {"type": "item.completed", "item": {"type": "agent_message", "text": "Fixed."}},
    {"type": "turn.completed", "usage": {"input_tokens": 10, "cached_input_tokens": 2, "output_tokens": 3}}]


def written(folder: Path, lines: list, agent: str = "claude") -> Path:
    path = folder / "log"
    said = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(f"::phase clone\n{{\"type\": \"before\"}}\n::phase agent {agent}\n{said}\n::phase commit\n{{\"type\": \"after\"}}\n")
    return path


@pytest.mark.parametrize("agent, lines, named, message", [("claude", CLAUDE, "s-1", "Done."), ("codex", CODEX, "t-1", "Fixed.")])
def test_the_session_the_tokens_and_the_last_words_are_read(tmp_path: Path, agent: str, lines: list, named: str, message: str) -> None:
    report = read(AGENTS[agent], written(tmp_path, lines, agent))
    assert (report.session, report.message, report.ended, report.error) == (named, message, True, "")
    assert report.tokens["output"] in (3, 7) and why_failed(AGENTS[agent], report, 0) is None


def test_only_the_agents_own_part_of_the_log_is_read(tmp_path: Path) -> None:
    assert [event["type"] for event in events(written(tmp_path, [{"type": "here"}, "no event", "{broken", "[1]", '{"type": 5}', '{"a": 1}']))] == ["here"]


HOSTILE = [
    '{"type": "result", "usage": "x", "permission_denials": 7, "session_id": ["a"]}', '{"type": "result"}', "{" * 100_000,
    '{"type": "assistant", "message": {"content": [1, null, {"type": "text"}]}}', '{"type":"result","usage":{"output_tokens":1e999}}',
    '{"type": "turn.failed"}', '{"type": "turn.completed", "usage": {"output_tokens": -5}}', '{"type": "item.completed", "item": 3}',
    '{"type": "step_finish", "part": []}', '{"type": "mini.ended"}', '{"type": "error"}', '{"type":"result","result":{"a":1}}',
    '{"type": "item.completed", "item": {"type": "file_change", "changes": 4}}',
    '{"type": "tool_use", "part": {"state": {"input": {"command": {"a": 1}}}}}']


@pytest.mark.parametrize("line", HOSTILE)
@pytest.mark.parametrize("agent", ["claude", "codex", "opencode", "gemini", "mini"])
def test_hostile_events_are_bounded_and_break_nothing(tmp_path: Path, agent: str, line: str) -> None:
    report = read(AGENTS[agent], written(tmp_path, [line], agent))
    assert all(0 <= count < 10**12 for count in report.tokens.values()) and len(report.error) <= 300
    fold(f"::phase agent {agent}\n{line}\n", agent=agent)


_KEYS = st.sampled_from(["type", "subtype", "item", "part", "state", "input", "content", "message", "error", "data", "usage", "tokens", "result", "status",
                         "changes", "text", "command", "output_tokens", "session_id", "permission_denials", "tool_name", "role"])
_VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
                       lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4), max_leaves=12)
_TYPES = st.sampled_from(["system", "assistant", "user", "result", "thread.started", "turn.completed", "turn.failed", "error", "item.started",
                          "item.completed", "text", "tool_use", "tool_result", "step_finish", "init", "message", "mini.ended"])


@settings(max_examples=400, deadline=None)
@given(kind=_TYPES, event=st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_whatever_an_event_holds_it_is_read_and_shown(kind: str, event: dict) -> None:
    for agent in AGENTS.values():
        report = AgentReport()
        agent.take(report, {**event, "type": kind})
        assert isinstance(why_failed(agent, report, 0), str | None)
        if agent.shown:
            assert all(isinstance(line, str) for line in agent.shown({**event, "type": kind}))


@pytest.mark.parametrize("name", ["../../etc", "-x", "a b", "", "x" * 101, "$(id)", None, 7])
def test_a_session_that_is_no_plain_name_is_not_taken(name: object) -> None:
    report = AgentReport()
    report.named(name)
    assert report.session == ""


@pytest.mark.parametrize("agent, event, code, why", [
    ("claude", {"type": "result", "subtype": "success", "is_error": True, "result": "API Error", "api_error_status": 401}, 1, "API Error (status 401)"),
    ("claude", {"type": "result", "subtype": "error_max_turns"}, 1, "gave up: error_max_turns"),
    ("claude", {"type": "result", "subtype": "success", "result": "ok", "permission_denials": [{"tool_name": "Bash"}]}, 0, "not permitted to use Bash"),
    ("claude", {"type": "system"}, 0, "stopped before it said"),
    ("codex", {"type": "turn.failed", "error": {"message": "no such model"}}, 0, "gave up: no such model"),
    ("codex", {"type": "thread.started"}, 0, "stopped before it said"),
    ("opencode", {"type": "error", "error": {"name": "APIError", "data": {"message": "bad"}}}, 0, "gave up: bad"),
    ("gemini", {"type": "result", "status": "error", "error": {"message": "quota"}}, 0, "gave up: quota"),
    ("mini", {"type": "mini.ended", "exit_status": "LimitsExceeded"}, 0, "gave up: LimitsExceeded"),
])
def test_an_exit_code_of_0_is_no_success_where_the_events_say_otherwise(tmp_path: Path, agent: str, event: dict, code: int, why: str) -> None:
    assert why in str(why_failed(AGENTS[agent], read(AGENTS[agent], written(tmp_path, [event], agent)), code))


def test_events_are_readable_lines_and_escaped() -> None:
    text = "::phase agent claude\n" + "".join(json.dumps(each) + "\n" for each in CLAUDE) + "plain\n"
    steps, number = fold(text, agent="claude")
    assert [str(shown) for _, _, shown in steps[0].lines] == [
        "claude 2, model m", "I look &lt;b&gt;first&lt;/b&gt;.\n› Bash: ls -l", "  a.txt\n  b.txt", "Ended: Done.", "plain"]
    assert number == 7 and [line[0] for line in steps[0].lines] == [2, 3, 4, 5, 6]
    steps, _ = fold("::phase agent codex\n" + "".join(json.dumps(each) + "\n" for each in CODEX), agent="codex")
    assert [str(shown) for _, _, shown in steps[0].lines] == ["codex, thread t-1", "› make test", "error: 1 failed", "› add a.py", "Fixed.",
                                                              "Ended: 3 tokens out"]
    assert steps[0].lines[2][1] == "is-error"


def test_without_an_agent_that_writes_events_a_line_is_shown_as_it_is() -> None:
    assert [str(shown) for _, _, shown in fold('{"type": "result"}\n', agent="runbook")[0][0].lines] == ["{&#34;type&#34;: &#34;result&#34;}"]


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/passwd"), lambda path: path.mkdir(), lambda path: os.mkfifo(path),
                                  lambda path: (path.touch(), os.truncate(path, 50_000_001)), lambda path: (path.touch(), os.link(path, path.with_name("b")))])
def test_a_session_is_kept_as_a_plain_file_of_a_bounded_size_only(tmp_path: Path, make: Callable[[Path], object]) -> None:
    (tmp_path / "out").mkdir()
    make(tmp_path / "out" / "session.tar")
    assert "session.tar" in str(session.keep(tmp_path)) and not (tmp_path / "session.tar").exists()


def test_a_kept_session_is_given_to_the_run_that_goes_on_with_it(tmp_path: Path) -> None:
    (tmp_path / "run-1" / "out").mkdir(parents=True)
    (tmp_path / "run-2" / "in").mkdir(parents=True)
    (tmp_path / "run-1" / "out" / "session.tar").write_bytes(b"files")
    assert session.keep(tmp_path / "run-1") is None and not (tmp_path / "run-1" / "out" / "session.tar").exists()
    job = Job("run-2", "feature", "T", "s", "", "", "", "", "", "", "bubblewrap", "codex", "", Limits(1, 1, 1, 1, 1, 1, 1), means=AgentSetup(home="run-1"))
    session.give(tmp_path / "run-2", job, tmp_path / "run-2" / "in")
    assert (tmp_path / "run-2" / "in" / "session.tar").read_bytes() == b"files"
    session.give(tmp_path / "run-3", job._replace(means=AgentSetup(home="gone")), tmp_path)
    assert session.keep(tmp_path / "run-2") is None


@pytest.mark.parametrize("cut", [1, 7, 100])
def test_when_each_step_came_is_kept_wherever_the_pieces_are_cut(tmp_path: Path, cut: int) -> None:
    log = Log(tmp_path / "log", 1)
    data = b"booting\n::phase clone\nx ::phase no\n::phase agent codex\n::phase commit\n"
    for start in range(0, len(data), cut):
        log.write(data[start:start + cut])
    log.rest()
    log.write(b"::phase check 1\n" * 500)
    lines = [line.split(" ") for line in (tmp_path / "log.times").read_text().splitlines()]
    assert [int(line) for line, _ in lines] == [2, 4, 5, 6, *range(6, 202)]
    assert [float(seconds) for _, seconds in lines] == sorted(float(seconds) for _, seconds in lines)


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_secret_is_blacked_out_wherever_the_pieces_are_cut(tmp_path: Path, cut: int) -> None:
    log = Log(tmp_path / "log", 1)
    log.hide(["sk-0123456789", "short"])
    output, data = Output(log, b"::phase agent "), b"a short key: sk-0123456789, and sk-012 is none; sk-0123"
    for start in range(0, len(data), cut):
        output.take(data[start:start + cut])
    log.rest()
    assert (tmp_path / "log").read_bytes() == b"a short key: [secret], and sk-012 is none; sk-0123"
    assert "sk-0123456789" not in output.text() and os.path.getsize(tmp_path / "log") > 0
