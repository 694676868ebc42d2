"""The walls of the house: what each room is for, whom it may ask, and what only one place may do. Read from the source; two tables are loaded."""
import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from engine.agents import AGENTS
from engine.config import ROOT
from engine.runtimes import RUNTIMES

WORDS = "errors config access jobs ground criteria result_values files log crash times text setting_values secrets keys"
# name: (its sentence, the rooms below it). The words of the engine are below everything.
PACKAGES: dict[str, tuple[str, str]] = {
    "engine": ("The machine's side: tickets, claims, runs, repositories. It imports nothing from hitl.", ""),
    "engine.store": ("One SQLite file: its schema, its migrations and its journal.", ""),
    "engine.host": ("What the kernel offers: processes, locks, control groups.", ""),
    "engine.gateway": ("What a run may reach: models, without their keys, and listed hosts. Everything is counted.", "host"),
    "engine.forge": ("The forges GitHub and GitLab, through their client libraries.", ""),
    "engine.agents": ("Coding agents: how each is started in a sandbox, and how its events are read.", ""),
    "engine.runtimes": ("The kinds of sandbox in which the commands of a run are executed.", "host gateway"),
    "engine.git": ("git on the host, only with bare repositories.", "host"),
    "engine.tickets": ("The rows of a build, and the allowed changes of their states.", "store"),
    "engine.runs": ("Runs without a ticket: of a session, a repository or the installation.", "tickets store"),
    "engine.repositories": ("The repositories that sessions build in: rows, settings and environments.", "environments runs tickets store git"),
    "engine.environments": ("Environments: a repository's dependencies, prepared once, as the read-only ground of its sandboxes.", "gateway host"),
    "engine.image": ("make vm-image: the image that virtual machines start from, made of Debian packages.", "runtimes host"),
    "engine.stores": ("What runs share of a repository: the objects that were fetched from its remote, and the files of a base commit.", "git host"),
    "engine.run": ("The runner's own process: it starts sandboxes and watches them.", "runtimes stores environments agents gateway git host"),
    "engine.job": ("Makes a job from rows: everything that a run needs to know.",
                   "runs repositories stores environments tickets store git agents runtimes gateway forge host"),
    "engine.finish": ("From a result to a merge.", "repositories runs tickets store git agents"),
    "engine.delivery": ("Delivers a finished build to its forge, and takes in the feedback.", "tickets store git agents forge"),
    "engine.loop": ("The engine: it decides when each step happens.",
                    "finish job run delivery runs repositories stores environments tickets store git agents runtimes host"),
    "engine.commands": ("Commands for people: run-ticket, drain, backup.", "loop tickets store git runtimes host"),
    "hitl": ("The human's side of the product: the step from a card to its tickets, and the demo.", "session card web"),
    "hitl.web": ("The parts that every request and every shown text goes through.", ""),
    "hitl.server": ("The HTTP server: one process that stays within its limits, however many connections come.", ""),
    "hitl.card": ("The spec card as data: no database, no Flask.", "web"),
    "hitl.session": ("A session's rows: the card, its versions and the questions.", "card web"),
    "hitl.changes": ("The changes of a ticket, and their review.", "session card web"),
    "hitl.drafting": ("From an idea to a card that is in review.", "session card web"),
    "hitl.amend": ("Changes to a build that is under way.", "hitl session card web"),
    "hitl.views": ("Views of sessions, tickets and the engine: plain dicts, the same for JSON and for pages.", "changes session card web"),
    "hitl.api": ("The JSON API under /api.", "views amend drafting changes hitl session card web"),
    "hitl.pages": ("The pages. Each module serves one page: it collects the values and renders them.", "views amend drafting changes hitl session card web"),
}
OF_ENGINE = "store tickets runs repositories environments git"  # what hitl may ask of the engine, beside its words
# Of other rooms these alone. agents.log puts what an agent wrote into a run's log in words: what an event means only its agent knows.
# forge says whose token git needs for a look at a private repository.
NAMES_OF_ENGINE = {"engine.forge", "engine.loop.status", "engine.runtimes.described", "engine.agents.log", "engine.host.socket_owner"}
WITHOUT_STORE = ("run", "stores", "environments", "runtimes", "agents", "gateway", "git", "host")  # neither sqlite3 nor flask: a run's own process is small
COMMANDS = {"hitl.demo": "engine.loop"}  # programs of their own, and what they may ask beside their room

