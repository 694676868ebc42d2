"""What each kind of manifest makes of a repository: the exact steps, and what is said of each file."""
from typing import Any

import pytest
from tree import Files

from engine.environments.detect import Detection, detect

BIN, VENV, MODULES = "$HOME/.tools/bin", "$SWARM_WORK/repo/.venv", "$SWARM_WORK/repo/node_modules/.bin"
HOST = {"python3": "3.11.2", "python3.11": "3.11", "venv": "", "node": "20.19.0", "npm": ""}
PYTHON_ENV = {"VIRTUAL_ENV": VENV, "PATH": f"{VENV}/bin:$PATH"}
MAKE_VENV = "python3 -m venv .venv"


def of(files: dict[str, str], host: dict[str, str] | None = None) -> dict[str, Any]:
    return detect(Files(files), host).steps.as_json()


def why(detection: Detection, file: str, used: bool) -> str:
    return " ".join(each["why"] for each in detection.found if each["file"] == file and each["used"] is used)


def tool(name: str) -> str:
    """How a program of PyPI is installed where this machine lacks it."""
    return (f'python3 -m venv "$HOME/.tools/{name}" && "$HOME/.tools/{name}/bin/pip" install {name} && mkdir -p "{BIN}" && '
            f'ln -sf "../{name}/bin/{name}" "{BIN}/{name}"')


@pytest.mark.parametrize(("files", "setup", "hosts"), [
    ({"package.json": "{}"}, ["npm install --no-package-lock"], ["npm"]),
    ({"package.json": "{}", "package-lock.json": "{}"}, ["npm ci"], ["npm"]),
    ({"package.json": "{}", "npm-shrinkwrap.json": "{}"}, ["npm ci"], ["npm"]),
    ({"package.json": "{}", "pnpm-lock.yaml": "lockfileVersion: '6.0'\n"},
     ['npm install -g --prefix "$HOME/.tools" pnpm@8', "pnpm install --frozen-lockfile"], ["npm"]),
    ({"package.json": "{}", "pnpm-lock.yaml": "lockfileVersion: '9.0'\n", "pnpm-workspace.yaml": "onlyBuiltDependencies: []\n"},
     ['npm install -g --prefix "$HOME/.tools" pnpm@10', "pnpm install --frozen-lockfile"], ["npm"]),
    ({"package.json": '{"packageManager": "pnpm@9.15.4+sha512.abc"}', "pnpm-lock.yaml": ""},
     ['npm install -g --prefix "$HOME/.tools" pnpm@9.15.4', "pnpm install --frozen-lockfile"], ["npm"]),
    ({"package.json": "{}", "yarn.lock": "# yarn lockfile v1\n"},
     ['npm install -g --prefix "$HOME/.tools" yarn@1.22.22', "yarn install --frozen-lockfile"], ["npm", "registry.yarnpkg.com"]),
    ({"package.json": "{}", "yarn.lock": "__metadata:\n  version: 8\n"},
     ['npm install -g --prefix "$HOME/.tools" @yarnpkg/cli-dist@4', "yarn install --immutable"], ["npm", "registry.yarnpkg.com"]),
    ({"package.json": "{}", "yarn.lock": "__metadata:\n", ".yarnrc.yml": "yarnPath: .yarn/releases/yarn-3.6.1.cjs\n"},
     ['npm install -g --prefix "$HOME/.tools" @yarnpkg/cli-dist@3.6.1', "yarn install --immutable"], ["npm", "registry.yarnpkg.com"]),
    ({"package.json": "{}", "bun.lock": ""}, ['npm install -g --prefix "$HOME/.tools" bun', "bun install --frozen-lockfile"], ["npm"]),
])
def test_packages_of_node(files: dict[str, str], setup: list[str], hosts: list[str]) -> None:
    steps = of(files, HOST)
    assert (steps["setup"], steps["hosts"]) == (setup, hosts)
    assert steps["env"]["PATH"] == f"{MODULES}:{BIN}:$PATH" if len(setup) > 1 else f"{MODULES}:$PATH"


def test_the_package_manager_that_is_named_counts_more_than_another_lock_file() -> None:
    found = detect(Files({"package.json": '{"packageManager": "yarn@1.22.19"}', "package-lock.json": "{}", "yarn.lock": "# yarn lockfile v1\n"}), HOST)
    assert found.steps.setup == ('npm install -g --prefix "$HOME/.tools" yarn@1.22.19', "yarn install --frozen-lockfile")
    assert why(found, "package-lock.json", False) == "yarn.lock is used instead, by yarn."


