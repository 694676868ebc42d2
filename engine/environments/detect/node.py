"""Packages of Node.js: the lock file, or the field packageManager, names the program that installs them."""
import re
from typing import Any, NamedTuple

from engine.environments.detect import tools
from engine.environments.detect.parts import WORK_TREE, Part, listed, missing, unused, used
from engine.environments.detect.versions import fits
from engine.environments.detect.view import View, mapping, string

LOCKS = {"package-lock.json": "npm", "npm-shrinkwrap.json": "npm", "pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun", "bun.lockb": "bun"}
FILES = ("package.json", *LOCKS)
# Packages that download a browser or a program when they are installed, from hosts that are in no set; the variable that says not to.
DOWNLOADS = {"puppeteer": ("PUPPETEER_SKIP_DOWNLOAD", "true"), "cypress": ("CYPRESS_INSTALL_BINARY", "0"), "electron": ("ELECTRON_SKIP_BINARY_DOWNLOAD", "1")}
_MANAGER = re.compile(r"(npm|pnpm|yarn|bun)@(\d+(?:\.\d+){0,2}(?:-[0-9A-Za-z.]{1,40})?)(?:\+[0-9A-Za-z.]{1,200})?")


class _Install(NamedTuple):
    """How one program installs. lacking: why it cannot."""

    command: str
    tool: tools.Tool = tools.Tool()
    hosts: tuple[str, ...] = ("npm",)
    env: tuple[tuple[str, str], ...] = ()


def detect(view: View) -> Part | None:
    if not view.has("package.json"):
        return None
    package = view.json("package.json")
    if not view.can("node"):
        return Part(found=(unused(view.at("package.json"), missing("node", "nodejs npm")),))
    manager, version = _manager(package)
    locks = [name for name in LOCKS if view.has(name)]
    lock = next((name for name in locks if LOCKS[name] == manager), locks[0] if locks and not manager else "")
    manager = manager or LOCKS.get(lock, "npm")
    install = _install(view, manager, version, lock)
    if install.tool.lacking:
        return Part(found=(unused(view.at(lock or "package.json"), install.tool.lacking),))
    skipped = [name for name in DOWNLOADS if any(name in mapping(package, kind) for kind in ("dependencies", "devDependencies"))]
    env = dict(install.env) | dict(DOWNLOADS[name] for name in skipped)
    return Part((*install.tool.commands, install.command), install.hosts, env, (f"{WORK_TREE}/{view.folder}node_modules/.bin", *install.tool.paths),
                (_taken(view, manager, lock, package), *_others(view, locks, lock, manager), *_engine(view, package), *_skipped(view, skipped)))


def _manager(package: dict[str, Any]) -> tuple[str, str]:
    """The program and the version in packageManager, or in devEngines; '' for none."""
    said = string(package.get("packageManager"))
    engine = mapping(package, "devEngines", "packageManager")
    matched = _MANAGER.fullmatch(said or f"{string(engine.get('name'))}@{string(engine.get('version'))}")
    if matched is None:
        name = said.partition("@")[0] or string(engine.get("name"))
        return (name, "") if name in ("npm", "pnpm", "yarn", "bun") else ("", "")
    return matched[1], "" if matched[1] == "npm" else matched[2]


def _install(view: View, manager: str, version: str, lock: str) -> _Install:
    if manager == "pnpm":
        return _Install("pnpm install --frozen-lockfile" if lock else "pnpm install --no-lockfile", tools.of_npm(view, "pnpm", version, default=_pnpm(view)))
    if manager == "yarn":
        return _yarn(view, version, bool(lock))
    if manager == "bun":
        return _Install("bun install --frozen-lockfile" if lock else "bun install --no-save", tools.of_npm(view, "bun", version))
    npm = tools.Tool() if view.can("npm") else tools.Tool(lacking=missing("npm"))
    return _Install("npm ci" if lock else "npm install --no-package-lock", npm)


def _pnpm(view: View) -> str:
    """The version of pnpm that wrote the lock file, as far as its format says."""
    written = re.search(r"^lockfileVersion: *'?(\d+)", view.text("pnpm-lock.yaml"), re.MULTILINE)
    by_format = {"5": "7", "6": "8", "9": "9"}.get(written[1] if written else "", "")
    workspace = view.text("pnpm-workspace.yaml")
    return "10" if by_format == "9" and workspace and not re.search(r"^packages:", workspace, re.MULTILINE) else by_format


def _yarn(view: View, version: str, locked: bool) -> _Install:
    """yarn 1, or a newer one: their lock files and options differ."""
    hosts = ("npm", "registry.yarnpkg.com")
    is_new = int(version.partition(".")[0]) > 1 if version else "__metadata:" in view.text("yarn.lock") or view.has(".yarnrc.yml")
    if not is_new:
        tool = tools.of_npm(view, "yarn", version, default="1.22.22")
        return _Install("yarn install --frozen-lockfile" if locked else "yarn install --no-lockfile", tool, hosts)
    # A yarn of this machine may be yarn 1, so the version is always named. It starts the one in .yarn/releases if .yarnrc.yml names that.
    release = re.search(r"^yarnPath: *\S*yarn-(\d+\.\d+\.\d+)\.[mc]?js", view.text(".yarnrc.yml"), re.MULTILINE)
    tool = tools.of_npm(view, "yarn", version or (release[1] if release else "4"), "@yarnpkg/cli-dist")
    return _Install("yarn install --immutable" if locked else "yarn install", tool, hosts, (("YARN_ENABLE_TELEMETRY", "0"),))


def _taken(view: View, manager: str, lock: str, package: dict[str, Any]) -> dict[str, Any]:
    members = " with those of its workspaces" if package.get("workspaces") or view.has("pnpm-workspace.yaml") else ""
    if lock:
        return used(view.at(lock), f"{manager} installs exactly its versions{members}.")
    return used(view.at("package.json"), f"{manager} installs its packages{members} in their newest fitting versions, because there is no lock file for it.")


def _others(view: View, locks: list[str], taken: str, manager: str) -> list[dict[str, Any]]:
    return [unused(view.at(name), f"{taken or 'package.json'} is used instead, by {manager}.") for name in locks if name != taken]


def _engine(view: View, package: dict[str, Any]) -> list[dict[str, Any]]:
    wanted, there = string(mapping(package, "engines").get("node"))[:60], view.version("node")
    if wanted and there and fits(wanted, there) is False:
        return [unused(view.at("package.json"), f"It asks for Node.js {wanted}, but sandboxes have this machine's {there}: install a fitting version on "
                                                "this machine, then look again.")]
    return []


def _skipped(view: View, names: list[str]) -> list[dict[str, Any]]:
    if not names:
        return []
    return [unused(view.at("package.json"), f"The download of {listed(names)} is skipped, because it comes from a host that is not in the list: "
                                            "remove its variable from env and add the host to hosts if you need it.")]
