"""Agent profiles: which one is taken, what the runbook runs, and asking a person from inside."""
import json
import re
import subprocess
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from engine.agents import AGENTS, choose_agent, has_model, installation
from engine.agents.base import TOOLS, AgentInstallation
from engine.agents.packages import PACKAGES
from engine.agents.runbook import RUNBOOK, has_commands, shell_blocks
from engine.config import ROOT, Config
from engine.errors import InvalidCard, Permanent
from engine.jobs import AgentSetup, Criterion, Job, Limits
from engine.run.phases import message
from engine.runtimes import make
from engine.runtimes.qemu.image import Image
from engine.text import quoted
from hitl.card import spec_card
from hitl.card.meaning import meaning_of

ASK = ROOT / "engine" / "run" / "scripts" / "swarm-ask"
CODER = RUNBOOK._replace(name="coder", is_fallback=False)
ABSENT = RUNBOOK._replace(name="absent", is_fallback=False, available=lambda here: "It is not installed.")


def job(description: str, **values: object) -> Job:
    plain = Job("run-1", "feature", "TKT-007", "s", "A title", description, "p", "/r", "i", "b", "process", "runbook", "", Limits(1, 1, 1, 1, 1, 1, 1))
    return plain._replace(**values)


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


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_that_auto_passes_over_without_looking_at_the_disk_cannot_run(name: str, tmp_path: Path) -> None:
    """auto asks only agents whose kind of model is there. All of them are installed here, and there is a command."""
    for kind in ("openai", "anthropic", "gemini"):
        here = AgentInstallation(tmp_path, {kind: "some"}, "a command")
        (tmp_path / name / "bin").mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "bin" / name).touch()
        assert has_model(AGENTS[name], here) == (AGENTS[name].available(here) is None)
        assert has_model(AGENTS[name], AgentInstallation(tmp_path, {}, "a command")) == (name in ("custom", "runbook"))


def test_what_the_ticket_wants_goes_before_the_setting() -> None:
    assert choose_agent(Config(agent="coder"), "runbook", {"runbook": RUNBOOK, "coder": CODER}) is RUNBOOK


def test_an_unknown_agent_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(Permanent, match=r"The agent 'hal' does not exist. Choose one of: auto, claude, codex, .*, custom, runbook."):
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


def installed(folder: Path, *names: str) -> Path:
    """As make agents leaves it."""
    for name in names:
        program = folder / TOOLS / name / "bin" / name
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
    return folder


@pytest.mark.parametrize("settings, name, reason", [
    ({}, "codex", "It is not installed. Install it with: make agents AGENTS=codex"),
    ({}, "claude", "It has no model. Set SWARM_ANTHROPIC_KEY, or SWARM_ANTHROPIC_URL (Anthropic's kind of API)."),
    ({"anthropic_key": "k"}, "claude", None), ({"anthropic_url": "http://127.0.0.1:1"}, "claude", None),
    ({"openai_key": "k"}, "claude", "It has no model. Set SWARM_ANTHROPIC_KEY, or SWARM_ANTHROPIC_URL (Anthropic's kind of API)."),
    ({"openai_key": "k"}, "opencode", "It needs the name of a model. Set SWARM_OPENAI_MODEL."),
    ({"openai_key": "k", "openai_model": "m"}, "opencode", None),
    ({}, "custom", "It has no command. Set SWARM_AGENT_COMMAND."), ({"agent_command": "true"}, "custom", None), ({}, "runbook", None)])
def test_an_agent_says_why_it_cannot_run(tmp_path: Path, settings: dict, name: str, reason: str | None) -> None:
    config = Config(agents=installed(tmp_path, "claude", "opencode"), **settings)
    assert AGENTS[name].available(installation(config)) == reason


def test_auto_takes_an_installed_agent_that_has_a_model(tmp_path: Path) -> None:
    config = Config(agents=installed(tmp_path, "claude", "codex"), openai_key="k")
    assert choose_agent(config, None).name == "codex" and choose_agent(Config(agents=tmp_path), None) is RUNBOOK


def test_the_engine_says_of_each_agent_whether_it_can_run(client: FlaskClient) -> None:
    said = {each["name"]: each["why_not"] for each in client.get("/api/engine").json["agents"]}
    assert list(said) == list(AGENTS)
    assert said["codex"] == "It is not installed. Install it with: make agents AGENTS=codex" and said["runbook"] is None
    assert "Cannot run:</strong> It is not installed. Install it with: make agents AGENTS=mini" in client.get("/engine").text


