"""Files are foreign: whatever they say, detection ends soon, raises nothing, and proposes only what can be steps."""
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tree import Files

from engine.config import ROOT
from engine.environments.detect import actions, compiled, detect, devcontainer, node, others, pins, python, scripted
from engine.environments.detecting import detected
from engine.environments.programs import programs
from engine.environments.steps import parse
from engine.host import limited

DETECTORS = (actions, compiled, devcontainer, node, others, pins, python, scripted)
NAMES = [name.replace("<name>", "x").replace("*", "-dev") for module in DETECTORS for name in module.FILES]
PIECES = ["[", "]", "{", "}", '"', "'", ":", ",", "\n", "- ", "= ", "#", "//", "/*", "*/", "&a ", "*a", "${{", "}}", "$(", "`", ";", "\\", "\x00", "\x1b[2J",
          "\ud800",
          "name", "test", "run: ", "jobs:\n copilot-setup-steps:\n  steps:\n", "uses: ", "postCreateCommand", "[project]\n", "1.2", "-r ", "../", "é", "\u202e",
          "npm i -g ", "pip install ", "9" * 5000, "true", "null", "<<: ", "!!python/object:x "]
CONTENTS = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=30).map("".join))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES).map("sub/".__add__), st.text(max_size=20)), CONTENTS, max_size=6),
       st.one_of(st.none(), st.dictionaries(st.sampled_from(["python3", "node", "npm", "venv", "go", "cargo", "java", "ruby", "bundle"]), st.text(max_size=8))))
def test_any_names_and_contents_make_steps_that_are_valid_or_none(files: dict[str, str], host: dict[str, str] | None) -> None:
    found = detect(Files(files), host)
    assert parse(found.steps.as_json()) == found.steps
    for each in found.found:
        assert set(each) == {"file", "used", "why"} and each["file"].isprintable() and each["why"].isprintable() and len(each["why"]) <= 400
    if found.steps == parse({}):
        assert not found.steps.as_json()


def test_names_of_the_repository_reach_a_shell_quoted() -> None:
    files = {"requirements-dev$(touch x).txt": "", "requirements/test.$(x) '.txt": "", "a'b/package.json": "{}",
             "pyproject.toml": "[project]\nname='x'\n[project.optional-dependencies]\n'dev; x'=[]\ntest=[]\n"}
    setup = detect(Files(files)).steps.setup
    assert setup == ("python3 -m venv .venv", ".venv/bin/pip install -r 'requirements/test.$(x) '\\''.txt'", ".venv/bin/pip install -e '.[test]'")
    assert detect(Files({"a'b/package.json": "{}"})).steps.setup == ("cd 'a'\\''b' && npm install --no-package-lock",)
    assert detect(Files({"package.json": '{"packageManager": "pnpm@9$(x)"}'})).steps.setup == ("pnpm install --no-lockfile",)


@pytest.mark.parametrize("command", ["echo \x1b[2J", "a\x00b", "echo \u202e", "x" * 5000])
def test_commands_with_control_characters_or_without_end_are_refused(command: str) -> None:
    found = detect(Files({".devcontainer.json": json.dumps({"postCreateCommand": command})}))
    assert not found.steps.setup and "postCreateCommand is left out, because it" in found.found[0]["why"]


def test_more_commands_than_steps_may_have_are_named() -> None:
    commands = ", ".join(f'"c{n}": "echo {n}"' for n in range(20))
    text = "{" + ", ".join(f'"{key}": {{{commands}}}' for key in devcontainer.KEYS) + "}"
    found = detect(Files({".devcontainer.json": text}))
    assert len(found.steps.setup) == 20, "equal commands are one"
    text = "{" + ", ".join(f'"{key}": {{{commands.replace("echo", key)}}}' for key in devcontainer.KEYS) + "}"
    found = detect(Files({".devcontainer.json": text}))
    assert not found.steps.setup and "more than 50 commands" in found.found[-1]["why"]


def test_detection_for_a_commit_runs_in_a_process_with_limits() -> None:
    found = detected(Files({"go.mod": "module x\n", "big.bin": "x", "deep/er/and/deeper/package.json": "{}"}))
    assert [each["file"] for each in found.found] == ["go.mod"]
    assert found.steps.setup == (("go mod download",) if "go" in programs() else ())


def test_a_process_that_needs_too_much_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited, "BOOTSTRAP", f"import os; os.kill(os.getpid(), {int(signal.SIGXCPU)})  # {{module}}")
    found = detected(Files({"go.mod": ""}))
    assert not found.steps.setup and "too much time or memory" in found.found[0]["why"] and "write the steps" in found.found[0]["why"]


def test_the_programs_of_a_machine(tmp_path: Path) -> None:
    for name, text in (("python3", "Python 3.12.4"), ("node", "v20.1.0"), ("java", "openjdk version \"17.0.9\" 2023"), ("go",
                                                                                                                        "go version go1.22.3 linux/amd64"),
                       ("npm", "never asked"), ("ruby", "")):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\necho '{text}' >&2\n")
        os.chmod(tmp_path / "bin" / name, 0o755)
    (tmp_path / "bin" / "python3.13").write_text("")
    (tmp_path / "lib" / "python3.12" / "ensurepip").mkdir(parents=True)
    assert programs((str(tmp_path / "bin"),)) == {"python3": "3.12.4", "node": "20.1.0", "java": "17.0.9", "go": "1.22.3", "npm": "", "ruby": "",
                                                  "python3.13": "3.13", "venv": ""}


def test_every_file_that_a_detector_knows_is_in_the_documentation() -> None:
    section = (ROOT / "docs" / "environments.md").read_text(encoding="utf-8").partition("## What is detected")[2].partition("\n## ")[0]
    assert section
    assert not {name for module in DETECTORS for name in module.FILES if f"`{name}`" not in section}
    modules = {path.stem for path in (ROOT / "engine" / "environments" / "detect").glob("*.py") if "FILES" in path.read_text(encoding="utf-8")}
    assert {module.__name__.rpartition(".")[2] for module in DETECTORS} >= modules - {"__init__"}


def test_without_the_library_for_yaml_its_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    found = detect(Files({actions.FILES[0]: "jobs: {}\n", "go.mod": ""}))
    assert found.steps.setup == ("go mod download",)
    assert [each["why"] for each in found.found if each["file"] == actions.FILES[0]] == ["It could not be read: PyYAML is not installed, which reads it."]


def test_a_name_with_control_characters_is_left_out_and_the_others_count() -> None:
    assert detect(Files({"requirements/test.\x1b[2J.txt": "", "a\nb/package.json": "{}", "go.mod": ""})).steps.setup == ("go mod download",)
