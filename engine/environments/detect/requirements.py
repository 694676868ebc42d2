"""Lists of Python packages: which of a repository's requirements files setup installs."""
import posixpath
import re
from typing import Any, NamedTuple

from engine.environments.detect.parts import listed, unused, used
from engine.environments.detect.view import View

WANTED = ("dev", "develop", "development", "test", "tests", "testing", "local")  # names of lists, extras and groups that checks need
MOST = 10  # lists that are installed
_LIST = re.compile(r"(?:[\w.-]*[-_.])?requirements?(?:[-_.][\w.-]*)?\.txt")
_REFERENCE = re.compile(r"^[ \t]*(?:-r|--requirement|-c|--constraint)[ \t=]*([^\s#]+)", re.MULTILINE)
_EDITABLE = re.compile(r"^[ \t]*(?:-e|--editable)[ \t=]*['\"]?\.(?:\[|[ \t]*$|['\"])", re.MULTILINE)
_FROM_GIT = re.compile(r"\bgit\+(?:https|ssh|git)://(?:[^@/\s]{1,100}@)?([A-Za-z0-9.-]{1,253})")
_INDEX = re.compile(r"^[ \t]*(?:-i|--index-url|--extra-index-url|-f|--find-links)[ \t=]*https?://(?:[^@/\s]{1,200}@)?([A-Za-z0-9.-]{1,253})", re.MULTILINE)


class Lists(NamedTuple):
    """names: of the lists, to install in this order. project: one of them installs the project itself. tests: one is meant for tests."""

    names: tuple[str, ...] = ()
    project: bool = False
    tests: bool = False
    found: tuple[dict[str, Any], ...] = ()


def lists(view: View) -> Lists:
    candidates = sorted((name for name in view.names() if _LIST.fullmatch(name)), key=lambda name: (name != "requirements.txt", name))
    folder = [f"requirements/{name}" for name in view.under("requirements") if name.endswith(".txt")]
    wanted = [name for name in candidates if name == "requirements.txt" or _is_wanted(name)]
    wanted += [name for name in folder if _is_wanted(name)]
    if not wanted:
        wanted = [name for name in folder if name.partition("/")[2] in ("base.txt", "common.txt", "main.txt", "requirements.txt")][:1]
    included = {name: _included(view, name) for name in wanted}
    taken = [name for name in wanted if not any(name in included[other] for other in wanted if other != name and name not in _mutual(included, name, other))]
    taken = taken[:MOST]
    read = list(dict.fromkeys([*taken, *(each for name in taken for each in sorted(included[name]))]))
    found = [used(view.at(name), "pip installs its packages." if name in taken else "It belongs to a list that pip installs.") for name in read
             if view.has(name)]
    found += [unused(view.at(name), "Its name does not say that tests need it: add a step for it if they do.") for name in (*candidates, *folder)
              if name not in read]
    texts = [view.text(name) for name in read]
    return Lists(tuple(taken), any(_EDITABLE.search(text) for text in texts), any(_is_wanted(name) for name in read),
                 (*found, *_absent(view, read), *_elsewhere(view, read)))


def _is_wanted(name: str) -> bool:
    return any(part in WANTED for part in re.split(r"[-_./]", name))


def _mutual(included: dict[str, set[str]], name: str, other: str) -> set[str]:
    """The name itself if both files include each other and it comes first, so that one of them is taken."""
    return {name} if other in included[name] and list(included).index(name) < list(included).index(other) else set()


def _included(view: View, name: str) -> set[str]:
    """The files that a list includes, directly or not."""
    seen: set[str] = set()
    left = [name]
    while left and len(seen) < 50:
        here = left.pop()
        for reference in _REFERENCE.findall(view.text(here)):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(here), reference))
            if path not in seen:
                seen.add(path)
                left.append(path)
    return seen - {name}


def _absent(view: View, names: list[str]) -> list[dict[str, Any]]:
    gone = [name for name in names if not view.has(name)]
    return [unused(view.at(name)[:300], "A list of requirements includes it, but it is not in the repository: its step will fail until it is there.")
            for name in gone if name.isprintable()][:5]


def _elsewhere(view: View, names: list[str]) -> list[dict[str, Any]]:
    found = []
    for name in names:
        text = view.text(name)
        hosts = list(dict.fromkeys([*_FROM_GIT.findall(text), *_INDEX.findall(text)]))
        hosts = [host for host in hosts if host not in ("pypi.org", "files.pythonhosted.org")]
        if hosts:
            found.append(unused(view.at(name), f"It takes packages from {listed(hosts)}: add this to hosts."))
    return found
