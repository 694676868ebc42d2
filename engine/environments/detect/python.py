"""Packages of Python: into a virtual environment .venv in the work tree."""
from engine.environments.detect.parts import Part, Tree, used
from engine.environments.steps import Steps

BUILT = ("pyproject.toml", "setup.cfg", "setup.py")
LISTS = ("requirements.txt", "requirements-dev.txt", "requirements-test.txt", "dev-requirements.txt", "test-requirements.txt")
ENV = {"PATH": "$SWARM_WORK/repo/.venv/bin:$PATH", "VIRTUAL_ENV": "$SWARM_WORK/repo/.venv"}


def detect(tree: Tree) -> Part | None:
    names = set(tree.names())
    lists, built = [name for name in LISTS if name in names], next((name for name in BUILT if name in names), None)
    if built == "pyproject.toml" and "[build-system]" not in (text := tree.read(built) or "") and "[project]" not in text:
        built = None  # it has settings of tools only
    if not lists and built is None:
        return None
    commands = ["python3 -m venv .venv"]
    commands += [f".venv/bin/pip install -r {name}" for name in lists]
    commands += [".venv/bin/pip install -e ."] if built else []
    found = [used(name, "pip installs these packages.") for name in lists] + ([used(built, "pip installs the project itself.")] if built else [])
    return Part(Steps(setup=tuple(commands), hosts=("pypi",), env=ENV), found)
