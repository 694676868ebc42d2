"""The key of a snapshot: a hash of all that it is made of. Equal keys mean equal snapshots, whatever commit they are used for."""
import fnmatch
import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a run that makes no snapshot does not load it
    from engine.environments.steps import Steps

FORMAT = 1  # of a snapshot's folder; a change makes all snapshots again
# Manifests, lock files and versions of tools: what they say decides what a setup installs.
INPUTS = ("package.json", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "yarn.lock", ".yarnrc.yml",
          "bun.lock", "bun.lockb", ".npmrc", ".yarnrc", "bunfig.toml", "pip.conf", "pyproject.toml", "setup.cfg", "setup.py", "uv.lock", "poetry.lock",
          "pdm.lock", "Pipfile",
          "Pipfile.lock", "*requirements*.txt", "requirements/*.txt", "*constraints*.txt", "environment.yml", "go.mod", "go.sum", "go.work",
          "go.work.sum", "Cargo.toml", "Cargo.lock", "Gemfile", "Gemfile.lock", "*.gemspec", "composer.json", "composer.lock", "pom.xml",
          "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts", "gradle.lockfile", "gradle/libs.versions.toml", "mise.toml",
          ".mise.toml",
          ".tool-versions", ".python-version", ".nvmrc", ".node-version", ".ruby-version", ".go-version",
          ".java-version", "runtime.txt", "rust-toolchain", "rust-toolchain.toml", "mix.exs",
          "mix.lock", "deno.lock", "global.json", "packages.lock.json", "*.csproj")
PROGRAMS = ("python3", "node", "ruby", "go", "cargo", "java", "php", "gcc")


def is_input(path: str, patterns: Iterable[str]) -> bool:
    """True if a file's path is an input. A pattern without a slash fits a name in any folder, and a pattern with one also fits at the end of a path."""
    name = path.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(path if "/" in pattern else name, pattern) or ("/" in pattern and fnmatch.fnmatchcase(path, f"*/{pattern}"))
               for pattern in patterns)


def inputs_of(steps: "Steps", blobs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """{path: sha of its content} of the inputs among (path, sha) pairs of a commit's tree."""
    patterns = steps.inputs or INPUTS
    return {path: sha for path, sha in blobs if is_input(path, patterns)}


def key_of(steps: "Steps", inputs: Mapping[str, str], host: Mapping[str, str], ticket: str = "", tree: str = "") -> str:
    """64 hex digits. ticket and tree: for a snapshot that is made in a ticket's commit, which nobody else must find."""
    said = steps.as_json()
    made_of = {"format": FORMAT, "steps": {name: said[name] for name in sorted(said) if name != "days"}, "inputs": dict(sorted(inputs.items())),
               "host": dict(host), "ticket": ticket, "tree": tree}
    return hashlib.sha256(json.dumps(made_of, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def host_fingerprint(release: str = "/etc/os-release") -> dict[str, str]:
    """What a snapshot needs of the host: the system's release, the machine, and the interpreters that it is made with."""
    found = {"machine": platform.machine()}
    try:
        with open(release, encoding="utf-8", errors="replace") as file:
            lines = dict(line.strip().split("=", 1) for line in file if "=" in line)
        found["system"] = f"{lines.get('ID', '')} {lines.get('VERSION_ID', '')}".replace('"', "")
    except OSError:
        found["system"] = "unknown"
    for name in PROGRAMS:
        path = os.path.realpath(f"/usr/bin/{name}")
        if os.path.exists(path):
            status = os.stat(path)
            found[name] = f"{path} {status.st_size} {int(status.st_mtime)}"
    return found