def test_the_agent_of_the_card_is_for_the_features_that_name_none() -> None:
    card = {"name": "X", "agent": "codex", "features": [{"title": "A"}, {"title": "B", "agent": "claude"}]}
    assert [feature["agent"] for feature in spec_card.normalise(card, meaning_of(card))["features"]] == ["codex", "claude"]
    with pytest.raises(InvalidCard, match="Must start with a small letter"):
        spec_card.validate({**card, "agent": "No Agent"})


@pytest.mark.parametrize("name", sorted(set(AGENTS) - {"runbook", "custom"}))
@pytest.mark.parametrize("session", ["", "s-1"])
def test_every_script_is_one_that_a_shell_can_read(name: str, session: str) -> None:
    means = AgentSetup(model="it's a model", session=session)
    script = AGENTS[name].script(job("x", means=means))
    assert script is not None and subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True).stderr == ""
    assert "dummy" not in script and "api.openai.com" not in script


def test_the_command_of_a_custom_agent_is_the_script(tmp_path: Path) -> None:
    assert AGENTS["custom"].script(job("x", means=AgentSetup(command="my-agent < $SWARM_PROMPT"))) == "my-agent < $SWARM_PROMPT\n"


def test_every_pinned_package_names_its_version() -> None:
    nothing = AgentInstallation(Path("/nonexistent"), {})
    assert set(PACKAGES) == {name for name, agent in AGENTS.items() if "make agents" in (agent.available(nothing) or "")}
    for package in PACKAGES.values():
        assert all(re.search(r"(@|==)\d+\.\d+\.\d+$", each) for each in package.packages)


def test_an_agent_for_virtual_machines_is_looked_for_in_what_their_image_has(tmp_path: Path) -> None:
    config = Config(data=tmp_path / "data", agents=installed(tmp_path / "host", "codex"), openai_key="k")
    config.image.mkdir(parents=True)
    Image(config.image, layered=str(installed(tmp_path / "layer", "codex"))).write()
    there = make("qemu").own_files(config)
    assert there == (tmp_path / "layer" / TOOLS, "") and choose_agent(config, "codex", own_files=there).name == "codex"
    Image(config.image).write()
    with pytest.raises(Permanent, match=r"not in the virtual machines' image. Run make agents, then SWARM_VM_FILES="):
        choose_agent(config, "codex", own_files=make("qemu").own_files(config))
    assert choose_agent(config, None, own_files=make("bubblewrap").own_files(config)).name == "codex", "bubblewrap is shown the host's"


def started(folder: Path, means: AgentSetup) -> tuple[list[str], str]:
    """The arguments that claude gets in a repository whose own settings start programs, and what the run's log says before."""
    program = folder / "tools" / "claude" / "bin" / "claude"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" > {folder}/arguments\n")
    program.chmod(0o755)
    (folder / "tree").mkdir()
    (folder / "tree" / ".mcp.json").write_text("{}")
    (folder / "prompt").write_text("Say hello")
    script = AGENTS["claude"].script(job("", means=means))
    assert script is not None
    ran = subprocess.run(["sh", "-e", "-c", script], cwd=folder / "tree", capture_output=True, text=True, check=True,
                         env={"PATH": "/usr/bin:/bin", "SWARM_TOOLS": str(folder / "tools"), "SWARM_PROMPT": str(folder / "prompt")})
    return (folder / "arguments").read_text().split("\0"), ran.stdout


def test_a_repositorys_own_hooks_and_servers_do_not_start_unless_someone_allows_them(tmp_path: Path) -> None:
    (tmp_path / "off").mkdir()
    (tmp_path / "on").mkdir()
    arguments, said = started(tmp_path / "off", AgentSetup())
    assert "--strict-mcp-config" in arguments and json.loads(arguments[arguments.index("--settings") + 1])["disableAllHooks"] is True
    assert said == "What .mcp.json would start is off. Someone can allow it on the page of the repository.\n"
    arguments, said = started(tmp_path / "on", AgentSetup(own_tools=True))
    assert "--strict-mcp-config" not in arguments and "--settings" not in arguments and said == ""
