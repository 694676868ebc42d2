"""Repositories as people lay them out: small trees of our own in the shape of well-known projects."""
from typing import Any

import pytest
from tree import Files

from engine.environments.detect import detect

HOST = {"python3": "3.11.2", "python3.11": "3.11", "venv": "", "node": "20.19.0", "npm": "", "go": "1.22.0", "rustc": "1.75.0", "cargo": "", "ruby": "3.3.0",
        "bundle": "", "php": "8.2.7", "composer": ""}
VENV, MAKE_VENV = "$SWARM_WORK/repo/.venv", "python3 -m venv .venv"
UV = ('python3 -m venv "$HOME/.tools/uv" && "$HOME/.tools/uv/bin/pip" install uv && mkdir -p "$HOME/.tools/bin" && '
      'ln -sf "../uv/bin/uv" "$HOME/.tools/bin/uv"')

# {name: (files, setup, hosts, part of PATH, words that are said of what is not used)}
LAYOUTS: dict[str, tuple[dict[str, str], list[str], list[str], str, list[str]]] = {
    "a library with uv, as click": (
        {"pyproject.toml": "[project]\nname='x'\nrequires-python='>=3.10'\n[build-system]\nrequires=['flit_core<4']\n[dependency-groups]\ndev=['ruff']\n"
                           "docs=['sphinx']\ntests=['pytest']\ntyping=['mypy']\n[tool.uv]\ndefault-groups=['dev']\n[tool.pytest.ini_options]\n",
         "uv.lock": "version = 1\n",
         ".devcontainer/devcontainer.json": '{"image": "mcr.example.com/python", "onCreateCommand": ".devcontainer/on-create-command.sh"}',
         ".devcontainer/on-create-command.sh": "", "docs/conf.py": "", "examples/aliases/pyproject.toml": "[project]\n", "tox.ini": ""},
        [".devcontainer/on-create-command.sh"], ["pypi"], f"{VENV}/bin", ["Its image mcr.example.com/python is not used", "are used instead"]),
    "a library with groups and no lock file, as older click": (
        {"pyproject.toml": "[project]\nname='x'\n[build-system]\nrequires=['flit_core<4']\n[tool.pytest.ini_options]\n",
         "requirements/dev.txt": "-r tests.txt\n",
         "requirements/tests.txt": "pytest\n", "requirements/docs.txt": "sphinx\n", "requirements/build.txt": "build\n", "tox.ini": ""},
        [MAKE_VENV, ".venv/bin/pip install -r requirements/dev.txt", ".venv/bin/pip install -e ."], ["pypi"], f"{VENV}/bin", ["environments of tox",
                                                                                                                              "Its name does not"]),
    "a framework with uv, as flask": (
        {"pyproject.toml": "[project]\nname='x'\n[project.optional-dependencies]\nasync=[]\ndotenv=[]\n[dependency-groups]\ndev=[]\ntests=[]\ndocs=[]\n",
         "uv.lock": "version = 1\n", "examples/tutorial/pyproject.toml": "[project]\n"},
        [MAKE_VENV, UV, "uv sync --frozen --group dev --group tests"], ["pypi"], "$HOME/.tools/bin", []),
    "a Node library without a lock file, as express": (
        {"package.json": '{"name": "x", "engines": {"node": ">= 18"}, "devDependencies": {"mocha": "10"}}', ".npmrc": "package-lock=false\n", "lib/x.js": ""},
        ["npm install --no-package-lock"], ["npm"], "$SWARM_WORK/repo/node_modules/.bin", []),
    "a pnpm workspace, as date-fns": (
        {"package.json": '{"name": "x", "private": true, "devDependencies": {"playwright": "1"}}', "pnpm-lock.yaml": "lockfileVersion: '9.0'\n",
         "pnpm-workspace.yaml": "packages:\n  - pkgs/*\n", "pkgs/core/package.json": "{}", "mise.toml": "[tools]\nnode = '24'\npnpm = '9'\n"},
        ['npm install -g --prefix "$HOME/.tools" pnpm@9', "pnpm install --frozen-lockfile"], ["npm"], "$HOME/.tools/bin",
        ["asks for Node.js 24, but sandboxes have this machine's 20.19.0", "asks for pnpm 9, which is not looked for"]),
    "a Go library, as cobra": (
        {"go.mod": "module example.org/x\n\ngo 1.15\n", "go.sum": "", "Makefile": "test:\n\tgo test ./...\n", "doc/x.go": ""},
        ["go mod download"], ["go"], "$HOME/go/bin", []),
    "a Rust workspace, as ripgrep": (
        {"Cargo.toml": "[package]\nname='x'\nrust-version='1.85'\n[workspace]\nmembers=['crates/core']\n", "Cargo.lock": "", "crates/core/Cargo.toml": "",
         "build.rs": "",
         "ci/docker/README.md": ""},
        ["cargo fetch --locked"], ["crates"], "$HOME/.cargo/bin", ["asks for Rust 1.85, but sandboxes have this machine's 1.75.0"]),
    "a Rails application": (
        {"Gemfile": "source 'https://rubygems.org'\nruby '3.3.0'\ngem 'rails'\n", "Gemfile.lock": "GEM\n", ".ruby-version": "ruby-3.3.0\n",
         "package.json": "{}",
         "yarn.lock": "# yarn lockfile v1\n", "bin/rails": "", "Dockerfile": "FROM x\n", "docker-compose.yml": "services:\n  db: {image: postgres}\n"},
        ['npm install -g --prefix "$HOME/.tools" yarn@1.22.22', "yarn install --frozen-lockfile", "BUNDLE_FROZEN=true bundle install"],
        ["npm", "registry.yarnpkg.com", "rubygems"], "$SWARM_WORK/repo/bin", ["Its services (db) are not started", "Sandboxes are not made of it"]),
    "a Laravel application": (
        {"composer.json": '{"require": {"php": "^8.2"}}', "composer.lock": "{}", "package.json": '{"devDependencies": {"vite": "6"}}',
         "package-lock.json": "{}",
         "artisan": "", ".env.example": ""},
        ["npm ci", "composer install --no-interaction --no-progress"], ["npm", "packagist", "api.github.com", "codeload.github.com"],
        "$SWARM_WORK/repo/vendor/bin", []),
    "an application in two folders": (
        {"backend/requirements.txt": "flask\n", "backend/requirements-dev.txt": "pytest\n", "frontend/package.json": "{}", "frontend/package-lock.json": "{}",
         "README.md": ""},
        ["cd backend && python3 -m venv .venv", "cd backend && .venv/bin/pip install -r requirements.txt",
         "cd backend && .venv/bin/pip install -r requirements-dev.txt",
         "cd frontend && npm ci"], ["pypi", "npm"], "$SWARM_WORK/repo/backend/.venv/bin:$SWARM_WORK/repo/frontend/node_modules/.bin", []),
    "an application of Django with pinned Python": (
        {"requirements.txt": "django\n", "manage.py": "", "runtime.txt": "python-3.11.9\n", "Procfile": ""},
        [MAKE_VENV, ".venv/bin/pip install -r requirements.txt"], ["pypi"], f"{VENV}/bin", []),
    "a library of C": ({"Makefile": "", "CMakeLists.txt": "", "x.c": "", "tests/CMakeLists.txt": ""}, [], [], "", []),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_set_up_as_its_people_do(name: str) -> None:
    files, setup, hosts, path, words = LAYOUTS[name]
    found = detect(Files(files), HOST)
    steps: dict[str, Any] = found.steps.as_json()
    assert (steps.get("setup", []), steps.get("hosts", [])) == (setup, hosts)
    assert path in steps.get("env", {}).get("PATH", "")
    said = "\n".join(each["why"] for each in found.found if not each["used"])
    for word in words:
        assert word in said
    if not words:
        assert not said, said
