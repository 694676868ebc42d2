"""Services of an environment run beside agent and checks, in each sandbox, and end with it. What they fail at is nobody's attempt."""
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HANG, build, git, require, until
from real_engine import completed, feature, running
from runner_bench import INTEGRATION, Bench, bench_of, log_of

from engine.config import Config
from engine.environments.steps import Steps, digest, parse
from engine.ground import Ground, Setup
from engine.jobs import Result
from engine.repositories import sources, versions
from engine.store.db import Database
from engine.tickets import actions

REDIS = {"start": "redis-server --port 6390 --save ''", "ready": "redis-cli -p 6390 ping", "env": {"REDIS_PORT": "6390"}}
WEB = {"start": "echo hello > index.html; exec python3 -u -m http.server 8099", "env": {"WEB": "http://127.0.0.1:8099"},
       "ready": "python3 -c 'import urllib.request as r; r.urlopen(\"http://127.0.0.1:8099\")'"}
READ = "python3 -c 'import os, urllib.request as r; print(r.urlopen(os.environ[\"WEB\"]).read().decode())'"


@pytest.fixture()
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from bench_of("bubblewrap", tmp_path)


def grounded(bench: Bench, **services: dict) -> Ground:
    """A snapshot with these services."""
    steps = parse({"setup": ["true"], "services": services}).as_json()
    made, folder = bench.run(kind="setup", setup=Setup(steps, str(bench.repository.head(f"refs/heads/{INTEGRATION}"))))
    assert made.outcome == "ok", (made.reason, log_of(folder))
    return Ground(made.ground["key"], disk_mb=64)


def steps_of(folder: Path) -> list[str]:
    return [line.removeprefix("::phase ") for line in log_of(folder).splitlines() if line.startswith("::phase ")]


def test_a_server_is_there_for_the_agent_and_anew_for_each_check(bench: Bench) -> None:
    result, folder = bench.run(f"{READ} > said.txt", checks=(f"{READ} | diff - said.txt", "test \"$(pgrep -fc http.server)\" -le 2"),
                               ground=grounded(bench, web=WEB))
    assert result.outcome == "ok", (result.reason, log_of(folder))
    assert steps_of(folder)[:3] == ["clone", "service web", "agent runbook"]
    assert steps_of(folder).count("service web") == 2 * 3, "each start, and what each wrote at the end"
    assert log_of(folder).count("GET / HTTP/1.1") >= 3 + 2, "its log is on the run"
    assert git(bench.take(folder), "ls-tree", "-r", "--name-only", "refs/heads/swarm-out").split() == [".gitignore", "README.md", "said.txt"]


def test_redis_keeps_what_one_sandbox_wrote_from_the_others(bench: Bench) -> None:
    require("redis-server")
    say = "redis-cli -p $REDIS_PORT"
    result, folder = bench.run(f"{say} set mine yes; {say} get mine > said.txt", checks=("grep -q yes said.txt", f"test -z \"$({say} get mine)\""),
                               ground=grounded(bench, cache=REDIS, web=WEB))
    assert result.outcome == "ok", (result.reason, log_of(folder))


@pytest.mark.parametrize(("service", "words"), [
    ({"start": "echo no such disk >&2; exit 3", "ready": "false"}, ("The service db ended with exit code 3 before it could be used.", "no such disk")),
    ({"start": "absent-program", "ready": "false"}, ("The service db ended with exit code 127", "not found")),
    ({"start": "echo waiting; sleep 1000", "ready": "echo refused; false"}, ("The service db was not ready within 1 seconds.", "waiting", "refused")),
    ({"start": "sleep 1000", "ready": "sleep 1000"}, ("The service db was not ready within 1 seconds.",)),
    ({"start": "head -c 100000000 /dev/zero; exit 3", "ready": "false"}, ("64 MB",)),
])
def test_a_service_that_cannot_be_used_is_no_agents_failure(bench: Bench, service: dict, words: tuple[str, ...]) -> None:
    result, folder = bench.run("echo x > x", checks=("true",), ground=grounded(bench, db=service), check_seconds=3 if "sleep" in str(service) else 60)
    assert (result.outcome, result.failure) == ("failed", "ground"), (result.reason, log_of(folder))
    assert all(word in str(result.reason) for word in words), result.reason
    assert "agent runbook" not in steps_of(folder)


def test_a_service_that_fails_before_a_check_keeps_the_agents_work(bench: Bench) -> None:
    ground = grounded(bench, db={"start": "test ! -e $SWARM_IN/check-1 || { echo only here; exit 4; }; touch up; exec sleep 1000", "ready": "test -e up"})
    result, folder = bench.run("echo x > x", checks=("true",), ground=ground)
    assert (result.outcome, result.failure) == ("failed", "ground") and "only here" in str(result.reason), (result.reason, log_of(folder))
    assert result.tip and (folder / "out" / "out.bundle").exists()


def test_a_service_that_dies_during_a_check_is_named(bench: Bench) -> None:
    ground = grounded(bench, db={"start": "while ! test -e $SWARM_WORK/repo/stop; do sleep 0.05; done; echo last words; exit 5"})
    result, folder = bench.run("echo x > x", checks=("touch stop; while ! test -e $SWARM_WORK/service-db.exit; do sleep 0.05; done; false",), ground=ground)
    assert (result.outcome, result.failure) == ("failed", "agent")
    assert "The service db ended with exit code 5 meanwhile." in str(result.reason) and "last words" in log_of(folder)


def test_a_service_that_leads_the_reader_elsewhere_shows_nothing_of_the_host(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("of the host")
    ground = grounded(bench, db={"start": f"rm $SWARM_WORK/service-db.log; ln -s {tmp_path}/private $SWARM_WORK/service-db.log; exec sleep 1000"})
    result, folder = bench.run("echo x > x", ground=ground)
    assert result.outcome == "ok" and "of the host" not in log_of(folder)


def test_a_build_asks_after_a_few_tries_and_goes_on_once_the_service_works(db: Database, tmp_path: Path) -> None:
    require("bwrap")
    config = Config(data=tmp_path / "data", runtime="bubblewrap", agent="runbook", slots=1, backoff_seconds=0.0, repository_roots=(tmp_path,))
    work, bare = tmp_path / "work", tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "-b", "main", str(work))
    git(work, "commit", "-q", "--allow-empty", "-m", "First")
    git(tmp_path, "clone", "-q", "--bare", str(work), str(bare))
    repository = sources.row_for(db, config, "default", str(bare))

    def approve(steps: Steps) -> None:
        versions.propose(db, repository, steps, "page")
        versions.approve(db, repository["id"], digest(steps), "you")

    approve(parse({"setup": ["true"], "services": {"db": {"start": "echo no disk; exit 3", "ready": "false"}}}))
    session = build(db, config, {"name": "Served", "repository": str(bare), "features": [feature("A", f"{READ} > a.txt")]})
    with running(db, config):
        asked = until(lambda: db.one("select * from requests where state = 'open'"), HANG, "a request is open")
        assert "The service db ended with exit code 3" in asked["body"] and "no disk" in asked["body"] and "3 times in a row" in asked["body"]
        assert "No attempt was used up." in asked["body"] and db.value("select sum(failures) from tickets") == 0
        approve(parse({"setup": ["true"], "services": {"web": WEB}}))
        actions.retry(db, "default", asked["ticket_id"])
        completed(db, session)


def test_results_know_the_kind_of_failure(tmp_path: Path) -> None:
    Result("run", "failed", 0, failure="ground", reason="The service db").write(tmp_path)
    found = Result.read(tmp_path)
    assert found is not None and found.failure == "ground"
