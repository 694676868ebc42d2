"""What an environment is made of, as someone wrote it: commands that run once, on a clean clone, and what their sandbox may use.

    {"setup": ["npm ci"], "update": ["npm ci --prefer-offline"], "inputs": ["package-lock.json"], "hosts": ["npm"], "env": {"CI": "1"},
     "services": {"db": {"start": "redis-server --port 6379", "ready": "redis-cli ping", "env": {"REDIS_URL": "redis://127.0.0.1:6379"}}},
     "secrets": ["NPM_TOKEN"], "days": 30}

Every key may be absent. Each command of setup and update runs by `sh -e`, one after the other."""
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.errors import BadRequest
from engine.gateway.addresses import parse_hosts

COMMANDS, COMMAND, NAMES, VALUE, SERVICES, DAYS = 50, 4000, 100, 4000, 10, 3650  # most of each; characters of a command and of a value
KEYS = ("setup", "update", "inputs", "hosts", "env", "services", "secrets", "days")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,39}")
_OURS = ("SWARM_", "GIT_", "LD_")  # names that the product or the loader use


class Service(NamedTuple):
    """start: a command that stays in the foreground. ready: a command that ends with 0 when the service can be used; '' for: at once."""

    start: str
    ready: str = ""
    env: Mapping[str, str] = {}


class Steps(NamedTuple):
    """inputs: paths and patterns whose content decides whether a snapshot fits; () for the files that detection knows. days: after so many days it
    is made again; 0: never."""

    setup: tuple[str, ...] = ()
    update: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    services: Mapping[str, Service] = {}
    secrets: tuple[str, ...] = ()
    days: int = 0

    def as_json(self) -> dict[str, Any]:
        """Only the keys that say something."""
        services = {name: {key: value for key, value in each._asdict().items() if value} for name, each in self.services.items()}
        whole = {**self._asdict(), "services": services}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in whole.items() if value}


def canonical(steps: Steps) -> str:
    """The text that is approved: keys sorted, compact."""
    return json.dumps(steps.as_json(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(steps: Steps) -> str:
    return hashlib.sha256(canonical(steps).encode("utf-8", "surrogatepass")).hexdigest()


def parse(value: Any, at: str = "environment") -> Steps:
    """Steps from JSON or from WORKFLOW.md. Raises BadRequest with details: [{path, message}], one for each part that is wrong."""
    wrong: list[dict[str, str]] = []
    if not isinstance(value, Mapping):
        raise BadRequest(f"{at} must be an object with the keys {', '.join(KEYS)}.", details=[{"path": at, "message": "must be an object"}])
    for key in value:
        if key not in KEYS:
            wrong.append({"path": f"{at}.{key}", "message": f"is not known. Known keys: {', '.join(KEYS)}"})
    reader = _Reader(value, at, wrong)
    steps = Steps(reader.commands("setup"), reader.commands("update"), reader.paths("inputs"), reader.hosts(), reader.env(value.get("env"), f"{at}.env"),
                  reader.services(), reader.secrets(), reader.days())
    if wrong:
        raise BadRequest(f"{wrong[0]['path']} {wrong[0]['message']}. Fix it and send again.", details=wrong)
    return steps


class _Reader:
    """Reads the keys of one object, and notes what is wrong."""

    def __init__(self, value: Mapping[str, Any], at: str, wrong: list[dict[str, str]]) -> None:
        self._value, self._at, self._wrong = value, at, wrong

    def _no(self, path: str, message: str) -> None:
        self._wrong.append({"path": path, "message": message})

    def _texts(self, key: str, longest: int, lines: bool) -> tuple[str, ...]:
        given = self._value.get(key)
        given = [given] if isinstance(given, str) else [] if given is None else given
        if not isinstance(given, list) or len(given) > COMMANDS:
            self._no(f"{self._at}.{key}", f"must be a list of at most {COMMANDS} texts")
            return ()
        found = []
        for number, text in enumerate(given):
            if self._is_text(f"{self._at}.{key}[{number}]", text, longest, lines):
                found.append(text.strip())
        return tuple(filter(None, found))

    def _is_text(self, path: str, text: Any, longest: int, lines: bool) -> bool:
        if not isinstance(text, str) or len(text) > longest or not all(c.isprintable() or (lines and c in "\n\t") for c in text):
            self._no(path, f"must be text of at most {longest} characters, without control characters")
            return False
        return True

    def commands(self, key: str) -> tuple[str, ...]:
        return self._texts(key, COMMAND, True)

    def paths(self, key: str) -> tuple[str, ...]:
        paths = self._texts(key, 500, False)
        for path in paths:
            if path.startswith(("/", ":", "-")) or ".." in path.split("/") or "\\" in path:
                self._no(f"{self._at}.{key}", f"has {path!r}, which is no path inside the repository")
        return paths

    def hosts(self) -> tuple[str, ...]:
        try:
            return tuple(dict.fromkeys(host for text in self._texts("hosts", 300, False) for host in parse_hosts(text)))
        except ValueError as error:
            self._no(f"{self._at}.hosts", f"allows {error}")
            return ()

    def env(self, given: Any, path: str) -> dict[str, str]:
        if given is None:
            return {}
        if not isinstance(given, Mapping) or len(given) > NAMES:
            self._no(path, f"must be an object of at most {NAMES} names with their values")
            return {}
        found = {}
        for name, text in given.items():
            text = str(text) if isinstance(text, int | float) and not isinstance(text, bool) else text
            if not _VARIABLE.fullmatch(str(name)) or str(name).startswith(_OURS):
                self._no(f"{path}.{name}", f"is no name for a variable, or begins with {' or '.join(_OURS)}")
            elif self._is_text(f"{path}.{name}", text, VALUE, False):
                found[str(name)] = text
        return found

    def services(self) -> dict[str, Service]:
        given, path = self._value.get("services") or {}, f"{self._at}.services"
        if not isinstance(given, Mapping) or len(given) > SERVICES:
            self._no(path, f"must be an object of at most {SERVICES} services")
            return {}
        found = {}
        for name, each in given.items():
            if not _SERVICE.fullmatch(str(name)) or not isinstance(each, Mapping) or not set(each) <= {"start", "ready", "env"} or not each.get("start"):
                self._no(f"{path}.{name}", "must have a name in small letters, and the keys start, and as you like ready and env")
                continue
            start, ready = each["start"], each.get("ready") or ""
            if self._is_text(f"{path}.{name}.start", start, COMMAND, True) and self._is_text(f"{path}.{name}.ready", ready, COMMAND, True):
                found[str(name)] = Service(start.strip(), ready.strip(), self.env(each.get("env"), f"{path}.{name}.env"))
        return found

    def secrets(self) -> tuple[str, ...]:
        names = self._texts("secrets", 100, False)
        for name in names:
            if not _VARIABLE.fullmatch(name) or name.startswith(_OURS):
                self._no(f"{self._at}.secrets", f"has {name!r}, which is no name for a secret")
        return names

    def days(self) -> int:
        days = self._value.get("days", 0)
        if isinstance(days, bool) or not isinstance(days, int) or not 0 <= days <= DAYS:
            self._no(f"{self._at}.days", f"must be a whole number from 0 to {DAYS}")
            return 0
        return days
