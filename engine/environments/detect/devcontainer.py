"""Dev containers: the commands that prepare one, and its variables. Its image, Dockerfile and features are named, because sandboxes have this machine's
programs."""
import re
from typing import Any

from engine.environments.detect import commands
from engine.environments.detect.parts import Part, listed, unused, used, word
from engine.environments.detect.view import View, mapping, string, strings

FILES = (".devcontainer/devcontainer.json", ".devcontainer.json", ".devcontainer/<name>/devcontainer.json")
KEYS = ("onCreateCommand", "updateContentCommand", "postCreateCommand")
LATER = {"initializeCommand": "runs on the machine of a developer", "postStartCommand": "runs at each start", "postAttachCommand": "runs at each start"}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_OURS = ("SWARM_", "GIT_", "LD_", "PATH")
_WORK_TREE = re.compile(r"\$\{(?:containerWorkspaceFolder|localWorkspaceFolder)\}")


def detect(view: View) -> Part | None:
    files = [name for name in (".devcontainer/devcontainer.json", ".devcontainer.json") if view.has(name)]
    files += sorted(path for path in view.paths if re.fullmatch(r"\.devcontainer/[^/]+/devcontainer\.json", path))
    if not files:
        return None
    file, value = files[0], view.json(files[0])
    steps, found = _steps(file, value)
    env, dropped = _env(value)
    found += [unused(file, f"The variables {listed(dropped)} are left out: add them to env with their values if they are needed.")] if dropped else []
    found += _named(file, value)
    found += [unused(other, f"{file} is used instead.") for other in files[1:6]]
    return Part(tuple(commands.in_shell(step) for step in steps), commands.reaches(steps), env, found=tuple(found))


def _steps(file: str, value: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    steps, found = [], []
    for key in KEYS:
        taken = False
        for name, command in _commands(value.get(key)):
            command = _WORK_TREE.sub("$SWARM_WORK/repo", command)
            why = commands.refused(command) or ("it uses a variable of a dev container: write it as a step" if re.search(r"\$\{\w+:", command) else "")
            if why:
                found.append(unused(file, f"{key}{f' {name}' if name else ''} is left out, because {why}."))
            elif command.strip():
                steps.append(command)
                taken = True
        if taken:
            found.append(used(file, f"Its {key} is a step."))
    found += [unused(file, f"Its {key} is left out, because it {why}: add it as a step, or as a service, if checks need it.") for key, why in LATER.items()
              if value.get(key)]
    return steps, found


def _commands(value: Any) -> list[tuple[str, str]]:
    """(name, command) of a text for a shell, of a list of words, or of a map of these."""
    if isinstance(value, str):
        return [("", value)]
    if isinstance(value, list):
        words = strings(value)
        return [("", " ".join(word(each) for each in words))] if words else []
    if not isinstance(value, dict):
        return []
    return [("".join(c for c in name if c.isprintable())[:40], command) for name, each in list(value.items())[:20] if not isinstance(each, dict)
            for _, command in _commands(each)]


def _env(value: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Variables that can be taken over, and names of those that cannot."""
    env: dict[str, str] = {}
    dropped = []
    for name, text in {**mapping(value, "containerEnv"), **mapping(value, "remoteEnv")}.items():
        if text is None or not _VARIABLE.fullmatch(name):
            continue
        text = _WORK_TREE.sub("$SWARM_WORK/repo", text) if isinstance(text, str) else ""
        if name.startswith(_OURS) or "${" in text or not text.isprintable() or len(text) > 1000 or len(env) >= 50:
            dropped.append(name)
        else:
            env[name] = text
    return env, dropped


def _named(file: str, value: dict[str, Any]) -> list[dict[str, Any]]:
    """What is not honoured."""
    found = []
    if image := string(value.get("image"))[:120]:
        found.append(unused(file, f"Its image {image} is not used: sandboxes have this machine's programs, so install what checks need on this machine."))
    if value.get("dockerFile") or mapping(value, "build"):
        found.append(unused(file, "Its Dockerfile is not used: install the programs that it installs on this machine, and add the rest as steps."))
    if value.get("dockerComposeFile"):
        found.append(unused(file, "Its docker-compose file is not used: write the services that checks need in the services section of environment."))
    if features := [name.rpartition("/")[2].partition(":")[0] for name in mapping(value, "features")]:
        found.append(unused(file, f"Its features ({listed(features)}) are not installed: install these programs on this machine."))
    return found
