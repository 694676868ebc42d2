"""What is proposed works: real packages are installed in a sandbox, and checks use them without a network."""
from collections.abc import Iterator
from pathlib import Path

import pytest
from registry import require_registry, set_up, stand
from runner_bench import Bench, bench_of, log_of

pytestmark = pytest.mark.registry
IS_NUMBER = "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng=="


@pytest.fixture()
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from bench_of("bubblewrap", tmp_path)


def test_a_python_project_whose_version_comes_from_tags(bench: Bench) -> None:
    require_registry("pypi")
    made, folder = set_up(bench, {
        "pyproject.toml": "[build-system]\nrequires = ['setuptools>=64', 'setuptools-scm>=8']\nbuild-backend = 'setuptools.build_meta'\n"
                          "[project]\nname = 'greet'\ndynamic = ['version']\ndependencies = ['iniconfig']\n"
                          "[project.optional-dependencies]\ntest = ['pytest']\n[tool.setuptools]\npackages = ['greet']\n[tool.setuptools_scm]\n",
        "greet/__init__.py": "import iniconfig\nWORD = 'hello'\n", ".gitignore": ".venv\n*.egg-info\n__pycache__\n",
        "tests/test_greet.py": "import greet\n\ndef test_word():\n    assert greet.WORD == 'hello'\n"})
    assert made.outcome == "ok", (made.reason, log_of(folder))
    assert stand(bench, made, "pytest -q", "python -c 'import greet, iniconfig'", "test \"$(command -v pytest)\" = \"$SWARM_WORK/repo/.venv/bin/pytest\"",
                 "git status --porcelain --untracked-files=all | grep -v done.txt | (! grep .)") == [True] * 4


def test_a_node_project_with_a_lock_file(bench: Bench) -> None:
    require_registry("npm")
    made, folder = set_up(bench, {
        "package.json": '{"name": "greet", "version": "1.0.0", "dependencies": {"is-number": "7.0.0"}, "scripts": {"test": "node test.js"}}',
        "package-lock.json": '{"name": "greet", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {"": {"name": "greet", "version": '
                             '"1.0.0", "dependencies": {"is-number": "7.0.0"}}, "node_modules/is-number": {"version": "7.0.0", "resolved": '
                             f'"https://registry.npmjs.org/is-number/-/is-number-7.0.0.tgz", "integrity": "{IS_NUMBER}"}}}}}}',
        "test.js": "process.exit(require('is-number')(5) ? 0 : 1)\n", ".gitignore": "node_modules\n"})
    assert made.outcome == "ok", (made.reason, log_of(folder))
    assert stand(bench, made, "npm test", "node -e \"require('is-number')\"") == [True] * 2


def test_programs_that_this_machine_lacks_are_installed_with_the_packages(bench: Bench) -> None:
    require_registry("npm", "pypi")
    made, folder = set_up(bench, {
        "package.json": '{"name": "web", "packageManager": "pnpm@9.15.4", "dependencies": {"is-number": "7.0.0"}, "scripts": {"test": "node test.js"}}',
        "pnpm-lock.yaml": "lockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    dependencies:\n"
                          "      is-number:\n        specifier: 7.0.0\n        version: 7.0.0\n\n"
                          f"packages:\n\n  is-number@7.0.0:\n    resolution: {{integrity: {IS_NUMBER}}}\n    engines: {{node: '>=0.12.0'}}\n\n"
                          "snapshots:\n\n  is-number@7.0.0: {}\n",
        "test.js": "process.exit(require('is-number')(5) ? 0 : 1)\n", ".gitignore": "node_modules\n.venv\n",
        "pyproject.toml": "[project]\nname = 'api'\nversion = '1.0'\nrequires-python = '>=3.11'\n",
        "uv.lock": 'version = 1\nrevision = 2\nrequires-python = ">=3.11"\n\n[[package]]\nname = "api"\nversion = "1.0"\nsource = { virtual = "." }\n'})
    assert made.outcome == "ok", (made.reason, log_of(folder))
    assert stand(bench, made, "pnpm test", "uv run --frozen python -c 'import sys; assert \".venv\" in sys.prefix'") == [True] * 2
