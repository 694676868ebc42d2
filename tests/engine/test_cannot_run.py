"""What a failed check at the base means: the program or a package is missing, or the base does not have yet what the work will bring."""
import json

import pytest

from engine.environments.cannot_run import Base, why_cannot_run
from engine.environments.manifests import is_named, named


class Files(dict):
    """A tree in memory."""

    def names(self) -> list[str]:
        return list(self)

    def read(self, path: str) -> str | None:
        return self.get(path)


PYTHON = Files({"pyproject.toml": '[project]\nname = "berths"\ndependencies = ["requests>=2", "PyYAML", "Flask-SQLAlchemy"]\n'
                                  '[dependency-groups]\ndev = ["pytest"]\n',
                "requirements-dev.txt": "# tools\nruff==1.0\n-r other.txt\nclick ; python_version > '3'\n", "run.sh": "#!/opt/none\n", "tool.sh": "echo\n"})
NODE = Files({"package.json": json.dumps({"name": "berths", "dependencies": {"express": "^4"}, "devDependencies": {"@scope/lib": "1", "vitest": "1"}})})
CASES = [
    # the program of the command
    (127, "sh: 1: frobnicate: not found", "frobnicate", {}, True), (127, "bash: line 1: frobnicate: command not found", "frobnicate", {}, True),
    (127, "env: ‘frobnicate’: No such file or directory", "env frobnicate", {}, True), (127, "/in/check-1: 3: make: not found", "make test", {}, True),
    (127, "timeout: failed to run command ‘frobnicate’: No such file or directory", "timeout 9 frobnicate", {}, True),
    (127, "> test\n> vitest run\n\nsh: 1: vitest: not found", "npm test", NODE, True),
    (127, "sh: 1: /opt/tools/lint: not found", "/opt/tools/lint", {}, True), (126, "sh: 1: /opt/tools/lint: Permission denied", "/opt/tools/lint", {}, True),
    (127, "", "frobnicate 2> /dev/null", {}, True), (127, "/in/check-1: 1: .venv/bin/pytest: not found", ".venv/bin/pytest", {}, True),
    (127, "sh: 1: ./run.sh: not found", "./run.sh", PYTHON, True),  # it is there, and its interpreter is not
    # a path that the base does not have yet, or may become executable
    (127, "sh: 1: ./scripts/new.sh: not found", "./scripts/new.sh", PYTHON, False),
    (127, "bash: tests/new.sh: No such file or directory", "bash tests/new.sh", {}, False),
    (127, "bash: new.sh: No such file or directory", "bash new.sh", {}, False), (2, "sh: 0: cannot open new.sh: No such file", "sh new.sh", {}, False),
    (126, "sh: 1: ./tool.sh: Permission denied", "./tool.sh", PYTHON, False), (127, "", "./new.sh 2> /dev/null", {}, False),
    (127, "/in/check-1: 1: /work/repo/new: not found", "$PWD/new", {}, False),
    (2, "make: frobnicate: No such file or directory\nmake: *** [Makefile:2: test] Error 127", "make test", {}, False),
    (1, "cat: frobnicate: No such file or directory", "cat frobnicate", {}, False),
    # an import of a package that a manifest names
    (1, "ModuleNotFoundError: No module named 'requests'", "python3 x.py", PYTHON, True),
    (1, "/usr/bin/python3: No module named pytest", "python3 -m pytest", PYTHON, True),
    (2, "E   ModuleNotFoundError: No module named 'yaml'\n1 error in 0.1s", "pytest", PYTHON, True),
    (1, "No module named 'flask_sqlalchemy'", "pytest", PYTHON, True), (1, "No module named 'click'", "pytest", PYTHON, True),
    (1, "Error: Cannot find module 'express'\nRequire stack:", "node x.js", NODE, True),
    (1, "Error [ERR_MODULE_NOT_FOUND]: Cannot find package '@scope/lib' imported from /work/repo/m.mjs", "node m.mjs", NODE, True),
    (1, "Cannot find module 'express/lib/router'", "node x.js", NODE, True),
    (1, "cannot load such file -- rack", "ruby x.rb", Files({"Gemfile": "gem 'rack'\n"}), True),
    (1, 'a.go:4:2: github.com/pkg/errors@v0.9.1: Get "https://proxy.golang.org/x": dial tcp', "go test",
     Files({"go.mod": "require github.com/pkg/errors v0.9.1\n"}), True),
    (101, "error: no matching package named `serde` found", "cargo test", Files({"Cargo.toml": '[dependencies]\nserde = "1"\n'}), True),
    # a module that the base does not have yet, or that nobody names
    (1, "No module named 'berths.waitlist'", "pytest", PYTHON, False), (1, "No module named 'waitlist'", "pytest", PYTHON, False),
    (1, "No module named 'requests.newthing'", "pytest", PYTHON, False), (1, "Cannot find module './waitlist'", "node x.js", NODE, False),
    (1, "Cannot find module '/work/repo/src/waitlist.js'", "node x.js", NODE, False), (1, "Cannot find module 'lodash'", "node x.js", NODE, False),
    (1, "No module named pytest", "python3 -m pytest", {}, False), (None, "No module named 'requests'", "pytest", PYTHON, False),
    (1, "no required module provides package github.com/pkg/errors; to add it:", "go test", Files({"go.mod": "module x\n"}), False),
    (1, "assert 1 == 2", "pytest", PYTHON, False),
]


