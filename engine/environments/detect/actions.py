"""The steps that prepare GitHub's coding agent: their commands in order. What only GitHub can do is named."""
import re
from typing import Any

from engine.environments.detect import commands, pins, tools
from engine.environments.detect.parts import Part, unused, used, word
from engine.environments.detect.view import View, mapping, string

FILES = (".github/workflows/copilot-setup-steps.yml",)
JOB = "copilot-setup-steps"
SETUPS = {"setup-python": ("python", "python-version"), "setup-node": ("node", "node-version"), "setup-go": ("go", "go-version"),
          "setup-java": ("java", "java-version"), "setup-ruby": ("ruby", "ruby-version")}
NOT_NEEDED = ("actions/checkout", "actions/cache", "actions/upload-artifact", "Swatinem/rust-cache")
TOOLS = {"pnpm/action-setup": "pnpm", "oven-sh/setup-bun": "bun", "astral-sh/setup-uv": "uv", "snok/install-poetry": "poetry",
         "abatilo/actions-poetry": "poetry", "pdm-project/setup-pdm": "pdm"}
MOST = 40
_VARIABLE = re.compile(r"(?!SWARM_|GIT_|LD_)[A-Za-z_][A-Za-z0-9_]{0,99}")


class _Reading:
    """What has been read so far."""

    def __init__(self, view: View, file: str) -> None:
        self.view, self.file = view, file
        self.steps: list[str] = []
        self.tools: list[tools.Tool] = []
        self.found: list[dict[str, Any]] = []

    def no(self, what: str, why: str) -> None:
        self.found.append(unused(self.file, f"{what} is left out, because {why}."))


def detect(view: View) -> Part | None:
    file = next((name for name in (*FILES, f"{FILES[0][:-3]}yaml") if view.has(name)), None)
    if file is None:
        return None
    value = view.yaml(file)
    job, reading = mapping(value, "jobs", JOB), _Reading(view, file)
    steps = job.get("steps")
    if not isinstance(steps, list):
        return Part(found=() if file in view.unreadable else (unused(file, f"It has no job {JOB} with steps."),))
    common = {**mapping(value, "env"), **mapping(job, "env")}
    folder = string(mapping(job, "defaults", "run").get("working-directory")) or string(mapping(value, "defaults", "run").get("working-directory"))
    for number, step in enumerate(steps[:MOST], 1):
        if isinstance(step, dict):
            _read(reading, number, step, common, folder)
    if reading.steps:
        reading.found.insert(0, used(file, "The commands of its steps are used, in their order."))
    scripts = list(reading.steps)
    tool_commands = tuple(dict.fromkeys(each.command for each in reading.tools if each.command))
    return Part((*tool_commands, *scripts) if scripts else (), (*(host for each in reading.tools for host in each.hosts), *commands.reaches(scripts)), {},
                (tools.BIN,) if tool_commands else (), tuple(reading.found))


def _read(reading: _Reading, number: int, step: dict[str, Any], common: dict[str, Any], folder: str) -> None:
    shown = "".join(c for c in string(step.get("name")) if c.isprintable())[:60]
    what = f"Step {number} ({shown})" if shown else f"Step {number}"
    run, action = string(step.get("run")), string(step.get("uses"))
    if action:
        _action(reading, what, action.partition("@")[0], mapping(step, "with"))
    elif run.strip():
        script, why = _script(step, run, {**common, **mapping(step, "env")}, string(step.get("working-directory")) or folder)
        if why:
            reading.no(what, why)
        else:
            reading.steps.append(script)


def _script(step: dict[str, Any], run: str, env: dict[str, Any], folder: str) -> tuple[str, str]:
    """The command of a step, or why it cannot be one."""
    if step.get("if") not in (None, "", "success()", "always()", "true", "${{ success() }}", "${{ always() }}"):
        return "", "it has a condition, which only GitHub knows: add its command as a step if it is needed"
    shell = string(step.get("shell")).split()
    if shell and shell[0] not in ("bash", "sh"):
        return "", f"it is for the shell {word(shell[0][:40])}: add it as a step for sh"
    if why := commands.refused(run) or commands.refused(folder.replace("\n", "\0").replace("\t", "\0")):
        return "", why
    values = {name: text for name, text in env.items() if re.search(rf"\b{re.escape(name)}\b", run) or name.isupper()}
    lines = []
    for name, text in list(values.items())[:50]:
        if _VARIABLE.fullmatch(name) and isinstance(text, str) and text.isprintable() and len(text) <= 500 and "${{" not in text:
            lines.append(f"export {name}={word(text)}\n")
        elif re.search(rf"\$\{{?{re.escape(name)}\b", run):
            return "", f"its variable {name[:40]} has no value here: add it as a step with the value" if name.isprintable() else "a variable has no value here"
    place = f"cd -- {word(folder)}\n" if folder not in ("", ".", "./") else ""
    script = "".join(lines) + place + commands.in_shell(run)
    return script, "" if len(script) <= 3900 else "it is too long for a step: put it into a script of the repository"


def _action(reading: _Reading, what: str, action: str, given: dict[str, Any]) -> None:
    owner, _, name = action.partition("/")
    if owner in ("actions", "ruby") and name in SETUPS:
        language, key = SETUPS[name]
        if version := string(given.get(key)):
            said = pins.compared(reading.view, reading.file, language, version[:40]) if "${{" not in version else unused(
                reading.file, f"{what} asks for a version that only GitHub fills in: sandboxes have this machine's.")
            reading.found.append(said)
        elif not reading.view.can(pins.LANGUAGES[language][0]):
            reading.found.append(pins.compared(reading.view, reading.file, language, "of any version"))
    elif action in TOOLS:
        make = tools.of_npm if TOOLS[action] in ("pnpm", "bun") else tools.of_pypi
        tool = make(reading.view, TOOLS[action])
        reading.tools.append(tool)
        if tool.lacking:
            reading.no(what, tool.lacking.rstrip("."))
    elif action not in NOT_NEEDED:
        reading.no(what, f"the action {''.join(c for c in action if c.isprintable())[:80]} runs on GitHub alone: add what it does as a step")
    if action == "actions/checkout" and (given.get("submodules") not in (None, "false") or given.get("lfs") == "true"):
        reading.no(f"What {what.lower()} says of submodules or Git LFS", "the clone is made in another way: see .gitmodules and .gitattributes")
