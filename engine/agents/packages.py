"""The agents that can be installed, with pinned versions: `make agents`, or `python -m engine.agents.packages codex mini`.

    <SWARM_AGENTS>/opt/agents/<name>/bin/<name>     a link to a program, or a script that starts one

The folder is a layer for the image of the virtual machines (SWARM_VM_FILES); bubblewrap shows it to the sandbox read-only."""
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from engine.agents.base import TOOLS
from engine.config import Config
from engine.errors import Refused

WRAPPER = """#!/bin/sh
here=$(dirname "$(dirname "$(readlink -f "$0")")")
PYTHONPATH="$here/lib" PYTHONDONTWRITEBYTECODE=1 exec python{version} -m {module} "$@"
"""


class Npm(NamedTuple):
    """programs: where the program is below node_modules, the best first; {cpu} is x64 or arm64. No script of a package is run."""

    packages: tuple[str, ...]
    programs: tuple[str, ...]


class Pip(NamedTuple):
    packages: tuple[str, ...]
    module: str


PACKAGES: dict[str, Npm | Pip] = {
    "claude": Npm(("@anthropic-ai/claude-code@2.1.197",), ("@anthropic-ai/claude-code-linux-{cpu}/claude",)),
    "codex": Npm(("@openai/codex@0.169.0",), ("@openai/codex-linux-{cpu}/vendor/*/bin/codex",)),
    # The baseline build runs on processors without AVX2, which an emulated one is.
    "opencode": Npm(("opencode-ai@1.18.33",), ("opencode-linux-{cpu}-baseline/bin/opencode", "opencode-linux-{cpu}/bin/opencode")),
    "gemini": Npm(("@google/gemini-cli@0.61.0",), ("@google/gemini-cli/bundle/gemini.js",)),
    "aider": Pip(("aider-chat==0.86.2",), "aider"),
    "mini": Pip(("mini-swe-agent==2.4.6", "litellm==1.89.7"), "minisweagent.run.mini"),  # newer litellm fails on every tool call
}


def install(name: str, folder: Path) -> Path:
    """-> the program. Beside the place first, in its place when it is whole. Raises Refused with what went wrong."""
    target, package = folder / TOOLS / name, PACKAGES[name]
    fresh = target.with_name(f".{name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "bin").mkdir(parents=True)
    try:
        if isinstance(package, Npm):
            _npm(name, package, fresh)
        else:
            _pip(name, package, fresh)
        (fresh / "versions").write_text("\n".join(package.packages) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        os.rename(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target / "bin" / name


def is_current(name: str, folder: Path) -> bool:
    """Is it there in the pinned version?"""
    versions = folder / TOOLS / name / "versions"
    return versions.is_file() and versions.read_text().split() == list(PACKAGES[name].packages)


def _npm(name: str, package: Npm, fresh: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Refused(f"npm is needed to install {name}. Run make system-deps, or install nodejs.")
    _run([npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(fresh), *package.packages], name)
    cpu = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    found = next((path for pattern in package.programs for path in sorted((fresh / "node_modules").glob(pattern.format(cpu=cpu)))), None)
    if found is None:
        raise Refused(f"The npm package of {name} has no program for {platform.machine()}.")
    found.chmod(0o755)
    (fresh / "bin" / name).symlink_to(os.path.relpath(found, fresh / "bin"))


def _pip(name: str, package: Pip, fresh: Path) -> None:
    _run([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile", "--target", str(fresh / "lib"),
          *package.packages], name)
    wrapper = fresh / "bin" / name
    wrapper.write_text(WRAPPER.format(version=f"{sys.version_info.major}.{sys.version_info.minor}", module=package.module))
    wrapper.chmod(0o755)


def _run(argv: list[str], name: str) -> None:
    said = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if said.returncode:
        lines = [line for line in (said.stderr + said.stdout).strip().splitlines() if "rror" in line] or [said.stderr.strip()[-300:]]
        raise Refused(f"{name} could not be installed: {' '.join(lines)[:600]}")


def main(names: list[str]) -> int:
    try:
        folder = Config.from_env().agents_folder
        unknown = [name for name in names if name not in PACKAGES]
        if unknown:
            raise Refused(f"There is no package for {', '.join(unknown)}. The packages are: {', '.join(PACKAGES)}.")
        for name in names or PACKAGES:
            if is_current(name, folder):
                print(f"{name}: {' '.join(PACKAGES[name].packages)} is there", flush=True)
            else:
                print(f"{name}: installing {' '.join(PACKAGES[name].packages)} …", flush=True)
                install(name, folder)
    except Refused as refused:
        print(refused.sentence, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
