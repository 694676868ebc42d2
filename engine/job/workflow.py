"""WORKFLOW.md of a repository: how its owners want agents to work on tickets. It is read as data from the base commit of a build.

Its front matter may have: hooks (shell text: after_create, before_run, after_run, before_remove, and timeout_ms), agent (a name, or {name}),
limits ({run_seconds, stall_seconds, check_seconds}, never above the installation's). The text after it is the template of the ticket's part of the
prompt: {{ issue.title }}, {{ attempt }}, {% if attempt %}…{% else %}…{% endif %}. Unknown names fail the run. Other keys are ignored."""
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.errors import Permanent
from engine.git.repository import Repository
from engine.job import front_matter

NAME = "WORKFLOW.md"
BYTES = 256_000
HOOKS = ("after_create", "before_run", "after_run", "before_remove")
LIMITS = ("run_seconds", "stall_seconds", "check_seconds")
_TAG = re.compile(r"\{\{(.*?)\}\}|\{%-?(.*?)-?%\}", re.DOTALL)
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Workflow:
    """hooks: {name: shell text}; timeout: seconds for each. limits: {name: seconds}. template: '' if the file has none."""

    template: str = ""
    hooks: dict[str, str] = field(default_factory=dict)
    timeout: float = 60.0
    agent: str | None = None
    limits: dict[str, float] = field(default_factory=dict)


@lru_cache(maxsize=64)
def workflow_at(repository: Path, commit: str) -> Workflow | None:
    """The workflow in a commit, or None if it has no such file. Raises Permanent, with the reason, if the file cannot be used."""
    listed = Repository(repository).git("ls-tree", "-l", "-z", commit, "--", NAME).decode("utf-8", "replace").rstrip("\0")
    if not listed:
        return None
    mode, kind, sha, size = listed.partition("\t")[0].split()
    if kind != "blob" or mode not in ("100644", "100755") or int(size) > BYTES:
        raise Permanent(f"{NAME} of the repository is not a plain file of at most {BYTES // 1000} kB.")
    return parse(Repository(repository).git("cat-file", "blob", sha).decode("utf-8", "replace"))


def parse(text: str) -> Workflow:
    """The workflow of a text. Raises Permanent with a sentence that names the file."""
    try:
        head, template = front_matter.split(text)
        hooks = _part(head, "hooks")
        agent = head.get("agent")
        limits = {name: _seconds(value, f"limits.{name}") for name, value in _part(head, "limits").items() if name in LIMITS}
        timeout = _seconds(hooks.get("timeout_ms", 60_000), "hooks.timeout_ms") / 1000
        texts = {name: hooks[name] for name in HOOKS if hooks.get(name) is not None}
        wrong = next((name for name, value in texts.items() if not isinstance(value, str)), None)
        if wrong:
            raise Permanent(f"hooks.{wrong} must be text.")
        named = agent.get("name") if isinstance(agent, dict) else agent
        if named is not None and not isinstance(named, str):
            raise Permanent("agent must be a name.")
        check(template)
    except Permanent as error:
        raise Permanent(f"{NAME} of the repository cannot be used. {error.sentence}") from None
    return Workflow(template.strip(), texts, timeout, named, limits)


def check(template: str) -> None:
    """Checks a template before anything runs. Raises Permanent for a tag that is not closed or not known."""
    _render(template, None)


def render(template: str, values: dict[str, Any]) -> str:
    """Fills the template with values. Raises Permanent for an unknown name, and names it."""
    try:
        return _render(template, values)
    except Permanent as error:
        raise Permanent(f"{NAME} of the repository cannot be used. {error.sentence}") from None


def _render(template: str, values: dict[str, Any] | None) -> str:
    """values None: accept every name."""
    parts: list[str] = []
    shown: list[bool] = []  # for each open {% if %}: True if its branch is shown
    at = 0
    for tag in _TAG.finditer(template):
        parts += [template[at:tag.start()]] if all(shown) else []
        at = tag.end()
        if tag[1] is not None:
            value = _value(tag[1].strip(), values)
            parts += [_text(value)] if all(shown) else []
            continue
        word, _, rest = tag[2].strip().partition(" ")
        if word == "if":
            shown.append(bool(_value(rest.strip(), values)))
        elif word in ("else", "endif") and shown and not rest:
            shown[-1:] = [not shown[-1]] if word == "else" else []
        else:
            raise Permanent(f"The template has {{% {tag[2].strip()[:60]} %}}, which is unknown or in a wrong place.")
    rest_of = template[at:]
    if shown or "{{" in rest_of or "{%" in rest_of:
        raise Permanent("The template has a tag that is not closed.")
    return "".join([*parts, rest_of])


def _value(path: str, values: dict[str, Any] | None) -> Any:
    if not _PATH.fullmatch(path):
        raise Permanent(f"The template has {{{{ {path[:60]} }}}}: only names are allowed there, no filters and no other expressions.")
    if values is None:
        return ""
    found: Any = values
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            raise Permanent(f"Its template uses {path}, which is not a variable.")
        found = found[name]
    return found


def _text(value: Any) -> str:
    if value is None or value is False:
        return ""
    return "\n".join(f"- {each}" for each in value) if isinstance(value, list) else str(value)


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