# {runtime or agent: who may name it beside its package, and why}
NAMED = {
    "qemu": {"engine.image"}, "bubblewrap": {"engine.image"},  # the image is qemu's, and is built in a sandbox
    "gemini": {"engine.gateway", "engine.config"},  # a kind of model API, too
    "fake": {"engine.loop.fakes"},  # whose runs are the fake runtime's
    "custom": {"engine.forge.words"},  # a code of GitHub's, for an error whose message has the words
}
# {module: {what it imports inside a function: why}}
LATE = {
    "engine.git.call": {"tempfile": "a run's own process needs none before its agent starts"},
    "engine.git.repository": {"tempfile": "the same", "shutil": "the same", "engine.git.remote": "only a prepare run reaches out"},
    "engine.environments.detect.formats": {"yaml": "of the extra default; without it YAML is named as not read"},
    "engine.job.yaml_head": {"yaml": "of the extra default, only in the process that reads a WORKFLOW.md"},
    "engine.job.liquid_template": {"liquid": "the same", "liquid.exceptions": "the same"},
    "engine.run.runner": {"engine.gateway.serving": "most runs need no gateway", "engine.run.prepare": "only a prepare run reaches out",
                          "engine.run.recheck": "it needs more than all the others", "engine.run.setup": "the same", "engine.run.baseline": "the same"},
    "engine.run.checks": {"engine.run.own_setup": "only a change that needs another environment"},
    "engine.run.setup": {"engine.run.prepare": "only a setup without a commit reaches out"},
    "engine.host.keyring": {"ctypes": "it takes as long to load as everything else in a run's own process"},
    "engine.runtimes.bubblewrap": {"tempfile": "a run's own process never probes"},
    "engine.runtimes.bwrap": {"hashlib": "only a bundled bwrap is checked"},
    "engine.runtimes.process": {"ctypes": "it takes as long to load as everything else in a run's own process"},
    "engine.runtimes.qemu": {"engine.runtimes.qemu.vms": "a run in another sandbox starts sooner without it", "engine.runtimes.qemu.image": "the same"},
    "engine.runtimes.qemu.vms": {"engine.gateway.bridge": "most runs need no gateway"},
    "hitl.drafting.drafters.model": {"openai": "an extra, with a sentence where it is missing"},
}

# One card there and back, from the button to the end of its session: each hop names the next in its docstring's last line.
SPINE = ("hitl/ticket_generator.py", "engine/tickets/new_tickets.py", "engine/loop/loop.py", "engine/tickets/claims.py", "engine/loop/dispatch.py",
         "engine/job/build_job.py", "engine/loop/launch.py", "engine/run/runner.py", "engine/run/phases.py", "engine/run/sandbox.py",
         "engine/loop/reap.py", "engine/finish/finish.py", "engine/git/branches.py", "engine/finish/outcomes.py", "engine/tickets/settle.py")


@cache
def modules() -> dict[str, Path]:
    """{dotted name: its file} of the program."""
    found = {}
    for top in ("engine", "hitl"):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def room(name: str) -> str:
    """The room of a module: the longest name in PACKAGES that it is in."""
    parts = name.split(".")
    return next(".".join(parts[:n]) for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in PACKAGES)


