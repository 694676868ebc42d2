"""What real coding agents do when things go well and when they do not: the unmodified programs of make agents, in bubblewrap."""
import json
import shlex
from pathlib import Path

import pytest
from agent_bench import CHECK, ELSEWHERE, built
from agent_model import Script
from conftest import git, until
from gateway_side import KEY

from engine.config import Config
from engine.git.branches import repository_path
from engine.store.db import Database
from engine.tickets import answers

pytestmark = pytest.mark.agents
AGENTS = ["claude", "codex", "opencode", "mini"]
HELLO = [{"shell": "echo hello > hello.txt"}, {"say": "I wrote hello.txt."}]


@pytest.fixture(params=AGENTS)
def agent(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("agent", [*AGENTS, "gemini"])
def test_the_work_is_merged_and_what_was_used_is_known(db: Database, config: Config, agent: str) -> None:
    with built(db, config, agent, Script(HELLO), check=CHECK) as build:
        build.wait("completed")
        run = build.runs()[0]
        said, usage = json.loads(run["said"]), json.loads(run["usage"])
        assert said["tokens"]["output"] >= 20 and usage["total"] >= 220
        assert agent == "mini" or said["session"]
        assert KEY not in build.log() and json.loads(run["checks"])[0]["passed"]


EDIT = "hello.txt\n```\n<<<<<<< SEARCH\n=======\nhello\n>>>>>>> REPLACE\n```\n"


def test_aider_which_has_no_tools_and_says_nothing_of_itself_edits_and_commits(db: Database, config: Config) -> None:
    with built(db, config, "aider", Script([{"say": EDIT}]), check=CHECK) as build:
        build.wait("completed")
        tip = build.runs()[0]["tip_sha"]
        listed = git(repository_path(build.config, build.session), "ls-tree", "--name-only", tip).split()
        assert listed == ["README.md", "hello.txt"]  # and nothing that aider leaves beside its work


def test_aider_that_is_refused_exits_with_0_and_is_no_success(db: Database, config: Config) -> None:
    with built(db, config, "aider", Script([{"status": 401}])) as build:
        assert "does not accept the key" in build.wait("needs_input")["reason"]


def test_a_question_waits_for_its_answer_which_is_in_the_next_prompt(db: Database, config: Config, agent: str) -> None:
    script = Script([("A: Blue", HELLO), ("", [{"shell": "swarm-ask 'Which colour?' --option Blue --option Red"}, {"say": "I asked."}])])
    with built(db, config, agent, script, check=CHECK) as build:
        build.wait("needs_input")
        answers.answer(db, "default", build.ticket()["id"], "Blue")
        build.wait("completed")
        first, second = build.runs()
        assert first["outcome"] == "needs_input" and "Q: Which colour?\nA: Blue" in script.prompts[-1]
        if agent != "mini":  # it went on in its session: what it had said before is in its request
            assert json.loads(second["said"])["session"] == json.loads(first["said"])["session"]
            assert "I asked." in json.dumps([seen.body for seen in build.upstream.seen][-1])


def test_a_failed_check_comes_back_and_is_mended(db: Database, config: Config, agent: str) -> None:
    script = Script([("previous attempt failed", HELLO), ("", [{"shell": "echo wrong > hello.txt"}, {"say": "Done."}])])
    with built(db, config, agent, script, check="cat hello.txt; " + CHECK) as build:
        build.wait("completed")
        assert [run["outcome"] for run in build.runs()] == ["failed", "merged"]
        assert "$ cat hello.txt; grep -q hello hello.txt\nwrong" in script.prompts[-1]


def test_a_refused_key_is_for_a_person_at_once(db: Database, config: Config, agent: str) -> None:
    with built(db, config, agent, Script([{"status": 401, "message": "bad key"}])) as build:
        assert "does not accept the key" in build.wait("needs_input")["reason"]
        assert len(build.runs()) == 1


def test_a_quota_that_is_used_up_is_for_a_person_at_once_though_its_status_is_that_of_a_rate_limit(db: Database, config: Config, agent: str) -> None:
    step = {"status": 429, "message": "You exceeded your current quota.", "error": {"code": "insufficient_quota", "type": "insufficient_quota"}}
    with built(db, config, agent, Script([step])) as build:
        reason = build.wait("needs_input")["reason"]
        assert "no quota or credit left" in reason and "“You exceeded your current quota.”" in reason
        assert len(build.runs()) == 1 and build.ticket()["failures"] == 0


def test_words_about_429_in_an_error_are_no_wait(db: Database, config: Config, agent: str) -> None:
    message = "prompt is too long: 429013 tokens > 200000 maximum"
    with built(db, config, agent, Script([{"status": 400, "message": message}]), max_attempts=1) as build:
        build.wait("failed")
        assert [run["outcome"] for run in build.runs()] == ["failed"]


def test_a_provider_that_is_busy_costs_no_attempt(db: Database, config: Config, agent: str) -> None:
    """Clients try again by themselves, 10 times at most; what is left to us is to wait."""
    with built(db, config, agent, Script(HELLO, first=[{"status": 429, "headers": {"Retry_After": "1"}}] * 12), check=CHECK) as build:
        build.wait("completed", 480)
        outcomes = [run["outcome"] for run in build.runs()]
        assert outcomes[-1] == "merged" and set(outcomes[:-1]) <= {"transient"} and build.ticket()["failures"] == 0


def test_a_broken_provider_is_a_passing_trouble(db: Database, config: Config, agent: str) -> None:
    with built(db, config, agent, Script([{"status": 500}]), backoff_seconds=300.0) as build:
        until(lambda: build.runs() and build.runs()[0]["ended_at"], 240)
        run = build.runs()[0]
        assert run["outcome"] == "transient" and "failed or could not be reached" in run["reason"]
        assert build.ticket()["failures"] == 0


def test_an_agent_that_hangs_is_stopped(db: Database, config: Config, agent: str) -> None:
    with built(db, config, agent, Script([{"hang": 60}]), stall_seconds=6.0, max_attempts=1) as build:
        assert "wrote nothing for 6 seconds" in build.wait("failed")["reason"]


def test_what_the_budget_does_not_hold_is_refused_and_a_person_is_asked(db: Database, config: Config, agent: str) -> None:
    with built(db, config, agent, Script([{"shell": "echo hello > hello.txt"}] * 50), run_tokens=300) as build:
        until(lambda: build.runs() and build.runs()[0]["ended_at"], 240)
        run = build.runs()[0]
        assert (run["outcome"], build.ticket()["status"]) == ("over_budget", "needs_input"), (run["reason"], build.log())


def test_a_prompt_that_sends_it_elsewhere_gets_nowhere(db: Database, config: Config, agent: str) -> None:
    steps = [{"shell": f"python3 -c {shlex.quote(ELSEWHERE)} > tried.txt; cat tried.txt; env | grep -c TOKEN"}, {"say": "Done."}]
    with built(db, config, agent, Script(steps), check="grep -c refused tried.txt | grep -qx 3 && ! grep REACHED tried.txt") as build:
        build.wait("completed")
        egress = json.loads(build.runs()[0]["usage"])["egress"]
        assert egress["refused"] >= 2 and "evil.example" in [each["host"] for each in egress["hosts"]]


REFUSING = {"claude": (".claude/settings.json", {"permissions": {"deny": ["Bash(rm:*)"]}}, "Bash"),
            "opencode": ("opencode.json", {"permission": {"bash": {"*": "allow", "rm *": "deny"}}}, "bash")}


@pytest.mark.parametrize("agent", REFUSING)
def test_a_permission_that_is_refused_is_no_success(db: Database, config: Config, agent: str, tmp_path: Path) -> None:
    """A repository's own settings may forbid a command; the agent then says so among its events, goes on and exits with 0."""
    name, settings, tool = REFUSING[agent]
    repository = tmp_path / "theirs"
    git(tmp_path, "init", "-q", "-b", "main", str(repository))
    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).write_text(json.dumps(settings))
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Settings")
    steps = [{"shell": "rm -rf important"}, {"shell": "echo hello > hello.txt"}, {"say": "All done."}]
    with built(db, config, agent, Script(steps), max_attempts=1, repository=str(repository), repository_roots=(tmp_path,), forge="none") as build:
        assert f"was not permitted to use {tool}" in build.wait("failed")["reason"], build.log()


def test_what_the_sandbox_refuses_is_no_success_whatever_the_agent_says(db: Database, config: Config, agent: str) -> None:
    """Codex and mini have no permissions of their own: what they may not do, the sandbox refuses, and they end as if all were well."""
    steps = [{"shell": "echo hello > /usr/hello.txt && cp /usr/hello.txt hello.txt"}, {"say": "All done."}]
    with built(db, config, agent, Script(steps), check=CHECK, max_attempts=1) as build:
        assert "check" in build.wait("failed")["reason"], build.log()
        assert "Read-only file system" in build.log() or "Permission denied" in build.log()


def test_what_it_gave_up_for_is_in_the_reason(db: Database, config: Config, agent: str) -> None:
    with built(db, config, agent, Script([{"status": 400, "message": "this model has no tools"}]), max_attempts=1) as build:
        assert "no tools" in build.wait("failed")["reason"], build.log()