def test_a_package_that_downloads_a_browser_is_told_not_to() -> None:
    found = detect(Files({"package.json": '{"devDependencies": {"puppeteer": "^22", "cypress": "13"}}', "package-lock.json": "{}"}))
    assert {**found.steps.env, "PATH": ""} == {"PUPPETEER_SKIP_DOWNLOAD": "true", "CYPRESS_INSTALL_BINARY": "0", "PATH": ""}
    assert "add the host to hosts" in why(found, "package.json", False)


@pytest.mark.parametrize(("files", "setup"), [
    ({"requirements.txt": "flask\n"}, [MAKE_VENV, ".venv/bin/pip install -r requirements.txt"]),
    ({"requirements.txt": "a\n", "requirements-dev.txt": "b\n", "requirements-docs.txt": "c\n"},
     [MAKE_VENV, ".venv/bin/pip install -r requirements.txt", ".venv/bin/pip install -r requirements-dev.txt"]),
    ({"requirements.txt": "a\n", "dev-requirements.txt": "-r requirements.txt\nb\n"}, [MAKE_VENV, ".venv/bin/pip install -r dev-requirements.txt"]),
    ({"requirements/base.txt": "a\n", "requirements/test.txt": "-r base.txt\n", "requirements/docs.txt": "c\n"},
     [MAKE_VENV, ".venv/bin/pip install -r requirements/test.txt"]),
    ({"requirements/base.txt": "a\n"}, [MAKE_VENV, ".venv/bin/pip install -r requirements/base.txt"]),
    ({"requirements.txt": "-e .[test]\n", "setup.py": ""}, [MAKE_VENV, ".venv/bin/pip install -r requirements.txt"]),
    ({"setup.py": "from setuptools import setup\nsetup(name='x', extras_require={'dev': ['y'], 'docs': []})\n"},
     [MAKE_VENV, ".venv/bin/pip install -e '.[dev]'"]),
    ({"setup.py": "", "setup.cfg": "[options.extras_require]\ntests =\n  pytest\nplot = x\n"}, [MAKE_VENV, ".venv/bin/pip install -e '.[tests]'"]),
    ({"pyproject.toml": "[project]\nname='x'\n[project.optional-dependencies]\ntest=['pytest']\n"}, [MAKE_VENV, ".venv/bin/pip install -e '.[test]'"]),
    ({"pyproject.toml": "[build-system]\nrequires=[]\n[dependency-groups]\ndev=['pytest']\ndocs=['sphinx']\n"},
     [MAKE_VENV, ".venv/bin/python -m pip install --upgrade pip", ".venv/bin/pip install --group dev", ".venv/bin/pip install -e ."]),
    ({"pyproject.toml": "[project]\nname='x'\n[tool.pytest.ini_options]\n"}, [MAKE_VENV, ".venv/bin/pip install -e .", ".venv/bin/pip install pytest"]),
    ({"uv.lock": "", "pyproject.toml": "[project]\nname='x'\n[dependency-groups]\ntests=[]\n[project.optional-dependencies]\ndev=[]\n"},
     [MAKE_VENV, tool("uv"), "uv sync --frozen --extra dev --group tests"]),
    ({"poetry.lock": "", "pyproject.toml": "[tool.poetry.dependencies]\npython='^3.9'\n[tool.poetry.group.test.dependencies]\n"},
     [MAKE_VENV, tool("poetry"), "poetry install --no-interaction --with test"]),
    ({"pyproject.toml": "[tool.poetry.dependencies]\npython='^3.9'\n"}, [MAKE_VENV, tool("poetry"), "poetry install --no-interaction"]),
    ({"pdm.lock": "", "pyproject.toml": "[project]\n"}, [MAKE_VENV, tool("pdm"), "pdm sync"]),
    ({"Pipfile.lock": "{}", "Pipfile": ""}, [MAKE_VENV, tool("pipenv"), "pipenv sync --dev"]),
    ({"pyproject.toml": "[tool.ruff]\nline-length = 100\n"}, None),
])
def test_packages_of_python(files: dict[str, str], setup: list[str] | None) -> None:
    steps = of(files, HOST)
    assert steps.get("setup") == setup
    if setup:
        assert steps["hosts"] == ["pypi"] and steps["env"]["VIRTUAL_ENV"] == VENV
        assert steps["env"]["PATH"] == (f"{VENV}/bin:{BIN}:$PATH" if "tools" in "".join(setup) else f"{VENV}/bin:$PATH")


