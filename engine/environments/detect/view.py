"""The files of a commit as detectors see them: bounded, in one folder, with what could not be read."""
import re
from collections.abc import Callable, Mapping
from typing import Any

from engine.environments.detect import formats
from engine.environments.detect.parts import Tree, unused

NAMES, BYTES, READS = 50_000, 200_000, 200  # paths that are looked at; longest text that is read; texts that are read
HEAD = 4_000                                # of a lock file, whose first lines tell its kind
LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock",
         "Cargo.lock", "Gemfile.lock", "composer.lock", "go.sum")
_READ = re.compile(r"(?:[^/]+/)?(?:package\.json|pyproject\.toml|setup\.(?:cfg|py)|[^/]*requirements?[^/]*\.(?:txt|in)|(?:[^/]*constraints?|runtime)[^/]*\.txt"
                   r"|requirements/[^/]+\.(?:txt|in)|Pipfile|go\.(?:mod|work)|Cargo\.toml|Gemfile|composer\.json|pom\.xml|rust-toolchain(?:\.toml)?"
                   r"|\.npmrc|\.yarnrc(?:\.yml)?|pip\.conf|bunfig\.toml|pnpm-workspace\.yaml|pytest\.ini|tox\.ini|mise\.toml|\.mise\.toml|\.tool-versions"
                   r"|\.(?:python|node|ruby|java|go)-version|\.nvmrc|\.sdkmanrc|\.gitmodules|\.gitattributes|(?:docker-)?compose\.ya?ml|\.devcontainer\.json"
                   r"|\.cargo/config(?:\.toml)?|gradle-wrapper\.properties)"
                   r"|\.devcontainer/(?:[^/]+/)?devcontainer\.json|\.github/workflows/copilot-setup-steps\.ya?ml|gradle/wrapper/gradle-wrapper\.properties")


def is_read(path: str) -> bool:
    """True if some detector reads this file."""
    return _READ.fullmatch(path) is not None or path.rpartition("/")[2] in LOCKS


def kept(names: list[str]) -> list[str]:
    """The paths that detectors look at: not deep, and of characters that can be shown."""
    return [name for name in names if name.count("/") <= 2 and len(name) <= 300 and name.isprintable()][:NAMES]


class View:
    """host: {program: its version, '' if that is not known} of this machine; None: nothing is compared with it."""

    def __init__(self, tree: Tree, host: Mapping[str, str] | None = None) -> None:
        self._tree, self.host, self.folder = tree, host, ""
        self.paths = set(kept(tree.names()))
        self.unreadable: dict[str, dict[str, Any]] = {}  # {path: what is said of it}
        self._texts: dict[str, str] = {}

    def below(self, folder: str) -> "View":
        """The same files, seen from a folder."""
        view = View.__new__(View)
        view.__dict__.update(self.__dict__, folder=f"{folder}/")
        return view

    def at(self, name: str) -> str:
        """The path from the top folder."""
        return f"{self.folder}{name}"

    def has(self, name: str) -> bool:
        return self.at(name) in self.paths

    def names(self) -> list[str]:
        """Names of the files in this folder itself, sorted."""
        start = len(self.folder)
        return sorted(path[start:] for path in self.paths if path.startswith(self.folder) and "/" not in path[start:])

    def under(self, folder: str) -> list[str]:
        """Names of the files in a folder of this one, sorted."""
        start = self.at(f"{folder}/")
        return sorted(path[len(start):] for path in self.paths if path.startswith(start) and "/" not in path[len(start):])

    def text(self, name: str) -> str:
        """The text of a file; '' if it is absent or cannot be read, which is noted."""
        path = self.at(name)
        if path not in self.paths or path in self.unreadable:
            return ""
        if path not in self._texts:
            text = self._tree.read(path) if len(self._texts) < READS else None
            is_lock = path.rpartition("/")[2] in LOCKS
            if text is None or (len(text) > BYTES and not is_lock):
                if not is_lock:
                    self.unreadable[path] = unused(path, "It is too long to be read, or no text.")
                text = ""
            self._texts[path] = (text[:HEAD] if is_lock else text).replace("\r\n", "\n").lstrip("\ufeff")
        return self._texts[path]

    def json(self, name: str) -> dict[str, Any]:
        return self._map(name, formats.commented_json)

    def toml(self, name: str) -> dict[str, Any]:
        return self._map(name, formats.toml)

    def yaml(self, name: str) -> dict[str, Any]:
        return self._map(name, formats.yaml)

    def ini(self, name: str) -> dict[str, Any]:
        return self._map(name, formats.ini)

    def _map(self, name: str, parse: Callable[[str], Any]) -> dict[str, Any]:
        """The map in a file; {} if there is none, which is noted."""
        text = self.text(name)
        if not text.strip():
            return {}
        try:
            value = parse(text)
        except ValueError as error:
            self._note(name, f"It could not be read: {' '.join(str(error).split())[:200]}.")
            return {}
        if not isinstance(value, dict):
            self._note(name, "It could not be read: it is no map.")
            return {}
        return value

    def _note(self, name: str, why: str) -> None:
        self.unreadable[self.at(name)] = unused(self.at(name), why)

    def can(self, program: str) -> bool:
        """True if the program is on this machine, or nothing is known about it."""
        return self.host is None or program in self.host

    def version(self, program: str) -> str:
        return (self.host or {}).get(program, "")


def mapping(value: Any, *keys: str) -> dict[str, Any]:
    """The map at keys of nested maps; {} if it is not there."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def strings(value: Any) -> list[str]:
    """The texts of a list; [] for anything else."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def string(value: Any) -> str:
    return value if isinstance(value, str) else ""
