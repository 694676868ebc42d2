"""The packages that a repository's manifests name, and whether a failed import is one of them. Nothing of the repository runs."""
import ast
import configparser
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from engine.environments.detect.parts import Tree

MOST = 200  # manifests that are read
# An import whose name is not that of its package.
OTHER_NAMES = {
    "attr": "attrs", "bs4": "beautifulsoup4", "bson": "pymongo", "cv2": "opencv-python", "crypto": "pycryptodome", "dateutil": "python-dateutil",
    "docx": "python-docx", "dotenv": "python-dotenv", "fitz": "pymupdf", "git": "gitpython", "googleapiclient": "google-api-python-client",
    "jose": "python-jose", "jwt": "pyjwt", "ldap": "python-ldap", "magic": "python-magic", "markdown": "markdown", "mysqldb": "mysqlclient",
    "openssl": "pyopenssl", "pil": "pillow", "pkg-resources": "setuptools", "psycopg2": "psycopg2-binary", "serial": "pyserial",
    "skimage": "scikit-image", "sklearn": "scikit-learn", "slugify": "python-slugify", "socks": "pysocks", "usb": "pyusb", "websocket": "websocket-client",
    "yaml": "pyyaml", "zmq": "pyzmq"}
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def named(tree: Tree) -> frozenset[str]:
    """Names of all packages that the manifests of a tree depend on: 'flask', '@scope/name', 'github.com/owner/name'."""
    found: set[str] = set()
    paths = [path for path in tree.names() if "node_modules/" not in path and _reader(path) is not None]
    for path in sorted(paths, key=lambda path: path.count("/"))[:MOST]:
        text, reader = tree.read(path), _reader(path)
        try:
            found.update(reader(text) if text and reader else ())
        except (ValueError, TypeError, AttributeError, SyntaxError, RecursionError, configparser.Error):
            continue  # a manifest that does not parse names nothing
    return frozenset(found)


def is_named(module: str, packages: frozenset[str]) -> bool:
    """True if a module that could not be imported comes from one of these packages. module: as the error names it."""
    if module in packages:
        return True
    if "/" in module:  # @scope/name/file, name/file, host/owner/name/folder
        parts = module.split("/")
        return any("/".join(parts[:n]) in packages for n in range(1, len(parts)))
    name = plain(module)
    if name in packages or OTHER_NAMES.get(name) in packages:
        return True
    return "." in module and any(package.startswith(f"{name}-") for package in packages)  # google.cloud is of google-cloud-storage


def _reader(path: str) -> Callable[[str], Iterable[str]] | None:
    name = path.rpartition("/")[2]
    if re.fullmatch(r"(?:.*[-_.])?requirements.*\.(?:txt|in)", name) or (name.endswith((".txt", ".in")) and "requirements/" in path):
        return _requirements
    if name.endswith(".gemspec"):
        return _gems
    return _READERS.get(name)


def _requirements(text: str) -> Iterator[str]:
    for line in text.splitlines():
        match = _REQUIREMENT.match(line)
        if match and not line.lstrip().startswith(("#", "-")):
            yield plain(match[1])


def _names(items: Any) -> Iterator[str]:
    """Of a list of requirements, or of a table by name."""
    for item in items if isinstance(items, list | dict) else ():
        match = _REQUIREMENT.match(item) if isinstance(item, str) else None
        if match:
            yield plain(match[1])


def _pyproject(text: str) -> Iterator[str]:
    whole = tomllib.loads(text)
    project, tool = whole.get("project", {}), whole.get("tool", {})
    yield from _names(project.get("dependencies"))
    yield from _names(whole.get("build-system", {}).get("requires"))
    poetry = tool.get("poetry", {})
    for group in (*project.get("optional-dependencies", {}).values(), *whole.get("dependency-groups", {}).values(), poetry.get("dependencies"),
                  poetry.get("dev-dependencies"), *(each.get("dependencies") for each in poetry.get("group", {}).values()),
                  tool.get("uv", {}).get("dev-dependencies"), *tool.get("pdm", {}).get("dev-dependencies", {}).values()):
        yield from _names(group)


def _setup_cfg(text: str) -> Iterator[str]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    for section, keys in (("options", ("install_requires", "tests_require", "setup_requires")), ("options.extras_require", None)):
        if parser.has_section(section):
            for key in keys if keys else parser.options(section):
                yield from _requirements(parser.get(section, key, fallback=""))


def _setup_py(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.keyword) and node.arg and node.arg.endswith(("_requires", "_require")):
            values = node.value.values if isinstance(node.value, ast.Dict) else [node.value]
            for each in (part for value in values for part in ast.walk(value)):
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    yield from _requirements(each.value)


def _pipfile(text: str) -> Iterator[str]:
    whole = tomllib.loads(text)
    for section in ("packages", "dev-packages"):
        yield from _names(whole.get(section))


def _package_json(text: str) -> Iterator[str]:
    whole = json.loads(text)
    for section in ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies"):
        yield from whole.get(section) or ()


def _gems(text: str) -> Iterator[str]:
    return (plain(match[1]) for match in re.finditer(r"""(?:^|\W)(?:gem|add_(?:runtime_|development_)?dependency)[\s(]+['"]([^'"]+)['"]""", text))


def _go_mod(text: str) -> Iterator[str]:
    return (match[1] for match in re.finditer(r"^\s*(?:require\s+)?([\w.-]+\.[\w-]+/\S+)\s+v\d", text, re.MULTILINE))


def _cargo(text: str) -> Iterator[str]:
    whole = tomllib.loads(text)
    for table in (whole, whole.get("workspace", {}), *whole.get("target", {}).values()):
        for section in ("dependencies", "dev-dependencies", "build-dependencies"):
            yield from map(plain, table.get(section, {}))


def _composer(text: str) -> Iterator[str]:
    whole = json.loads(text)
    for section in ("require", "require-dev"):
        yield from whole.get(section) or ()


_READERS: dict[str, Callable[[str], Iterable[str]]] = {
    "pyproject.toml": _pyproject, "setup.cfg": _setup_cfg, "setup.py": _setup_py, "Pipfile": _pipfile, "package.json": _package_json, "Gemfile": _gems,
    "go.mod": _go_mod, "Cargo.toml": _cargo, "composer.json": _composer}
