"""Commands that others wrote for their own machines: whether they can run here, in which shell, and what they reach."""
import re
from collections.abc import Container

from engine.environments.detect.parts import TOOLS
from engine.environments.steps import COMMAND
from engine.text import quoted

_WORD = r"(?:^|[\s;&|(])"
REACHES = {"npm": r"(?:npm|npx|pnpm|bun|bunx|yarn|corepack)", "pypi": r"(?:pip3?|uvx?|poetry|pdm|pipenv|tox|nox|hatch|pre-commit|python3? -m pip)", "go": r"go",
           "crates": r"cargo", "rubygems": r"(?:bundle|gem)", "maven": r"(?:mvn|(?:\./)?mvnw|gradle|(?:\./)?gradlew)", "packagist": r"composer"}
_REACHES = {name: re.compile(rf"{_WORD}{words}(?=[\s;&|)]|$)", re.MULTILINE) for name, words in REACHES.items()}
_ROOT = re.compile(rf"{_WORD}(?:sudo|apt|apt-get|apk|yum|dnf|pacman|brew)(?=\s)", re.MULTILINE)
_CONTAINER = re.compile(rf"{_WORD}(?:docker|docker-compose|podman|systemctl|service)(?=\s)", re.MULTILINE)
_BASH = re.compile(r"\[\[|<\(|>\(|&>|<<<|\$'|=\(|\$\{[^}]{0,200}[/^,]|\{[\w-]{1,20}\.\.|pipefail"
                   r"|(?:^|[\s;&|])(?:source|function|local|declare|shopt|pushd|popd|mapfile)\s", re.MULTILINE)
_PIP = re.compile(rf"{_WORD}(?:(?:python3?|[\w./-]*/python3?) -m )?pip3? (?:-\S+ )*install\b", re.MULTILINE)
_USER = re.compile(r"(\bpip3? (?:-\S+ )*install\b[^\n;&|]{0,300}?) --user\b")
_GLOBAL = re.compile(rf"{_WORD}(?:npm|pnpm) (?:install|i|add) (?:[^\n;&|]{{0,300}} )?(?:-g|--global)\b|{_WORD}npm (?:-g|--global)\b", re.MULTILINE)


def refused(command: str) -> str:
    """Why a command cannot be a step, as the end of a sentence; '' if it can."""
    if not all(c.isprintable() or c in "\n\t" for c in command):
        return "it has control characters: write it again as a step without them"
    if len(command) > COMMAND - 500:
        return "it is too long for a step: put it into a script of the repository"
    if "${{" in command:
        return "it has an expression ${{ … }}, which only GitHub fills in: write it as a step with the value"
    if _ROOT.search(command):
        return "it needs root, which a sandbox does not have: install what it installs on this machine"
    if _CONTAINER.search(command):
        return "it needs containers or services of a machine: write what checks need in the services section of environment"
    if re.search(r"\$\{?GITHUB_(?:ENV|PATH|OUTPUT)\b", command):
        return "it hands values to GitHub: write them to env, or as lines NAME=value to the file $SWARM_ENV"
    return ""


def in_shell(command: str) -> str:
    """The command for `sh -e`; by bash where it needs bash."""
    command = command.strip("\n").rstrip()
    return f"bash -e -c {quoted(command)}" if _BASH.search(command) else command


def reaches(commands: list[str]) -> tuple[str, ...]:
    """The sets of hosts that programs in the commands need."""
    sets = [name for name, pattern in _REACHES.items() if any(pattern.search(command) for command in commands)]
    return (*sets, *(("api.github.com", "codeload.github.com") if "packagist" in sets else ()),
            *(("registry.yarnpkg.com",) if any(re.search(rf"{_WORD}yarn\b", command, re.MULTILINE) for command in commands) else ()))


def for_venv(command: str) -> str:
    """The command for a virtual environment, in which pip refuses to install for the user."""
    return _USER.sub(r"\1", command)


def needs_python(commands: list[str]) -> bool:
    """True if a command starts `python`, which not every machine has beside python3."""
    return any(re.search(rf"{_WORD}python(?=\s)", command, re.MULTILINE) for command in commands)


def scripts(commands: list[str], paths: Container[str]) -> tuple[str, ...]:
    """Files of the repository that the commands name: what they do depends on them."""
    words = (word.strip("'\"()").removeprefix("./") for command in commands for word in re.split(r"[\s;&|=]+", command))
    return tuple(dict.fromkeys(word for word in words if word in paths))


def needs_venv(commands: list[str]) -> bool:
    """True if pip installs into the system's Python, which a sandbox cannot change, and nothing makes a virtual environment."""
    return any(_PIP.search(command) for command in commands) and not any(re.search(r"venv|virtualenv", command) for command in commands)


def global_env(commands: list[str]) -> dict[str, str]:
    """Variables for commands that install programs of Node.js for the whole machine: into HOME instead."""
    return {"NPM_CONFIG_PREFIX": TOOLS} if any(_GLOBAL.search(command) for command in commands) else {}
