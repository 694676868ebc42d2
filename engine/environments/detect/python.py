"""Packages of Python: into a virtual environment .venv in the work tree."""
import re
from typing import Any, NamedTuple

from engine.environments.detect import pins, tools
from engine.environments.detect.parts import WORK_TREE, Part, listed, missing, unused, used, word
from engine.environments.detect.requirements import WANTED, lists
from engine.environments.detect.view import View, mapping, string, strings

LOCKS = {"uv.lock": "uv", "poetry.lock": "poetry", "pdm.lock": "pdm", "Pipfile.lock": "pipenv"}
FILES = (*LOCKS, "requirements*.txt", "pyproject.toml", "setup.cfg", "setup.py", "Pipfile")
FROM_TAGS = re.compile(r"setuptools[-_]scm|hatch-vcs|versioningit|\bpbr\b|versioneer|poetry-dynamic-versioning|setuptools-git-versioning|\bdunamai\b")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,80}[A-Za-z0-9])?")


class _Project(NamedTuple):
    """What pyproject.toml, setup.cfg and setup.py say. built_by: the file by which pip installs the project; '' for none."""

    toml: dict[str, Any]
    built_by: str
    extras: tuple[str, ...]
    groups: tuple[str, ...]
    requires: str


def detect(view: View) -> Part | None:
    lock = next((name for name in LOCKS if view.has(name)), "")
    project, given = _project(view), lists(view)
    manager = LOCKS.get(lock, "") or _manager_without_lock(view, project)
    if not (manager or given.names or project.built_by):
        return Part(found=(*given.found, *_only_settings(view))) if given.found or _only_settings(view) else None
    first = view.at(lock or project.built_by or (given.names[0] if given.names else "pyproject.toml"))
    program = pins.python(view, project.requires)
    if not program or not tools.has_venv(view):
        why = missing("python3 with venv", "python3-venv") if not tools.has_venv(view) else (
            f"It asks for Python {project.requires[:60]}, but this machine has {view.version('python3')}: install a fitting version on this machine, then "
            "look again.")
        return Part(found=(unused(first, why),))
    root = f"{WORK_TREE}/{view.folder}.venv"
    base = Part((f"{program} -m venv .venv",), ("pypi",), {"VIRTUAL_ENV": root}, (f"{root}/bin",), (*_from_tags(view, project), *_tox(view)))
    part = _managed(view, manager, lock, project, program) if manager else _by_pip(view, project, given)
    rest = [unused(view.at(name), f"{lock} is used instead.") for name in LOCKS if name != lock and view.has(name)]
    if manager:
        rest += [unused(each["file"], f"{lock or 'pyproject.toml'} is used instead.") for each in given.found if each["used"]]
    return Part((*base.commands, *part.commands) if part.commands else (), (*base.hosts, *part.hosts), {**base.env, **part.env}, (*base.paths, *part.paths),
                (*part.found, *rest, *base.found))


def _project(view: View) -> _Project:
    toml, cfg = view.toml("pyproject.toml"), view.ini("setup.cfg")
    built_by = "pyproject.toml" if "build-system" in toml or "project" in toml else "setup.py" if view.has("setup.py") else ""
    extras = [*mapping(toml, "project", "optional-dependencies"), *mapping(toml, "tool", "poetry", "extras"), *mapping(cfg, "options.extras_require")]
    if "extras_require" in (text := view.text("setup.py")):
        extras += re.findall(r"[\"']([A-Za-z0-9_-]{1,40})[\"']\]?\s*[:=]", text.partition("extras_require")[2]) + re.findall(
            r"\b([a-z_]{1,40})=\[", text.partition("extras_require")[2])
        extras += re.findall(r"extras(?:_require)?\[[\"']([A-Za-z0-9_-]{1,40})[\"']\]", text)
    groups = [*mapping(toml, "dependency-groups"), *mapping(toml, "tool", "poetry", "group")]
    said = re.search(r"python_requires\s*=\s*[\"']([^\"'\n]{1,100})", text)
    requires = string(mapping(toml, "project").get("requires-python")) or string(mapping(toml, "tool", "poetry", "dependencies").get("python")) or string(
        mapping(cfg, "options").get("python_requires")) or (said[1] if said else "")
    return _Project(toml, built_by, _wanted(extras), _wanted(groups), requires)


def _wanted(names: list[str]) -> tuple[str, ...]:
    """Those of extras or groups that checks need, by their names."""
    return tuple(dict.fromkeys(name for name in names if name.lower() in WANTED and _NAME.fullmatch(name)))


def _manager_without_lock(view: View, project: _Project) -> str:
    """The program whose own section says what to install: pip does not read that."""
    if mapping(project.toml, "tool", "poetry", "dependencies") and "project" not in project.toml:
        return "poetry"
    return "pipenv" if view.has("Pipfile") else ""


