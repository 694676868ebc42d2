"""Agent profiles: which one is taken, what the runbook runs, and asking a person from inside."""
import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from engine.agents import AGENTS, RUNBOOK, choose_agent, has_commands, quoted, shell_blocks
from engine.config import ROOT, Config
from engine.errors import Permanent
from engine.jobs import Criterion, Job, Limits
from engine.phases import message

ASK = ROOT / "engine" / "scripts" / "swarm-ask"
CODER = dataclasses.replace(RUNBOOK, name="coder", available=lambda grounds: None)
ABSENT = dataclasses.replace(RUNBOOK, name="absent", available=lambda grounds: "It is not installed.")


def job(description: str, **values: object) -> Job:
    return dataclasses.replace(Job("run-1", "feature", "TKT-007", "s", "A title", description, "p", "/r", "i", "b", "process", "runbook", "",
                                   Limits(1, 1, 1, 1, 1, 1, 1)), **values)


def run(description: str, folder: Path, **values: object) -> subprocess.CompletedProcess:
    (folder / "tree").mkdir()
    script = RUNBOOK.script(job(description, **values))
    assert script is not None
    (folder / "agent.sh").write_text(script)
    return subprocess.run(["sh", str(folder / "agent.sh")], cwd=folder / "tree", env={"PATH": "/usr/bin:/bin", "SWARM_WORK": str(folder)},
                          capture_output=True, text=True)


def test_auto_takes_the_first_agent_that_can_run_and_runbook_last() -> None:
    assert choose_agent(Config(), None, {"runbook": RUNBOOK, "absent": ABSENT, "coder": CODER}) is CODER
    assert choose_agent(Config(), None, {"runbook": RUNBOOK, "absent": ABSENT}) is RUNBOOK
    assert choose_agent(Config(), None) is AGENTS["runbook"]


def test_what_the_ticket_wants_goes_before_the_setting() -> None:
    assert choose_agent(Config(agent="coder"), "runbook", {"runbook": RUNBOOK, "coder": CODER}) is RUNBOOK


def test_an_unknown_agent_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(Permanent, match=r"There is no agent 'hal'. The agents are: auto, claude, codex, .*, custom, runbook."):
        choose_agent(Config(), "hal")


def test_an_agent_that_cannot_run_here_is_refused_with_its_reason() -> None:
    with pytest.raises(Permanent, match=r"The agent absent cannot run here. It is not installed."):
        choose_agent(Config(agent="absent"), None, {"absent": ABSENT})


@pytest.mark.parametrize("text, blocks", [
    ("", []),
    ("```sh\nls\n```", ["ls\n"]),
    ("```bash\na\n```\ntext\n~~~ shell title=x\nb\n~~~", ["a\n", "b\n"]),
    ("```\nls\n```\n```python\nx\n```\n```shell-session\n$ x\n```", []),
    ("````md\n```sh\nrm -rf x\n```\n````", []),
    ("```python\n```sh\nx\n```", []),
    ("````sh\n```\nx\n````", ["```\nx\n"]),
    ("- item\n\n  ```sh\n  a\n    b\n  ```", ["a\n  b\n"]),
    ("```sh\r\nls\r\n```\r\n", ["ls\n"]),
    ("```SH\nls\n", ["ls\n\n"]),
    ("```sh\n\n```", []),
    ("inline ```sh ls``` here", []),
])
def test_the_shell_blocks_are_those_of_markdown(text: str, blocks: list[str]) -> None:
    assert shell_blocks(text) == blocks
    assert has_commands(text) == bool(blocks)


def test_the_runbook_runs_its_blocks_in_order_and_stops_at_the_first_that_fails(tmp_path: Path) -> None:
    done = run("```sh\necho 'it'\"'\"'s' > a; cat\n```\n```sh\n# second\nfalse\necho no\n```\n```sh\ntouch never\n```", tmp_path)
    assert (done.returncode, done.stdout) == (1, "$ echo 'it'\"'\"'s' > a; cat\n$ # second\n")
    assert sorted(p.name for p in (tmp_path / "tree").iterdir()) == ["a"]


def test_a_block_may_be_longer_than_an_argument_and_keeps_its_own_exit_code(tmp_path: Path) -> None:
    done = run("```sh\n" + ": 1234567890\n" * 20000 + "exit 7\n```", tmp_path)
    assert (done.returncode, done.stderr) == (7, "")


def test_without_a_block_the_brief_is_written(tmp_path: Path) -> None:
    done = run("Build `it`, $(now)!", tmp_path, criteria=(Criterion("it's fast"), Criterion("works", "make 'test'")))
    assert done.returncode == 0
    assert (tmp_path / "tree/docs/tickets/TKT-007.md").read_text() == (
        "# TKT-007: A title\n\nBuild `it`, $(now)!\n\n## Done means\n\n- it's fast\n- works (checked by `make 'test'`)\n")
    assert "No coding agent is configured" in done.stdout


def test_the_commit_message_is_one_title_and_trailers() -> None:
    assert message(job("```sh\nls\n```", title="Two\nlines"), RUNBOOK) == "Two lines\n\nTicket: TKT-007\nSession: s\nAssisted-by: runbook\n"


@pytest.mark.parametrize("text", ["", "it's", "a\nb", "$(x) `y` \\ \"", "Gruß 🎨", "-n"])
def test_quoted_text_is_one_word_for_the_shell(text: str) -> None:
    assert subprocess.run(["sh", "-c", f"printf %s {quoted(text)}"], capture_output=True, text=True).stdout == text


def ask(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(ASK), *arguments], env={"PATH": "/usr/bin:/bin", "SWARM_OUT": str(folder)}, capture_output=True, text=True)


@pytest.mark.parametrize("text", [
    "plain", 'say "hi"', "back\\slash \\n", "two\nlines\n\nand three", "tab\there", "Gruß 🎨 日本", "100% $HOME `x` 'y'", "-- dash"])
def test_any_text_becomes_valid_json(tmp_path: Path, text: str) -> None:
    done = ask(tmp_path, "--option", text, f"--option={text}", "--", text)
    assert done.returncode == 75
    assert json.loads((tmp_path / "request.json").read_text()) == {"question": text, "options": [text, text]}
    assert "Stop working" in done.stdout and [p.name for p in tmp_path.iterdir()] == ["request.json"]


def test_control_characters_are_dropped(tmp_path: Path) -> None:
    ask(tmp_path, "a\x01b\x1b[31mc\rd\x7f")
    assert json.loads((tmp_path / "request.json").read_text())["question"] == "ab[31mcd"


@pytest.mark.parametrize("arguments", [
    (), ("",), (" \n",), ("a", "b"), ("a", "--option"), ("--what", "a"), ("x" * 5000,), ("a", *["--option", "y" * 500] * 9)])
def test_wrong_use_is_explained_and_asks_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = ask(tmp_path, *arguments)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "usage: swarm-ask" in done.stderr


def test_a_question_of_nearly_the_whole_limit_is_taken(tmp_path: Path) -> None:
    assert ask(tmp_path, "ü" * 2000).returncode == 75
    assert (tmp_path / "request.json").stat().st_size <= 4096