def test_lists_that_include_each_other_are_installed_once() -> None:
    assert of({"requirements.txt": "-r requirements-dev.txt\n", "requirements-dev.txt": "-r requirements.txt\n"})["setup"][1:] == [
        ".venv/bin/pip install -r requirements.txt"]


def test_a_version_from_tags_and_packages_from_elsewhere_are_named() -> None:
    found = detect(Files({"pyproject.toml": "[build-system]\nrequires=['setuptools_scm[toml]>=8']\n",
                          "requirements.txt": "a @ git+https://token@git.example.org/a\n--extra-index-url https://u:p@pypi.example.com/simple\n-r gone.txt\n"}))
    assert "git tags" in why(found, "pyproject.toml", False) and "SETUPTOOLS_SCM_PRETEND_VERSION" in why(found, "pyproject.toml", False)
    assert why(found, "requirements.txt", False) == "It takes packages from git.example.org and pypi.example.com: add this to hosts."
    assert "not in the repository" in why(found, "gone.txt", False)


@pytest.mark.parametrize(("files", "setup", "hosts", "env"), [
    ({"go.mod": "module x\n"}, ["go mod download"], ["go"], {"GOPATH": "$HOME/go", "GOFLAGS": "-modcacherw", "PATH": "$HOME/go/bin:$PATH"}),
    ({"go.mod": "module x\n", "vendor/modules.txt": ""}, None, None, None),
    ({"Cargo.toml": "", "Cargo.lock": ""}, ["cargo fetch --locked"], ["crates"], {"CARGO_HOME": "$HOME/.cargo", "PATH": "$HOME/.cargo/bin:$PATH"}),
    ({"Cargo.toml": ""}, ["cargo fetch"], ["crates"], {"CARGO_HOME": "$HOME/.cargo", "PATH": "$HOME/.cargo/bin:$PATH"}),
    ({"Gemfile": "", "Gemfile.lock": ""}, ["BUNDLE_FROZEN=true bundle install"], ["rubygems"],
     {"BUNDLE_PATH": "$SWARM_WORK/repo/vendor/bundle", "PATH": "$SWARM_WORK/repo/bin:$PATH"}),
    ({"composer.json": "{}", "composer.lock": "{}"}, ["composer install --no-interaction --no-progress"],
     ["packagist", "api.github.com", "codeload.github.com"], {"COMPOSER_HOME": "$HOME/.composer", "PATH": "$SWARM_WORK/repo/vendor/bin:$PATH"}),
])
def test_packages_of_other_languages(files: dict[str, str], setup: list[str] | None, hosts: list[str] | None, env: dict[str, str] | None) -> None:
    steps = of(files)
    assert (steps.get("setup"), steps.get("hosts"), steps.get("env")) == (setup, hosts, env)


@pytest.mark.parametrize(("files", "last", "host"), [({"pom.xml": ""}, "mvn -B -ntp", "maven"), ({"build.gradle": "", "gradlew": ""}, "sh gradlew",
                                                                                                 "services.gradle.org"),
                                                     ({"build.gradle.kts": ""}, "gradle --no-daemon testClasses", "plugins.gradle.org")])
def test_the_jvm_compiles_once_without_tests(files: dict[str, str], last: str, host: str) -> None:
    steps = of(files)
    assert last in steps["setup"][-1] and host in steps["hosts"]


def test_a_program_that_is_missing_is_named_and_makes_no_step() -> None:
    files = Files({"go.mod": "", "Cargo.toml": "", "Gemfile": "", "composer.json": "{}", "pom.xml": "", "package.json": "{}", "requirements.txt": ""})
    found = detect(files, {"git": ""})
    assert found.steps.setup == ()
    for file, package in (("go.mod", "golang"), ("Cargo.toml", "cargo"), ("Gemfile", "ruby"), ("composer.json", "php-cli"), ("pom.xml", "default-jdk"),
                          ("package.json", "nodejs"), ("requirements.txt", "python3-venv")):
        assert f"apt-get install {package}" in why(found, file, False), file


