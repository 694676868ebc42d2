"""Real coding agents in virtual machines whose image has them: make agents, then SWARM_VM_FILES=<that folder> make vm-image."""
import functools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from agent_bench import agents_folder, built
from agent_model import Script
from vms import vm_image

from engine import requests
from engine.agents import choose_agent
from engine.agents.base import TOOLS
from engine.config import Config
from engine.db import Database
from engine.errors import Permanent
from engine.image.build import Plan
from engine.image.build import build as build_image

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


@pytest.mark.parametrize("agent", ["codex", "claude"])
def test_an_agent_works_in_a_virtual_machine_and_goes_on_after_an_answer(db: Database, config: Config, agent: str) -> None:
    script = Script([("A: Blue", HELLO), ("", [{"shell": "swarm-ask 'Which colour?' --option Blue"}, {"say": "I asked."}])])
    with built(db, furnished(config), agent, script, runtime="qemu", check="grep -q hello hello.txt") as made:
        made.wait("needs_input", 300)
        requests.answer(db, "default", made.ticket()["id"], "Blue")
        made.wait("completed", 300)
        first, second = made.runs()
        assert json.loads(second["said"])["session"] == json.loads(first["said"])["session"] and second["runtime"] == "qemu"
        assert json.loads(second["usage"])["total"] >= 220


def test_an_image_without_agents_says_how_they_get_into_it(db: Database, config: Config) -> None:
    (config.data / "images").mkdir(parents=True, exist_ok=True)
    (config.data / "images" / config.vm_image).symlink_to(vm_image())
    with pytest.raises(Permanent, match=r"not in the virtual machines' image: make agents, then SWARM_VM_FILES="):
        choose_agent(replace(config, openai_key="k"), "codex", runtime="qemu")
