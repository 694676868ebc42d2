"""What detectors look at, and what one of them found."""
from typing import Any, NamedTuple, Protocol

from engine.environments.steps import Steps


class Tree(Protocol):
    """The files of a commit."""

    def names(self) -> list[str]:
        """Paths of all files."""

    def read(self, path: str) -> str | None:
        """The text of a file; None if it is absent, too long or no text."""


class Part(NamedTuple):
    """found: [{file, used, why}]."""

    steps: Steps
    found: list[dict[str, Any]]


def used(file: str, why: str) -> dict[str, Any]:
    return {"file": file, "used": True, "why": why}


def unused(file: str, why: str) -> dict[str, Any]:
    return {"file": file, "used": False, "why": why}