@pytest.mark.parametrize(("file", "text", "used", "words"), [
    (".python-version", "3.11\n", True, "this machine has 3.11.2"), (".python-version", "3.13.1\n", False, "install 3.13.1 on this machine"),
    (".nvmrc", "lts/iron\n", True, "this machine has 20.19.0"), (".nvmrc", "v18.20\n", False, "sandboxes have this machine's 20.19.0"),
    (".node-version", "20", True, "20.19.0"), (".ruby-version", "3.3.0", False, "this machine has no Ruby"),
    (".tool-versions", "# x\nnodejs 22.1.0\nterraform 1.5\n", False, "Node.js 22.1.0"), (".tool-versions", "terraform 1.5\n", False, "is not looked for"),
    ("mise.toml", "[tools]\npython = '3.11'\n", True, "3.11.2"), ("mise.toml", "[tools]\nnode = {version = '18'}\n", False, "Node.js 18"),
    ("rust-toolchain.toml", "[toolchain]\nchannel = '1.80'\n", False, "this machine has no Rust"),
])
def test_a_pinned_interpreter_is_compared_with_this_machines(file: str, text: str, used: bool, words: str) -> None:
    assert words in why(detect(Files({file: text}), HOST), file, used)


def test_another_python_of_this_machine_is_used_where_it_is_the_right_one() -> None:
    host = {**HOST, "python3.12": "3.12", "python3.13": "3.13"}
    assert of({".python-version": "3.12", "requirements.txt": ""}, host)["setup"][0] == "python3.12 -m venv .venv"
    assert of({"pyproject.toml": "[project]\nrequires-python='>=3.12,<4'\n"}, host)["setup"][0] == "python3.13 -m venv .venv"
    found = detect(Files({"pyproject.toml": "[project]\nrequires-python='>=3.14'\n"}), host)
    assert found.steps.setup == () and "asks for Python >=3.14, but this machine has 3.11.2" in why(found, "pyproject.toml", False)


def test_node_that_does_not_fit_its_engine_is_named() -> None:
    assert "asks for Node.js >=22" in why(detect(Files({"package.json": '{"engines": {"node": ">=22"}}'}), HOST), "package.json", False)
    for fitting in (">=18", "^20.9.0 || >=22", "20.x", "18 || 20", "*", ">= 16 < 21", "16 - 20"):
        assert not why(detect(Files({"package.json": f'{{"engines": {{"node": "{fitting}"}}}}'}), HOST), "package.json", False), fitting


def test_what_no_environment_honours_is_named_with_the_way_round() -> None:
    found = detect(Files({".gitmodules": '[submodule "x"]\n\tpath = lib/x\n\turl = https://git.example.org/x.git\n',
                          ".gitattributes": "*.png filter=lfs diff=lfs -text\n",
                          "Dockerfile": "FROM x\n", "docker-compose.yml": "services:\n  db:\n    image: postgres\n  cache: {}\n",
                          ".npmrc": "@own:registry=https://npm.example.com/\n//npm.example.com/:_authToken=${NPM_TOKEN}\n",
                          ".yarnrc.yml": "npmRegistryServer: https://yarn.example.com\n", "pip.conf": "[global]\nindex-url = https://pip.example.com/simple\n",
                          "mix.exs": "", "App.csproj": ""}))
    assert found.steps.as_json() == {} and not any(each["used"] for each in found.found)
    for file, words in {".gitmodules": "lib/x may be missing in sandboxes: add the step git submodule update --init and git.example.org to hosts",
                        ".gitattributes": "*.png",
                        "Dockerfile": "on this machine",
                        "docker-compose.yml": "Its services (db and cache) are not started: write those that checks need in the services",
                        ".npmrc": "npm.example.com: add this to hosts, and NPM_TOKEN to secrets", ".yarnrc.yml": "yarn.example.com",
                        "pip.conf": "pip.example.com",
                        "mix.exs": "Elixir", "App.csproj": ".NET"}.items():
        assert words in why(found, file, False), file


def test_folders_below_the_top_one_are_used_where_it_has_none() -> None:
    files = {"api/requirements.txt": "", "web ui/package.json": "{}", "web ui/package-lock.json": "{}", "docs/requirements.txt": "",
             "examples/package.json": "{}"}
    steps = of(files)
    assert steps["setup"] == ["cd api && python3 -m venv .venv", "cd api && .venv/bin/pip install -r requirements.txt", "cd 'web ui' && npm ci"]
    assert steps["env"] == {"VIRTUAL_ENV": "$SWARM_WORK/repo/api/.venv",
                            "PATH": "$SWARM_WORK/repo/api/.venv/bin:$SWARM_WORK/repo/web ui/node_modules/.bin:$PATH"}
    found = detect(Files({**files, "go.mod": ""}))
    assert found.steps.setup == ("go mod download",)
    assert "cd 'web ui'" in why(found, "web ui/package.json", False) and "cd api" in why(found, "api/requirements.txt", False)