@pytest.mark.parametrize(("exit", "output", "command", "files", "cannot"), CASES, ids=[f"{case[0]} {case[1][-40:]}" for case in CASES])
def test_cannot_run_is_a_missing_program_or_a_named_package_alone(exit: int | None, output: str, command: str, files: dict, cannot: bool) -> None:
    why = why_cannot_run(Base(Files(files)), exit, output, command)
    assert bool(why) == cannot, why


def test_every_kind_of_manifest_names_its_packages() -> None:
    files = Files({
        "a/pyproject.toml": '[tool.poetry.dependencies]\nattrs = "1"\n[tool.poetry.group.dev.dependencies]\nmypy = "1"\n'
                            '[project.optional-dependencies]\nx = ["rich"]\n',
        "setup.cfg": "[options]\ninstall_requires =\n    flask\n    jinja2>3\n[options.extras_require]\ntest = tox\n",
        "setup.py": "setup(install_requires=['numpy>1'], extras_require={'x': ['scipy']})", "Pipfile": '[packages]\nboto3 = "*"\n',
        "requirements/base.txt": "celery[redis]\n", "web/package.json": '{"optionalDependencies": {"fsevents": "1"}}',
        "x.gemspec": "s.add_dependency 'rails'\n",
        "go.mod": "require (\n\tgithub.com/a/b v1.0.0\n)\n", "Cargo.toml": '[workspace.dependencies]\ntokio = "1"\n',
        "composer.json": '{"require-dev": {"a/b": "1"}}',
        "node_modules/x/package.json": '{"dependencies": {"hidden": "1"}}'})
    assert named(files) == {"attrs", "mypy", "rich", "flask", "jinja2", "tox", "numpy", "scipy", "boto3", "celery", "fsevents", "rails", "github.com/a/b",
                            "tokio", "a/b"}


@pytest.mark.parametrize("path", ["pyproject.toml", "package.json", "setup.py", "setup.cfg", "Cargo.toml", "composer.json", "Pipfile"])
def test_a_manifest_that_does_not_parse_names_nothing(path: str) -> None:
    for text in ("{[", "[]", "null", '{"dependencies": 3}', "dependencies = 3", "(" * 5000):
        assert named(Files({path: text, "requirements.txt": "flask"})) == {"flask"}


def test_a_namespace_package_is_known_by_its_beginning() -> None:
    assert is_named("google.cloud", frozenset({"google-cloud-storage"})) and not is_named("google.new", frozenset({"google-cloud-storage"}))
