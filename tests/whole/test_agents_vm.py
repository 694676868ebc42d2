"""Real coding agents in virtual machines whose image has them: make agents, then SWARM_VM_FILES=<that folder> make vm-image."""
import functools
import json
import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agent_bench import CHECK, ELSEWHERE, agents_folder, built
from agent_model import Script
from conftest import until
from vms import vm_image

from engine.agents import choose_agent
from engine.agents.base import TOOLS
from engine.config import Config
from engine.errors import Permanent
from engine.image.build import Plan
from engine.image.build import build as build_image
from engine.runtimes import make
from engine.store.db import Database
from engine.tickets import answers

pytestmark = pytest.mark.agents
HELLO = [{"shell": "echo hello > hello.txt"}, {"say": "I wrote hello.txt."}]


@functools.cache
def agents_image() -> Path:
    """Of the same sources as the tests' own image, with claude and codex in it; built when there is none, or another."""
    plain = vm_image()
    target = plain.with_name("agents-" + plain.name.removeprefix("test-"))
    layer = plain.with_name("layer-of-" + target.name)
    for path in [*plain.parent.glob("agents-*"), *plain.parent.glob("layer-of-agents-*")]:
        if path not in (target, layer):
            shutil.rmtree(path)
    if not target.exists():
        for name in ("codex", "claude"):
            shutil.copytree(agents_folder(name) / TOOLS / name, layer / TOOLS / name, symlinks=True, dirs_exist_ok=True, copy_function=os.link)
        build_image(Plan(target, layered=layer), print)
    return target


def furnished(config: Config) -> Config:
    (config.data / "images").mkdir(parents=True, exist_ok=True)
    (config.data / "images" / config.vm_image).symlink_to(agents_image())
    return replace(config, vm_memory_mb=1024, vm_disk_mb=1024, run_seconds=400.0, stall_seconds=300.0)


@pytest.fixture(params=["codex", "claude"])
def agent(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def in_machine(db: Database, config: Config, agent: str, script: Script, **settings: Any) -> Any:
    return built(db, furnished(config), agent, script, runtime="qemu", **{"check": CHECK, **settings})


def test_an_agent_works_in_a_virtual_machine_and_goes_on_after_an_answer(db: Database, config: Config, agent: str) -> None:
    script = Script([("A: Blue", HELLO), ("", [{"shell": "swarm-ask 'Which colour?' --option Blue"}, {"say": "I asked."}])])
    with in_machine(db, config, agent, script) as made:
        made.wait("needs_input", 600)
        answers.answer(db, "default", made.ticket()["id"], "Blue")
        made.wait("completed", 600)
        first, second = made.runs()
        assert json.loads(second["said"])["session"] == json.loads(first["said"])["session"] and second["runtime"] == "qemu"
        assert json.loads(second["usage"])["total"] >= 220


def test_a_busy_provider_is_waited_for_and_a_failed_check_comes_back_and_is_mended(db: Database, config: Config, agent: str) -> None:
    script = Script([("$ cat hello.txt", HELLO), ("", [{"shell": "echo wrong > hello.txt"}, {"say": "Done."}])],
                    first=[{"status": 429, "headers": {"Retry_After": "1"}}] * 4)
    with in_machine(db, config, agent, script, check="cat hello.txt; " + CHECK) as made:
        until(lambda: made.ticket()["status"] in ("completed", "failed"), 900, "it is mended")
        outcomes = [run["outcome"] for run in made.runs()]
        assert [each for each in outcomes if each != "transient"] == ["failed", "merged"] and made.ticket()["failures"] == 1, (outcomes, made.log())
        assert "$ cat hello.txt; grep -q hello hello.txt\nwrong" in script.prompts[-1]


def test_a_refused_key_is_for_a_person_at_once(db: Database, config: Config, agent: str) -> None:
    with in_machine(db, config, agent, Script([{"status": 401, "message": "bad key"}])) as made:
        assert "does not accept the key" in made.wait("needs_input", 600)["reason"]
        assert len(made.runs()) == 1


def test_a_broken_provider_is_a_passing_trouble(db: Database, config: Config, agent: str) -> None:
    with in_machine(db, config, agent, Script([{"status": 500}]), backoff_seconds=300.0) as made:
        run = until(lambda: made.runs() and made.runs()[0]["ended_at"] and made.runs()[0], 600)
        assert run["outcome"] == "transient" and "failed or could not be reached" in run["reason"], made.log()


def test_an_agent_that_hangs_is_stopped(db: Database, config: Config, agent: str) -> None:
    with in_machine(db, config, agent, Script([{"hang": 200}]), stall_seconds=45.0, max_attempts=1) as made:
        assert "wrote nothing for 45 seconds" in made.wait("failed", 600)["reason"]


def test_what_the_budget_does_not_hold_is_refused_and_a_person_is_asked(db: Database, config: Config, agent: str) -> None:
    with in_machine(db, config, agent, Script([{"shell": "echo hello > hello.txt"}] * 50), run_tokens=300) as made:
        run = until(lambda: made.runs() and made.runs()[0]["ended_at"] and made.runs()[0], 600)
        assert (run["outcome"], made.ticket()["status"]) == ("over_budget", "needs_input"), (run["reason"], made.log())


def test_what_is_not_permitted_is_no_success_whatever_the_agent_says(db: Database, config: Config, agent: str) -> None:
    """Its own user may write in its work tree and home, and nowhere else in the machine."""
    steps = [{"shell": "echo hello > /usr/hello.txt && cp /usr/hello.txt hello.txt"}, {"say": "All done."}]
    with in_machine(db, config, agent, Script(steps), max_attempts=1) as made:
        assert "check" in made.wait("failed", 600)["reason"], made.log()
        assert "Read-only file system" in made.log() or "Permission denied" in made.log(), made.log()


def test_a_prompt_that_sends_it_elsewhere_gets_nowhere(db: Database, config: Config, agent: str) -> None:
    steps = [{"shell": f"python3 -c {shlex.quote(ELSEWHERE)} > tried.txt; cat tried.txt"}, {"say": "Done."}]
    with in_machine(db, config, agent, Script(steps), check="grep -c refused tried.txt | grep -qx 3 && ! grep REACHED tried.txt") as made:
        made.wait("completed", 600)
        egress = json.loads(made.runs()[0]["usage"])["egress"]
        assert egress["refused"] >= 2 and "evil.example" in [each["host"] for each in egress["hosts"]]


def test_an_image_without_agents_says_how_they_get_into_it(db: Database, config: Config) -> None:
    (config.data / "images").mkdir(parents=True, exist_ok=True)
    (config.data / "images" / config.vm_image).symlink_to(vm_image())
    with pytest.raises(Permanent, match=r"not in the virtual machines' image. Run make agents, then SWARM_VM_FILES="):
        choose_agent(replace(config, openai_key="k"), "codex", own_files=make("qemu").own_files(config))
