"""What detectors look at, and what one of them found."""
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from engine.text import quoted

TOOLS = "$HOME/.tools"           # where setup installs programs that this machine lacks
WORK_TREE = "$SWARM_WORK/repo"


class Tree(Protocol):
    """The files of a commit."""

    def names(self) -> list[str]:
        """Paths of all files."""

    def read(self, path: str) -> str | None:
        """The text of a file; None if it is absent, too long or no text."""


class Part(NamedTuple):
    """What one detector found. commands: of setup, in order. hosts: names of sets, or of hosts. paths: folders before PATH. found: [{file, used, why}]."""

    commands: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    paths: tuple[str, ...] = ()
    found: tuple[dict[str, Any], ...] = ()


def used(file: str, why: str) -> dict[str, Any]:
    return {"file": file, "used": True, "why": why}


def unused(file: str, why: str) -> dict[str, Any]:
    return {"file": file, "used": False, "why": why}


def word(text: str) -> str:
    """Text as one word of a shell; as it is where it needs no quotes."""
    return text if text and all(c.isascii() and (c.isalnum() or c in "_-./=@:,+") for c in text) else quoted(text)


def listed(names: list[str], most: int = 6) -> str:
    """Names for a sentence: a, b and c; a, b and 5 more."""
    if len(names) > most:
        names = [*names[:most - 1], f"{len(names) - most + 1} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def missing(program: str, package: str = "") -> str:
    """What to do about a program that is not on this machine."""
    return f"{program} is not on this machine: install it (for Debian: apt-get install {package or program}), then look again."
