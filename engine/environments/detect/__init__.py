"""Looks what a repository's files say about its dependencies, and proposes steps. A person approves them before anything runs."""
from typing import Any, NamedTuple

from engine.environments.detect import node, python
from engine.environments.detect.parts import Tree
from engine.environments.steps import Steps


class Detection(NamedTuple):
    """found: [{file, used, why}]: what was looked at, whether the steps use it, and a sentence."""

    steps: Steps
    found: list[dict[str, Any]]


def detect(tree: Tree) -> Detection:
    """What the files in the top folder ask for. No steps: nothing was found that needs a setup."""
    parts = [part for part in (node.detect(tree), python.detect(tree)) if part is not None]
    env: dict[str, str] = {}
    for part in parts:
        env.update(part.steps.env)
    steps = Steps(setup=tuple(command for part in parts for command in part.steps.setup),
                  hosts=tuple(dict.fromkeys(host for part in parts for host in part.steps.hosts)), env=env)
    return Detection(steps, [each for part in parts for each in part.found])
