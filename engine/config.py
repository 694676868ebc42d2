"""Each setting, its default and its meaning on one line. Read once, from the environment, by Config.from_env()."""
import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from engine import crash
from engine.errors import Refused

ROOT = Path(__file__).resolve().parent.parent


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)
    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"\d{1,7}(\.\d{1,3})?", text) or not low <= float(text) <= high:
            raise ValueError(f"seconds from {low:g} to {high:g}")
        return float(text)
    return parse


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return text
    return parse


def _folder(text: str) -> Path:
    if not text:
        raise ValueError("a folder")
    return Path(text).expanduser().resolve()


def _folders(text: str) -> tuple[Path, ...]:
    paths = tuple(Path(part).expanduser() for part in text.split(os.pathsep) if part)
    if any(not path.is_absolute() for path in paths):
        raise ValueError(f"absolute folders, separated by {os.pathsep!r}")
    return tuple(path.resolve() for path in paths)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())


def _loopback(text: str) -> str:
    try:
        local = text == "localhost" or ipaddress.ip_address(text).is_loopback
    except ValueError:
        local = False
    if not local:
        raise ValueError("a loopback address (127.0.0.1, ::1 or localhost): there are no logins, so nobody else may reach it")
    return text


def _url_pattern(text: str) -> str:
    if "{repository}" not in text or text.startswith("-") or "::" in text.partition("//")[0]:
        raise ValueError("a URL with {repository} in it")
    return text


def _setting(default: Any, parse: Callable[[str], Any], meaning: str) -> Any:
    return field(default=default, metadata={"parse": parse, "meaning": meaning})


@dataclass(frozen=True)
class Config:
    """Settings of one installation. Paths are absolute, times are seconds, sizes are MB (10^6 bytes)."""

    host: str = _setting("127.0.0.1", _loopback, "Address to listen on; loopback only")
    port: int = _setting(8080, _whole(0, 65535), "Port to listen on; 0 takes a free one")
    allowed_hosts: tuple[str, ...] = _setting((), _names, "Further Host names to answer to, separated by commas")
    data: Path = _setting(ROOT / "data", _folder, "Folder that holds swarm.db, repos/, runs/ and images/")
    runtime: str = _setting("auto", _one_of("auto", "bubblewrap", "process", "fake"), "Which sandbox runs a ticket; auto takes the best that works")
    agent: str = _setting("auto", _one_of("auto", "runbook"), "Which agent works where the card names none")
    slots: int = _setting(os.cpu_count() or 2, _whole(1, 512), "Runs at the same time; default: number of cores")
    poll_seconds: float = _setting(2.0, _seconds(0.05, 60), "Longest pause between two ticks")
    max_attempts: int = _setting(3, _whole(1, 100), "Failed runs before a ticket asks a person")
    run_seconds: float = _setting(3600.0, _seconds(1, 604800), "Longest run")
    stall_seconds: float = _setting(600.0, _seconds(1, 604800), "Longest silence of a run")
    check_seconds: float = _setting(600.0, _seconds(1, 604800), "Longest single check")
    log_mb: int = _setting(20, _whole(1, 10000), "Largest log of a run; a run that writes more is stopped")
    work_mb: int = _setting(2048, _whole(16, 1000000), "Largest work tree of a run")
    memory_mb: int = _setting(4096, _whole(64, 1000000), "Largest memory of all processes of a run together; a run that uses more is stopped")
    processes: int = _setting(512, _whole(16, 100000), "Most processes and threads of a run; a run that has more is stopped")
    keep_days: int = _setting(30, _whole(1, 36500), "How long folders of ended runs are kept (logs, prompts); rows stay")
    keep_mb: int = _setting(10000, _whole(1, 100000000), "Largest size of all folders of ended runs; the oldest go first")
    backoff_seconds: float = _setting(10.0, _seconds(0, 3600), "First pause after a failed attempt; doubles each time, up to 5 minutes")
    synchronous: str = _setting("FULL", _one_of("FULL", "NORMAL"), "SQLite durability: FULL survives a power cut, NORMAL may lose the last commits")
    repository_url: str = _setting("https://github.com/{repository}.git", _url_pattern, "What owner/repo expands to")
    repository_roots: tuple[Path, ...] = _setting((), _folders, "Folders under which local repositories may be used, separated by ':'; empty: none")
    repository_protocols: tuple[str, ...] = _setting(("https", "ssh"), _names, "git protocols that a repository URL may use")

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Config":
        """Reads SWARM_<NAME>. Raises Refused naming the variable, its value and what is allowed."""
        known = {variable(f.name): f for f in fields(cls)}
        values = {}
        for name, f in known.items():
            if name in env:
                try:
                    values[f.name] = f.metadata["parse"](env[name].strip())
                except ValueError as why:
                    raise Refused(f"{name}={env[name]!r} is not possible. Allowed: {why}.") from None
        return cls(**values)

    @property
    def database(self) -> Path:
        return self.data / "swarm.db"

    def described(self, env: Mapping[str, str] = os.environ) -> list[dict]:
        """For people: [{name, value, source, meaning}], in the order of this file."""
        return [{"name": variable(f.name), "value": _shown(getattr(self, f.name)), "meaning": f.metadata["meaning"],
                 "source": "environment" if variable(f.name) in env else "default"} for f in fields(self)]


def unknown_settings(env: Mapping[str, str] = os.environ) -> list[str]:
    """A sentence for each SWARM_ variable that is no setting: most often a misspelt one."""
    known = [variable(f.name) for f in fields(Config)]
    sentences = []
    for name in sorted(set(env) - {*known, "SWARM_REQUIRE_ALL", crash.VARIABLE}):
        if name.startswith("SWARM_"):
            near = difflib.get_close_matches(name, known, 1)
            sentences.append(f"{name} is not a setting and is ignored." + (f" Did you mean {near[0]}?" if near else ""))
    return sentences


def variable(name: str) -> str:
    return "SWARM_" + name.upper()


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "(empty)"
    return f"{value:g}" if isinstance(value, float) else str(value)
