"""Steps that someone wrote for such a purpose: dev containers, and the steps for GitHub's coding agent."""
import json
from typing import Any

import pytest
from tree import Files

from engine.environments.detect import detect

DEV, STEPS = ".devcontainer/devcontainer.json", ".github/workflows/copilot-setup-steps.yml"
HOST = {"python3": "3.11.2", "venv": "", "node": "20.19.0", "npm": ""}


def said(files: dict[str, str], used: bool = False, host: dict[str, str] | None = None) -> str:
    return "\n".join(f"{each['file']}: {each['why']}" for each in detect(Files(files), host).found if each["used"] is used)


@pytest.mark.parametrize("file", [DEV, ".devcontainer.json", ".devcontainer/python/devcontainer.json"])
@pytest.mark.parametrize(("value", "setup"), [
    ("npm ci && npm run build", ["npm ci && npm run build"]),
    (["npm", "install", "a package", "$HOME"], ["npm install 'a package' '$HOME'"]),
    ({"b": "npm ci", "a": ["npm", "run", "x"]}, ["npm ci", "npm run x"]),
    ("source x.sh && npm ci", ["bash -e -c 'source x.sh && npm ci'"]),
    ("cd ${containerWorkspaceFolder}/web && npm ci", ["cd $SWARM_WORK/repo/web && npm ci"]),
])
def test_the_commands_of_a_dev_container_in_each_form(file: str, value: Any, setup: list[str]) -> None:
    steps = detect(Files({file: json.dumps({"postCreateCommand": value})})).steps
    assert (list(steps.setup), steps.hosts) == (setup, ("npm",))


def test_a_dev_container_with_comments_in_the_order_of_its_life() -> None:
    text = """{
      // "image": "not this one",
      "image": "mcr.example.com/devcontainers/python:3.12", /* a
      comment */ "postCreateCommand": "pip install -r requirements.txt", "postStartCommand": "redis-server",
      "onCreateCommand": "echo '// no comment'", "updateContentCommand": "npm ci", "features": {"ghcr.io/devcontainers/features/node:1": {},},
      "containerEnv": {"MODE": "test", "KEY": "${localEnv:KEY}", "PATH": "/x", "AT": "${containerWorkspaceFolder}/x"},
    }"""
    files = {DEV: text, "requirements.txt": "flask\n", "package.json": "{}", "package-lock.json": "{}"}
    steps = detect(Files(files)).steps
    assert list(steps.setup) == ["python3 -m venv .venv", "echo '// no comment'", "npm ci", "pip install -r requirements.txt"]
    assert set(steps.hosts) == {"npm", "pypi"}
    assert steps.env == {"MODE": "test", "AT": "$SWARM_WORK/repo/x", "VIRTUAL_ENV": "$SWARM_WORK/repo/.venv",
                         "PATH": "$SWARM_WORK/repo/.venv/bin:$SWARM_WORK/repo/node_modules/.bin:$PATH"}
    words = said(files)
    for part in ("Its image mcr.example.com/devcontainers/python:3.12 is not used", "Its features (node) are not installed",
                 "The variables KEY and PATH are left out",
                 "Its postStartCommand is left out", f"package-lock.json: The steps of {DEV} are used instead.",
                 f"requirements.txt: The steps of {DEV} are used"):
        assert part in words, part


def test_a_dev_container_without_commands_leaves_it_to_the_lock_files() -> None:
    files = {DEV: '{"build": {"dockerfile": "Dockerfile"}, "dockerComposeFile": "x.yml", "postCreateCommand": "sudo apt-get install x"}', "package.json": "{}"}
    assert detect(Files(files)).steps.setup == ("npm install --no-package-lock",)
    words = said(files)
    assert "Its Dockerfile is not used" in words and "Its docker-compose file is not used" in words and "it needs root" in words


WORKFLOW = """
on: workflow_dispatch
env:
  SHARED: "1"
jobs:
  copilot-setup-steps:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "3.10"}
      - uses: actions/setup-node@v4
        with:
          node-version: 20
      - uses: actions/setup-go@v5
        with: {go-version: stable}
      - uses: astral-sh/setup-uv@v5
      - name: Python
        run: uv sync
      - name: Web
        working-directory: web app
        env: {MODE: "a b"}
        run: |
          npm ci
          echo "$MODE" > mode
      - name: Root
        run: sudo apt-get install -y x
      - run: echo ${{ secrets.X }}
      - if: github.ref == 'x'
        run: echo y
      - run: Get-ChildItem
        shell: pwsh
      - run: echo A=b >> "$GITHUB_ENV"
      - uses: someone/something@v1
"""