def imports(name: str, of: ast.AST | None = None) -> Iterator[str]:
    """The modules of the program that a module imports, wherever in it, types included."""
    for node in ast.walk(of or tree(name)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("engine", "hitl"):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules() else node.module


def allowed(importer: str, imported: str) -> bool:
    here, there = room(importer), room(imported)
    if here == there or there == "engine":
        return there != "engine" or here == "engine" or imported == "engine" or imported.split(".")[1] in WORDS.split()
    side, _, other = there.partition(".")
    if here.startswith("hitl") and side == "engine":
        return other in OF_ENGINE.split() or imported in NAMES_OF_ENGINE or there == COMMANDS.get(importer)
    below = PACKAGES[here][1].split()
    return side == here.split(".")[0] and (other or side) in below


def test_arrows_point_down() -> None:
    assert not {f"{name} imports {other}" for name in modules() for other in imports(name) if not allowed(name, other)}


def test_each_room_says_what_it_is_for_in_its_docstring_and_in_the_documentation() -> None:
    documented = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    wrong = set()
    for name, (sentence, _) in PACKAGES.items():
        if (ast.get_docstring(tree(name)) or "").partition("\n\n")[0] != sentence:
            wrong.add(f"{name}/__init__.py: its docstring is not the sentence of the room")
        if f"| `{name.replace('.', '/')}/` | {sentence} |" not in documented:
            wrong.add(f"docs/architecture.md: no row for {name} with its sentence")
    assert set(filter(lambda name: (ROOT / name.replace(".", "/")).is_dir(), modules())) >= set(PACKAGES)
    assert not wrong


def test_there_is_no_circle() -> None:
    state: dict[str, int] = {}
    circles = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if state.get(name) == 1:
            circles.add(" -> ".join([*path[path.index(name):], name]))
        if name not in state:
            state[name] = 1
            for other in sorted(set(imports(name)) - {name}):
                visit(other, (*path, name))
            state[name] = 2
    for name in modules():
        visit(name, ())
    assert not circles


def test_a_run_loads_no_database_and_no_web_framework() -> None:
    assert not {f"{name} imports {found}" for name in modules() if name.startswith(tuple(f"engine.{each}" for each in WITHOUT_STORE))
           for found in outside(name) if found in ("sqlite3", "flask")}


def outside(name: str) -> Iterator[str]:
    """Top-level names of what a module imports from elsewhere."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize(("statement", "owners"), [
    ("update tickets set status", {"engine.tickets.states"}), ("update hitl_sessions set state", {"engine.tickets.session_states"}),
    ("insert into tickets ", {"engine.tickets.new_tickets"})])
def test_a_state_is_written_in_one_place(statement: str, owners: set[str]) -> None:
    assert not {f"{name} says: {statement}" for name, path in modules().items()
           if statement in re.sub(r"\s+", " ", path.read_text(encoding="utf-8")) and name not in owners | {"engine.store.older_form"}}


def test_settle_alone_ends_a_build() -> None:
    """Whoever looks at one ticket cannot know that a session is done."""
    assert {name for name in modules() for node in ast.walk(tree(name)) if isinstance(node, ast.Attribute) and node.attr == "end"
            and isinstance(node.value, ast.Name) and node.value.id == "session_states"} == {"engine.tickets.settle"}
    assert not {name for name in modules() if "engine.tickets.session_states import" in (text := modules()[name].read_text(encoding="utf-8"))
                and re.search(r"session_states import [^\n]*\b(end|_write)\b", text)}


def test_rooms_files_and_functions_are_small() -> None:
    wrong = set()
    for folder in {path.parent for path in modules().values()}:
        count = sum(1 for path in modules().values() if path.parent == folder and path.name != "__init__.py")
        if count > 18:
            wrong.add(f"{folder.relative_to(ROOT)} has {count} modules")
    for name, path in modules().items():
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > 250:
            wrong.add(f"{name} has {lines} lines")
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 40:
                wrong.add(f"{name}.{node.name} has {(node.end_lineno or 0) - node.lineno + 1} lines")
    assert not wrong


def test_only_their_packages_know_runtimes_and_agents_by_name() -> None:
    homes: dict[str, tuple[str, str]] = {}  # a string or an identifier: (the runtime or agent that it names, its package)
    for name, kind in RUNTIMES.items():
        homes |= dict.fromkeys((repr(name), kind.__name__), (name, "engine.runtimes"))
    for name in AGENTS:
        homes |= dict.fromkeys((repr(name), name.upper()), (name, "engine.agents"))
    wrong = set()
    for module in modules():
        for word in words_of(module) & set(homes):
            named, package = homes[word]
            if not any(f"{module}.".startswith(f"{each}.") for each in {package} | NAMED.get(named, set())):
                wrong.add(f"{module} names {named}")
    assert not wrong


def words_of(module: str) -> set[str]:
    """Identifiers, and strings as repr() has them."""
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(repr(node.value))
        elif isinstance(node, ast.Name | ast.Attribute | ast.alias):
            found.add(node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else node.name.rpartition(".")[2])
    return found


def test_what_is_imported_inside_a_function_is_listed_with_its_reason() -> None:
    found: dict[str, set[str]] = {}
    for module in modules():
        for function in ast.walk(tree(module)):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.ImportFrom) and node.module:
                        found.setdefault(module, set()).add(node.module)
                    elif isinstance(node, ast.Import):
                        found.setdefault(module, set()).update(alias.name for alias in node.names)
    assert found == {module: set(reasons) for module, reasons in LATE.items()}


def test_every_agent_runtime_and_package_is_documented() -> None:
    agents, settings = ((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("agents", "configuration"))
    wrong = {f"docs/agents.md has no row for {name}" for name in AGENTS if f"| `{name}` |" not in agents}
    wrong |= {f"docs/configuration.md does not say what the runtime {name} is" for name in RUNTIMES if f"- **{name}**: " not in settings}
    wrong |= {f"{name} is no room of PACKAGES, which the table of docs/architecture.md is held to" for name, path in modules().items()
              if path.name == "__init__.py" and name.count(".") == 1 and name not in PACKAGES}
    assert not wrong


def test_every_key_of_a_card_is_documented_and_on_the_page_that_takes_its_json() -> None:
    card = json.loads((ROOT / "hitl" / "card" / "spec_card.schema.json").read_text(encoding="utf-8"))
    keys = {*card["properties"], *card["$defs"]["feature"]["properties"]}
    documented = (ROOT / "docs" / "sessions.md").read_text(encoding="utf-8").partition("## The card")[2]
    shown = (ROOT / "hitl" / "templates" / "card" / "json.html").read_text(encoding="utf-8")
    wrong = {f"docs/sessions.md does not say what {key} is" for key in keys if f"`{key}`" not in documented}
    assert not wrong | {f"json.html does not say what {key} is" for key in keys if f"<code>{key}</code>" not in shown}


def test_each_test_file_can_be_run_alone() -> None:
    """None imports another: what they share is in tests/doubles."""
    wrong = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("test_") and node.module != "test_house":
                wrong.add(f"{path.relative_to(ROOT)} imports {node.module}")
    assert not wrong


def test_each_hop_of_a_card_names_the_next() -> None:
    documented = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    places = [documented.index(f"`{hop}`", documented.index("## From the button to the branch")) for hop in SPINE]
    assert places == sorted(places), "docs/architecture.md lists them in this order"
    for hop, following in pairwise(SPINE):
        docstring = ast.get_docstring(ast.parse((ROOT / hop).read_text(encoding="utf-8"))) or ""
        assert docstring.splitlines()[-1] == f"Next: {following}", hop
