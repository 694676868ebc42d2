"""Versions of interpreters that a repository names, compared with those of this machine: sandboxes have the machine's programs."""
import re
from typing import Any

from engine.environments.detect.parts import unused, used
from engine.environments.detect.versions import fits, is_same, numbers
from engine.environments.detect.view import View, mapping, string, strings

# name in mise.toml and .tool-versions: (the program that tells its version, its name for people, its Debian package)
LANGUAGES = {"python": ("python3", "Python", "python3"), "node": ("node", "Node.js", "nodejs"), "nodejs": ("node", "Node.js", "nodejs"),
             "ruby": ("ruby", "Ruby", "ruby"), "go": ("go", "Go", "golang"), "golang": ("go", "Go", "golang"), "java": ("java", "Java", "default-jdk"),
             "rust": ("rustc", "Rust", "cargo"), "php": ("php", "PHP", "php-cli")}
SINGLE = {".python-version": "python", ".nvmrc": "node", ".node-version": "node", ".ruby-version": "ruby", ".go-version": "go", ".java-version": "java",
          "runtime.txt": "python", "rust-toolchain": "rust"}
FILES = ("mise.toml", ".tool-versions", *SINGLE)
LTS = {"argon": "4", "boron": "6", "carbon": "8", "dubnium": "10", "erbium": "12", "fermium": "14", "gallium": "16", "hydrogen": "18",
       "iron": "20", "jod": "22", "krypton": "24"}  # names of Node.js versions


def detect(view: View) -> list[dict[str, Any]]:
    """What is said of each file that pins an interpreter."""
    return [compared(view, view.at(file), language, version) for file, language, version in pinned(view)][:30]


def pinned(view: View) -> list[tuple[str, str, str]]:
    """(file, language, version) of all."""
    found = [(name, language, version) for name, language in SINGLE.items() if (version := _first(view.text(name)))]
    for line in view.text(".tool-versions").split("\n")[:50]:
        words = line.partition("#")[0].split()
        if len(words) > 1:
            found.append((".tool-versions", words[0][:40], words[1][:40]))
    for file in ("mise.toml", ".mise.toml"):
        for name, value in list(mapping(view.toml(file), "tools").items())[:50]:
            version = value if isinstance(value, str) else string(mapping(value).get("version")) or next(iter(strings(value)), "")
            found.append((file, name[:40], version[:40]))
    channel = mapping(view.toml("rust-toolchain.toml"), "toolchain").get("channel")
    return found + ([("rust-toolchain.toml", "rust", string(channel)[:40])] if channel else [])


def _first(text: str) -> str:
    """The first word of a file's first line that says something."""
    lines = [line.partition("#")[0].strip() for line in text.split("\n")[:20]]
    return next((line.split()[0][:40] for line in lines if line), "")


def compared(view: View, file: str, language: str, version: str) -> dict[str, Any]:
    """Whether this machine has what a file asks for."""
    version = "".join(c for c in version if c.isprintable())
    if language not in LANGUAGES:
        return unused(file, f"It asks for {_shown(language)} {version}, which is not looked for: its commands work if this machine has it.")
    program, name, package = LANGUAGES[language]
    wanted = LTS.get(version.removeprefix("lts/"), version)
    if view.host is None:
        return used(file, f"It asks for {name} {version}.")
    if not view.can(program):
        return unused(file, f"It asks for {name} {version}, but this machine has no {name}: install it (for Debian: apt-get install {package}), then look "
                            "again.")
    there, same = view.version(program), is_same(wanted, view.version(program))
    if language == "python" and same is False and (other := _other_python(view, wanted)):
        return used(file, f"It asks for Python {version}, and {other} of this machine is used.")
    if same is False:
        return unused(file, f"It asks for {name} {version}, but sandboxes have this machine's {there}: install {version} on this machine, or go on with "
                            f"{there}.")
    if same is None and version in ("nightly", "beta"):
        return unused(file, f"It asks for {name} {version}, but sandboxes have this machine's {there or 'version'}: name a released version, or go on with it.")
    return used(file, f"It asks for {name} {version}, and this machine has {there or 'it'}.")


def _shown(name: str) -> str:
    return "".join(c for c in name if c.isprintable())


def _other_python(view: View, wanted: str) -> str:
    """A python3.N of this machine that is the wanted version; '' for none."""
    asked = numbers(wanted)[:2]
    name = f"python{'.'.join(map(str, asked))}"
    return name if len(asked) == 2 and view.host is not None and name in view.host else ""


def python(view: View, requires: str = "") -> str:
    """The program that makes the virtual environment: the pinned one if it is there and fits, else python3, else the newest that fits. '' for none."""
    wanted = [version for _, language, version in pinned(view) if language == "python"]
    others = sorted((name for name in view.host or {} if re.fullmatch(r"python3\.\d{1,3}", name)), key=numbers, reverse=True)
    names = [other for version in wanted if is_same(version, view.version("python3")) is False and (other := _other_python(view, version))]
    for name in [*names, "python3", *others]:
        if not requires or fits(requires, view.version(name) or name.removeprefix("python")) is not False:
            return name
    return ""