def test_the_steps_for_githubs_agent_in_their_order() -> None:
    files = {STEPS: WORKFLOW, "package.json": "{}"}
    steps = detect(Files(files), HOST).steps
    assert "install uv" in steps.setup[0] and steps.setup[1:] == (
        "export SHARED=1\nuv sync", "export SHARED=1\nexport MODE='a b'\ncd -- 'web app'\nnpm ci\necho \"$MODE\" > mode")
    assert set(steps.hosts) == {"pypi", "npm"} and steps.env["PATH"].startswith("$HOME/.tools/bin:")
    words = said(files, host=HOST)
    for part in ("asks for Python 3.10, but sandboxes have this machine's 3.11.2", "this machine has no Go", "Step 8 (Root) is left out, because it needs root",
                 "Step 9 is left out, because it has an expression", "Step 10 is left out, because it has a condition",
                 "Step 11 is left out, because it is for the shell",
                 "Step 12 is left out, because it hands values to GitHub", "the action someone/something runs on GitHub alone",
                 f"package.json: The steps of {STEPS} are used instead."):
        assert part in words, part
    assert "asks for Node.js 20, and this machine has 20.19.0" in said(files, used=True, host=HOST)


def test_the_dev_container_counts_more_than_the_steps_for_githubs_agent() -> None:
    files = {STEPS: WORKFLOW, DEV: '{"postCreateCommand": "make setup"}', "go.mod": ""}
    found = detect(Files(files))
    assert found.steps.setup == ("make setup",) and found.steps.hosts == ("go",), "a script may install what the manifests name"
    assert f"{STEPS}: The steps of {DEV} are used instead." in said(files)


def test_pip_installs_into_a_virtual_environment_where_nothing_makes_one() -> None:
    steps = detect(Files({DEV: '{"postCreateCommand": "pip3 install --user -r requirements.txt && python -m pip install -e . --user"}'})).steps
    assert steps.setup == ("python3 -m venv .venv", "pip3 install -r requirements.txt && python -m pip install -e .")
    own = detect(Files({DEV: '{"postCreateCommand": "python -m venv env && env/bin/pip install x"}'}), HOST).steps
    assert own.setup == ('mkdir -p "$HOME/.tools/bin" && ln -sf "$(command -v python3)" "$HOME/.tools/bin/python"',
                         "python -m venv env && env/bin/pip install x")
    assert own.env == {"PATH": "$HOME/.tools/bin:$PATH"}


def test_a_script_that_a_command_calls_is_an_input() -> None:
    files = {DEV: '{"postCreateCommand": "bash ./scripts/set-up.sh && npm ci"}', "scripts/set-up.sh": "", "scripts/other.sh": "", "package.json": "{}",
             "package-lock.json": "{}", "web/package.json": "{}"}
    assert detect(Files(files)).steps.inputs == ("package.json", "package-lock.json", "scripts/set-up.sh")
    assert detect(Files({**files, DEV: '{"postCreateCommand": "npm ci"}'})).steps.inputs == (), "the known ones are enough"


def test_programs_for_the_whole_machine_go_to_the_home_folder() -> None:
    steps = detect(Files({DEV: '{"postCreateCommand": "npm install -g typescript && npm ci"}'})).steps
    assert steps.env == {"NPM_CONFIG_PREFIX": "$HOME/.tools", "PATH": "$HOME/.tools/bin:$PATH"}


@pytest.mark.parametrize(("file", "text", "words"), [
    (DEV, "{", "could not be read"), (DEV, "[]", "it is no map"), (DEV, "{/*", "could not be read"), (DEV, "[" * 50_000, "nested too deeply"),
    (STEPS, "a: &x [1]\nb: *x\n", "uses an alias"), (STEPS, "a: [", "could not be read"), (STEPS, "- " * 40, "nested too deeply"),
    (STEPS, "a: 1\n" * 30_000, "too many values"), (STEPS, "jobs: {other: {}}\n", "has no job copilot-setup-steps"), (STEPS, "--- a\n--- b\n",
                                                                                                                      "several documents"),
    ("pyproject.toml", "x = [", "could not be read"), ("pyproject.toml", f"{'a.' * 60_000}a = 1\n", "too many dots"), ("package.json", "x" * 300_000,
                                                                                                                       "too long"),
    ("setup.cfg", "  x\n[", "could not be read"),
])
def test_a_file_that_cannot_be_read_is_named(file: str, text: str, words: str) -> None:
    assert words in said({file: text})
