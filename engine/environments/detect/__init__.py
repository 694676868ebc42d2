"""Looks what a repository's files say about its dependencies, and proposes steps. A person approves them before anything runs.

Everything here is a pure function of the files and of this machine's programs. The contents are foreign: no content makes it raise."""
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from engine.environments.detect import actions, commands, compiled, devcontainer, node, others, pins, python, scripted, tools
from engine.environments.detect.parts import WORK_TREE, Part, Tree, unused, word
from engine.environments.detect.view import View
from engine.environments.key import INPUTS, is_input
from engine.environments.steps import COMMANDS, Steps, parse
from engine.errors import BadRequest

PACKAGES: tuple[Callable[[View], Part | None], ...] = (node.detect, python.detect, compiled.go, compiled.rust, scripted.ruby, scripted.php, compiled.jvm)
WRITTEN: tuple[Callable[[View], Part | None], ...] = (devcontainer.detect, actions.detect)  # what someone wrote for such a purpose; the first counts
MANIFESTS = tuple(name for detector in (node, python, compiled, scripted) for name in detector.FILES if "*" not in name)
NO_PARTS = ("node_modules", "vendor", "third_party", "examples", "example", "docs", "doc", "test", "tests", "testdata", "fixtures", "samples", "sample",
            "templates", "benchmarks", "bench")  # folders whose manifests are not the repository's own
FOLDERS, FOUND = 8, 60  # most folders below the top one that are used; most lines of `found`


class Detection(NamedTuple):
    """found: [{file, used, why}]: what was looked at, whether the steps use it, and a sentence."""

    steps: Steps
    found: list[dict[str, Any]]


def detect(tree: Tree, host: Mapping[str, str] | None = None) -> Detection:
    """What the files ask for. No steps: nothing was found that needs a setup. host: {program: version} of this machine, '' for a version that is not
    known; None: nothing is compared with it."""
    view = View(tree, host)
    written = [part for part in (detector(view) for detector in WRITTEN) if part is not None]
    parts, below = _packages(view)
    taken = next((part for part in written if part.commands), None)
    found = [each for part in written if part is taken or taken is None for each in part.found]
    if taken is not None:
        steps = _by_hand(view, taken, parts)
        found += [_instead(each, taken) for part in (*written, *parts) if part is not taken for each in part.found]
    else:
        steps = _together(parts)
        found += [each for part in parts for each in part.found]
    found += [*below, *pins.detect(view), *others.detect(view)]
    known = {(each["file"], each["why"]): each for each in [*found, *view.unreadable.values()]}
    return Detection(*_checked(steps, [_shown(each) for each in known.values()][:FOUND]))


def _packages(view: View) -> tuple[list[Part], list[dict[str, Any]]]:
    """What the package managers of the top folder install; of the folders below it where the top one has none. And what is said of the others."""
    parts = [part for part in (detector(view) for detector in PACKAGES) if part is not None]
    folders = sorted({path.partition("/")[0] for path in view.paths if path.count("/") == 1 and path.partition("/")[2] in (*MANIFESTS, "requirements.txt")})
    folders = [name for name in folders if name not in NO_PARTS and not name.startswith(".") and ":" not in name]  # a colon divides PATH
    if parts or not folders:
        here = [next(name for name in (*MANIFESTS, "requirements.txt") if view.below(folder).has(name)) for folder in folders]
        return parts, [unused(f"{folder}/{name}", "It is not in the top folder, whose files are used: add steps for it, beginning with "
                                                  f"cd {word(folder)}, if checks need it.") for folder, name in list(zip(folders, here, strict=True))[:10]]
    inner = [_moved(folder, part) for folder in folders[:FOLDERS] for detector in PACKAGES if (part := detector(view.below(folder))) is not None]
    return inner, [unused(name, f"Only the first {FOLDERS} folders with manifests are used: add steps for it.") for name in folders[FOLDERS:FOLDERS + 5]]


def _moved(folder: str, part: Part) -> Part:
    """The commands of a part, for a folder below the top one."""
    return part._replace(commands=tuple(each if each.startswith(("npm install -g", 'python3 -m venv "$HOME', "port=")) else f"cd {word(folder)} && {each}"
                                        for each in part.commands))


def _together(parts: list[Part]) -> Steps:
    env: dict[str, str] = {}
    for part in reversed(parts):
        env |= part.env
    paths = list(dict.fromkeys(path for part in parts for path in part.paths))
    if paths and any(part.commands for part in parts):
        env["PATH"] = ":".join([*paths, "$PATH"])
    return Steps(setup=tuple(dict.fromkeys(command for part in parts for command in part.commands)),
                 hosts=tuple(dict.fromkeys(host for part in parts for host in part.hosts)), env=env)


def _by_hand(view: View, taken: Part, parts: list[Part]) -> Steps:
    """The steps that someone wrote. Scripts that they call install what the manifests name, so hosts and folders are those of the manifests, too."""
    first, given = Part(), list(taken.commands)
    if commands.needs_venv(given) and tools.has_venv(view):
        root = f"{WORK_TREE}/.venv"
        first = Part((f"{pins.python(view) or 'python3'} -m venv .venv",), (), {"VIRTUAL_ENV": root}, (f"{root}/bin",))
        taken = taken._replace(commands=tuple(commands.for_venv(each) for each in given))
    elif commands.needs_python(given) and not view.can("python") and view.can("python3"):
        first = Part((f'mkdir -p "{tools.BIN}" && ln -sf "$(command -v python3)" "{tools.BIN}/python"',), paths=(tools.BIN,))
    env = commands.global_env([each for each in given if "--prefix" not in each])
    others_of = [part._replace(commands=(), env={name: text for name, text in part.env.items() if name != "VIRTUAL_ENV"}) for part in parts]
    steps = _together([first, taken, Part(env=env, paths=(tools.BIN,) if env else ()), *others_of])
    return steps._replace(inputs=_inputs(view, commands.scripts(given, view.paths)))


def _inputs(view: View, scripts: tuple[str, ...]) -> tuple[str, ...]:
    """The known inputs that are there, and the scripts; () if the known ones are all."""
    more = [name for name in scripts if not is_input(name, INPUTS) and not any(c in name for c in "*?[")]
    if not more:
        return ()
    known = [pattern for pattern in INPUTS if any(is_input(path, (pattern,)) for path in view.paths)]
    return tuple(dict.fromkeys([*known, *more]))[:COMMANDS]


def _instead(each: dict[str, Any], taken: Part) -> dict[str, Any]:
    file = next(said["file"] for said in taken.found)
    return unused(each["file"], f"The steps of {file} are used instead.") if each["used"] else each


def _checked(steps: Steps, found: list[dict[str, Any]]) -> tuple[Steps, list[dict[str, Any]]]:
    """Steps that everyone accepts as steps. Without commands there is nothing to set up, so there are no steps at all."""
    if not steps.setup:
        return Steps(), found
    if len(steps.setup) > COMMANDS:
        return Steps(), [*found, unused("", f"There are more than {COMMANDS} commands: write steps that call a script.")]
    try:
        return parse(steps.as_json()), found
    except BadRequest as error:
        return Steps(), [*found, unused("", f"What the files say makes no steps, so write them. {error.sentence}")]


def _shown(each: dict[str, Any]) -> dict[str, Any]:
    """A line of `found` without characters that cannot be shown."""
    file, why = ("".join(c if c.isprintable() else "\ufffd" for c in each[key]) for key in ("file", "why"))
    return {"file": file[:300], "used": each["used"], "why": why if len(why) <= 400 else f"{why[:399]}…"}