def _managed(view: View, manager: str, lock: str, project: _Project, program: str) -> Part:
    """Installs by uv, poetry, pdm or pipenv."""
    tool = tools.of_pypi(view, manager)
    if tool.lacking:
        return Part(found=(unused(view.at(lock or "pyproject.toml"), tool.lacking),))
    command, env = _MANAGERS[manager](project, bool(lock))
    if manager == "uv":
        env["UV_PYTHON"] = program
    said = used(view.at(lock), f"{manager} installs exactly its versions.") if lock else used(
        view.at("Pipfile" if manager == "pipenv" else "pyproject.toml"), f"{manager} installs its packages in their newest fitting versions.")
    return Part((*tool.commands, command), tool.hosts, env, tool.paths, (said,))


def _uv(project: _Project, _: bool) -> tuple[str, dict[str, str]]:
    names = "" if mapping(project.toml, "tool", "uv").get("conflicts") else "".join(f" --extra {name}" for name in project.extras) + "".join(
        f" --group {name}" for name in project.groups)
    members = " --all-packages" if mapping(project.toml, "tool", "uv", "workspace") else ""
    return f"uv sync --frozen{members}{names}", {"UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy"}


def _poetry(project: _Project, _: bool) -> tuple[str, dict[str, str]]:
    names = "".join(f" --extras {name}" for name in project.extras) + (f" --with {','.join(project.groups)}" if project.groups else "")
    return f"poetry install --no-interaction{names}", {"POETRY_VIRTUALENVS_IN_PROJECT": "true"}


def _pdm(_: _Project, locked: bool) -> tuple[str, dict[str, str]]:
    return "pdm sync" if locked else "pdm install", {"PDM_CHECK_UPDATE": "false"}


def _pipenv(_: _Project, locked: bool) -> tuple[str, dict[str, str]]:
    return "pipenv sync --dev" if locked else "pipenv install --dev --skip-lock", {"PIPENV_VENV_IN_PROJECT": "1", "PIPENV_VERBOSITY": "-1"}


_MANAGERS = {"uv": _uv, "poetry": _poetry, "pdm": _pdm, "pipenv": _pipenv}


def _by_pip(view: View, project: _Project, given: Any) -> Part:
    commands = [f".venv/bin/pip install -r {word(name)}" for name in given.names]
    found = list(given.found)
    groups = tuple(name for name in project.groups if name in mapping(project.toml, "dependency-groups"))
    if groups:  # older versions of pip do not know groups
        commands += [".venv/bin/python -m pip install --upgrade pip",
                     ".venv/bin/pip install" + "".join(f" --group {name}" for name in groups)]
    if project.built_by and not given.project:
        extras = f"[{','.join(project.extras)}]" if project.extras else ""
        commands.append(f".venv/bin/pip install -e {word('.' + extras)}")
        found.append(used(view.at(project.built_by), f"pip installs the project itself{_with(project.extras, groups)}."))
    elif project.built_by:
        found.append(used(view.at(project.built_by), "The list of requirements installs the project itself."))
    if not (given.tests or project.extras or groups) and (where := _pytest(view, project)):
        commands.append(".venv/bin/pip install pytest")
        found.append(used(view.at(where), "It has settings of pytest, and no list names it, so its newest version is installed."))
    return Part(tuple(commands), found=tuple(found))


def _with(extras: tuple[str, ...], groups: tuple[str, ...]) -> str:
    parts = [f"its {kind}{'s' * (len(names) > 1)} {listed(list(names))}" for kind, names in (("extra", extras), ("group", groups)) if names]
    return f" with {' and '.join(parts)}" if parts else ""


def _pytest(view: View, project: _Project) -> str:
    """The file with settings of pytest; '' for none."""
    if mapping(project.toml, "tool", "pytest"):
        return "pyproject.toml"
    if view.has("pytest.ini"):
        return "pytest.ini"
    return next((name for name, section in (("setup.cfg", "[tool:pytest]"), ("tox.ini", "[pytest]")) if section in view.text(name)), "")


def _from_tags(view: View, project: _Project) -> list[dict[str, Any]]:
    requires = " ".join(strings(mapping(project.toml, "build-system").get("requires")))
    file = "pyproject.toml" if FROM_TAGS.search(requires) else next((name for name in ("setup.py", "setup.cfg") if FROM_TAGS.search(view.text(name))), "")
    if not file:
        return []
    return [unused(view.at(file), "Its version comes from git tags, and without tags it is a version such as 0.1.dev1: set SETUPTOOLS_SCM_PRETEND_VERSION, "
                                  "or the variable of its plugin, in env if something depends on it.")]


def _tox(view: View) -> list[dict[str, Any]]:
    return [unused(view.at(name), f"The environments of {program} are its own: add the packages that its tests need as a step.")
            for name, program in (("tox.ini", "tox"), ("noxfile.py", "nox")) if view.has(name)]


def _only_settings(view: View) -> list[dict[str, Any]]:
    if view.has("setup.cfg") and "[options]" in view.text("setup.cfg"):
        return [unused(view.at("setup.cfg"), "pip installs a project only with pyproject.toml or setup.py: add one of them, or a step.")]
    return []
