"""Programs that install packages, where this machine lacks them: setup installs them into $HOME/.tools, from npm or PyPI."""
from typing import NamedTuple

from engine.environments.detect.parts import TOOLS, missing, word
from engine.environments.detect.view import View

BIN = f"{TOOLS}/bin"


class Tool(NamedTuple):
    """command: installs it; '' if nothing has to be installed. lacking: why it cannot be had."""

    command: str = ""
    hosts: tuple[str, ...] = ()
    lacking: str = ""

    @property
    def commands(self) -> tuple[str, ...]:
        return (self.command,) if self.command else ()

    @property
    def paths(self) -> tuple[str, ...]:
        return (BIN,) if self.command else ()


def of_npm(view: View, program: str, version: str = "", package: str = "", default: str = "") -> Tool:
    """The program in a version that the repository names, or this machine's. default: the version that is installed if it names none."""
    if view.can(program) and not version:
        return Tool()
    if not view.can("npm"):
        return Tool(lacking=missing(program, "npm"))
    version = version or default
    return Tool(f'npm install -g --prefix "{TOOLS}" {word(package or program)}{f"@{version}" if version else ""}', ("npm",))


def of_pypi(view: View, program: str) -> Tool:
    if view.can(program):
        return Tool()
    if not has_venv(view):
        return Tool(lacking=missing("python3 with venv", "python3-venv"))
    return Tool(f'python3 -m venv "{TOOLS}/{program}" && "{TOOLS}/{program}/bin/pip" install {program} && mkdir -p "{BIN}" && '
                f'ln -sf "../{program}/bin/{program}" "{BIN}/{program}"', ("pypi",))


def has_venv(view: View) -> bool:
    return view.can("python3") and view.can("venv")
