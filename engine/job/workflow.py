"""WORKFLOW.md of a repository: how its owners want agents to work on tickets. It is read as data from the base commit of a build.

Its front matter may have: hooks (shell text: after_create, before_run, after_run, before_remove, and timeout_ms), agent (a name, or {name}),
limits ({run_seconds, stall_seconds, check_seconds}, never above the installation's), environment (how dependencies are installed; it is only a proposal,
see engine/loop/grounds.py). The text after it is the template of the ticket's part of the
prompt, with {{ issue.title }}, {{ attempt }} and the like. Unknown names fail the ticket. Keys that are not used here are ignored, and named.

YAML and Liquid are read by reader.py; without its libraries, by front_matter.py and small_template.py, which read less and say so."""
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.errors import Permanent
from engine.git.repository import Repository
from engine.job import front_matter, reader, small_template
from engine.job.front_matter import ENVIRONMENT, HOOKS, LIMITS, USED
from engine.job.liquid_template import has_tags
from engine.text import from_outside, one_line, printable

NAME = "WORKFLOW.md"
BYTES = 256_000
NEXT = "Correct the file in the repository and start a new build: this one keeps the commit that it began with."
HOOK_SECONDS = 60.0
NAMED, NAME_LENGTH = 20, 60  # ignored keys that are named, and characters of each
# Other programs make the work tree in after_create. Here the clone is there before it, and git refuses to clone into a folder that is not empty.
_CLONE = re.compile(r"git[ \t]+clone(?:[ \t]|\\\n){1,20}"
                    r"(?:[^\s;&|\\]{1,500}(?:[ \t]|\\\n){1,20}){1,12}(?:\.|\"\$PWD\"|\$PWD)(?=[ \t]*(?:$|;|&&|\|\|))", re.MULTILINE)


@dataclass(frozen=True)
class Workflow:
    """hooks: {name: shell text}; timeout: seconds for each. limits: {name: seconds}. template: '' if the file has none; line: of its first line
    in the file. ignored: keys that are not used here. small: '' or a sentence that says that the small readers were used, and why. environment:
    {"value": how dependencies are installed, as someone wrote it} or {"error": why it cannot be read}; {} if the file does not say."""

    template: str = ""
    hooks: dict[str, str] = field(default_factory=dict)
    timeout: float = HOOK_SECONDS
    agent: str | None = None
    limits: dict[str, float] = field(default_factory=dict)
    line: int = 1
    ignored: tuple[str, ...] = ()
    small: str = ""
    environment: dict[str, Any] = field(default_factory=dict)

    def notes(self, hooks_run: bool) -> tuple[str, ...]:
        """Sentences for the log of a run. hooks_run: False if hooks are left out because nothing isolates."""
        named = [*self.ignored[:NAMED], *([f"{len(self.ignored) - NAMED} more"] if len(self.ignored) > NAMED else [])]
        return (*([f"{NAME}: not used here, and ignored: {', '.join(named)}."] if named else []),
                *([f"{NAME}: its hooks are left out, because nothing isolates this run."] if self.hooks and not hooks_run else []),
                *([f"{NAME}: {self.small}"] if self.small else []))


@lru_cache(maxsize=64)
def workflow_at(repository: Path, commit: str) -> Workflow | None:
    """The workflow in a commit, or None if it has no such file. Raises Permanent, with the reason, if the file cannot be used."""
    listed = Repository(repository).git("ls-tree", "-l", "-z", commit, "--", NAME).decode("utf-8", "replace").rstrip("\0")
    if not listed:
        return None
    mode, kind, sha, size = listed.partition("\t")[0].split()
    if kind != "blob" or mode not in ("100644", "100755") or int(size) > BYTES:
        raise Permanent(f"{NAME} of the repository is not a plain file of at most {BYTES // 1000} kB. {NEXT}")
    return parse(Repository(repository).git("cat-file", "blob", sha).decode("utf-8", "replace"))


def parse(text: str) -> Workflow:
    """The workflow of a text. Raises Permanent with a sentence that names the file and the line."""
    small = reader.missing() or ""
    try:
        if "\0" in text:
            raise Permanent(f"Line {text.count(chr(10), 0, text.index(chr(0))) + 1} has a NUL byte, so this is no text.")
        found = _read_small(text) if small else reader.read(from_outside(text, len(text)))
        return _workflow(found["head"], found["template"], found["line"], small)
    except Permanent as error:
        raise _unusable(error, small) from None


def render(workflow: Workflow, values: dict[str, Any]) -> str:
    """Fills the template with values. Raises Permanent for an unknown name, and names it and its line."""
    if not has_tags(workflow.template):
        return workflow.template
    small = reader.missing() or ""
    try:
        read = small_template.render if small else reader.render
        return read(workflow.template, values, workflow.line)
    except Permanent as error:
        raise _unusable(error, small) from None


def _unusable(error: Permanent, small: str) -> Permanent:
    return Permanent(" ".join(filter(None, (f"{NAME} of the repository cannot be used.", error.sentence, small, NEXT))))


def _read_small(text: str) -> dict[str, Any]:
    head, template, line = front_matter.cut(text)
    small_template.check(template, line)
    values = front_matter.read(head)
    if ENVIRONMENT in values:
        values[ENVIRONMENT] = {"value": values[ENVIRONMENT]}
    return {"head": values, "template": template, "line": line}


def _workflow(head: dict[str, Any], template: str, line: int, small: str) -> Workflow:
    ignored = [*(name for name in head if name not in USED and name != ENVIRONMENT),
               *(f"{name}.{inner}" for name in USED if isinstance(head.get(name), dict) for inner in head[name] if inner not in USED[name])]
    hooks, agent = _part(head, "hooks"), head.get("agent")
    limits = {name: _seconds(value, f"limits.{name}") for name, value in _part(head, "limits").items() if name in LIMITS and value is not None}
    timeout = hooks.get("timeout_ms")
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout <= 0:
        ignored, timeout = [*ignored, f"hooks.timeout_ms (it is not positive, so it is {HOOK_SECONDS:g} seconds)"], None
    seconds = HOOK_SECONDS if timeout is None else _seconds(timeout, "hooks.timeout_ms") / 1000
    texts = {name: hooks[name] for name in HOOKS if hooks.get(name) is not None}
    wrong = next((name for name, value in texts.items() if not isinstance(value, str)), None)
    if wrong:
        raise Permanent(f"hooks.{wrong} must be text.")
    texts, clones = _without_clone(texts)
    named = agent.get("name") if isinstance(agent, dict) else agent
    if named is not None and not isinstance(named, str):
        raise Permanent("agent must be a name.")
    start = len(template) - len(template.lstrip())
    return Workflow(template.strip(), texts, seconds, named, limits, line + template.count("\n", 0, start),
                    tuple(printable(one_line(name))[:NAME_LENGTH] for name in ignored) + clones, small, head.get(ENVIRONMENT) or {})


def _without_clone(hooks: dict[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The hooks without a clone into the work tree, and what was left out."""
    text = _CLONE.sub(":", hooks.get("after_create", ""))
    if text == hooks.get("after_create", ""):
        return hooks, ()
    return {**hooks, "after_create": text}, ("git clone in hooks.after_create (the clone is there already)",)


def _part(head: dict[str, Any], name: str) -> dict[str, Any]:
    value = head.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Permanent(f"{name} must be a map.")
    return value


def _seconds(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 10**9:
        raise Permanent(f"{name} must be a positive number.")
    return float(value)
