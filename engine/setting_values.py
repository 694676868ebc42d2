"""Parsers of settings, from text to value. Each one raises ValueError, whose text says what is allowed."""
import importlib
import ipaddress
import os
import pwd
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any


def whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)
    return parse


def seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"\d{1,7}(\.\d{1,3})?", text) or not low <= float(text) <= high:
            raise ValueError(f"seconds from {low:g} to {high:g}")
        return float(text)
    return parse


def one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return text
    return parse


def registered(table: str) -> Callable[[str], str]:
    """A name in a table of plugins, or auto. table: 'package.TABLE', loaded when a value is read: a new plugin is allowed without a change
    here, and code that only reads settings loads no plugin."""
    return lambda text: one_of("auto", *_loaded(table))(text)


def parsed_by(function: str) -> Callable[[str], Any]:
    """Uses the parser of another package. function: 'package.module.function', loaded when a value is read, as in registered()."""
    return lambda text: _loaded(function)(text)


def _loaded(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def folder(text: str) -> Path:
    if not text:
        raise ValueError("a folder")
    return Path(text).expanduser().resolve()


def folders(text: str) -> tuple[Path, ...]:
    paths = tuple(Path(part).expanduser() for part in text.split(os.pathsep) if part)
    if any(not path.is_absolute() for path in paths):
        raise ValueError(f"absolute paths of folders, separated by {os.pathsep!r}")
    return tuple(path.resolve() for path in paths)


def packages(text: str) -> tuple[str, ...]:
    names = tuple(text.replace(",", " ").split())
    if any(not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) for name in names):
        raise ValueError("names of Debian packages, separated by spaces")
    return names


def optional_folder(text: str) -> Path | None:
    return folder(text) if text else None


def optional_file(text: str) -> Path | None:
    """A file that whoever uses it looks at, and says what is wrong with it."""
    return Path(text).expanduser().absolute() if text else None


def name(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,40}", text):
        raise ValueError("a name of letters, digits, - and _")
    return text


def names(text: str) -> tuple[str, ...]:
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())


def exact_names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def users(text: str) -> tuple[str, ...]:
    """Users of this machine, as given: by uid or by name; or * for all."""
    given = exact_names(text)
    for user in given:
        if not (user == "*" or (user.isascii() and user.isdigit() and int(user) < 2**32 - 1) or _is_user(user)):
            raise ValueError(f"uids or names of users of this machine, separated by commas, or * for every user; {user!r} is none")
    return given


def _is_user(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def loopback(text: str) -> str:
    try:
        local = text == "localhost" or ipaddress.ip_address(text).is_loopback
    except ValueError:
        local = False
    if not local:
        raise ValueError("a loopback address (127.0.0.1, ::1 or localhost), because there are no logins")
    return text


def url_pattern(text: str) -> str:
    if "{repository}" not in text or text.startswith("-") or "::" in text.partition("//")[0]:
        raise ValueError("a URL that contains {repository}")
    return text


def _like(pattern: str, allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text and not re.fullmatch(pattern, text):
            raise ValueError(allowed)
        return text
    return parse


web_address = _like(r"https?://[A-Za-z0-9\[][^\s@?#]*", "an http or https URL without a user, query or fragment")
mirror = _like(r"(https?://|file:///|copy:///)\S+", "a URL that begins with https://, http:// or file:///")


def words(text: str) -> str:
    if len(text) > 1000 or not text.isprintable():
        raise ValueError("at most 1000 printable characters")
    return text


def amount(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text):
        raise ValueError("an amount like 2.50; 0: no limit")
    return float(text)


def file_of(what: str) -> Callable[[str], Path | None]:
    def parse(text: str) -> Path | None:
        if text and not Path(text).expanduser().is_file():
            raise ValueError(f"a file with {what}")
        return Path(text).expanduser().resolve() if text else None
    return parse
