"""The programs of this machine that sandboxes have, with the versions of interpreters."""
import os
import re
import subprocess
from collections.abc import Mapping
from functools import lru_cache

FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin")  # PATH of a sandbox
SECONDS = 20.0  # for a program to tell its version
# {program: the words that make it tell its version; () where only its presence counts}
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "python3": ("--version",), "node": ("--version",), "ruby": ("--version",), "go": ("version",), "java": ("-version",), "php": ("--version",),
    "rustc": ("--version",), **dict.fromkeys(("python", "npm", "pnpm", "yarn", "bun", "uv", "poetry", "pdm", "pipenv", "cargo", "bundle", "composer", "mvn",
                                              "gradle"), ())}
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")
_PYTHON = re.compile(r"python3\.\d{1,3}")


def programs(folders: tuple[str, ...] = FOLDERS) -> dict[str, str]:
    """{program: its version; '' where it is not asked}. `venv` is there if python3 can make virtual environments."""
    found = {}
    for name, words in PROGRAMS.items():
        path = next((path for folder in folders if os.access(path := os.path.join(folder, name), os.X_OK)), None)
        if path is not None:
            found[name] = _version(path, os.stat(path).st_mtime_ns, words) if words else ""
    for folder in folders:
        if os.path.isdir(folder):
            found |= {name: name.removeprefix("python") for name in os.listdir(folder) if _PYTHON.fullmatch(name)}
    version = found.get("python3", "").rpartition(".")[0]
    if any(os.path.isdir(os.path.join(os.path.dirname(folder), "lib", f"python{version}", "ensurepip")) for folder in folders):
        found["venv"] = ""
    return found


@lru_cache(maxsize=64)
def _version(path: str, changed: int, words: tuple[str, ...]) -> str:
    """The version that a program tells; '' for none. changed: asks again after an update of the machine."""
    try:
        done = subprocess.run([path, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, cwd="/",
                              env={"PATH": ":".join(FOLDERS), "HOME": "/nonexistent", "LANG": "C.UTF-8"})
    except (OSError, subprocess.TimeoutExpired):
        return ""
    matched = _VERSION.search(done.stdout.decode("utf-8", "replace"))
    return matched[0] if matched else ""
