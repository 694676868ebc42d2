"""What a repository has, and no environment honours by itself: each is named with the way round."""
import re
from typing import Any

from engine.environments.detect.parts import listed, unused
from engine.environments.detect.view import View, mapping, string

# {pattern of a file in the top folder: what it is for} of manifests for which no steps are known
UNKNOWN = {"environment.yml": "conda", "environment.yaml": "conda", "mix.exs": "Elixir", "deno.json": "Deno", "deno.jsonc": "Deno", "pubspec.yaml": "Dart",
           "stack.yaml": "Haskell", "Package.swift": "Swift", "build.sbt": "Scala", "project.clj": "Clojure", "flake.nix": "Nix", "shell.nix": "Nix",
           "conanfile.txt": "Conan", "conanfile.py": "Conan", "vcpkg.json": "vcpkg", "global.json": ".NET", "Project.toml": "Julia", "rebar.config": "Erlang",
           "dune-project": "OCaml", "cpanfile": "Perl"}
FILES = (".gitmodules", ".gitattributes", "Dockerfile", "docker-compose.yml", ".npmrc", ".yarnrc.yml", "pip.conf", ".cargo/config.toml", *UNKNOWN)
COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_URL = re.compile(r"https?://(?:[^@/\s\"']{1,200}@)?([A-Za-z0-9][A-Za-z0-9.-]{0,252})")
_SECRET = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]{0,99})[-}?]?")
_PUBLIC = ("registry.npmjs.org", "registry.yarnpkg.com", "pypi.org", "files.pythonhosted.org", "crates.io", "index.crates.io", "static.crates.io",
           "github.com")


def detect(view: View) -> list[dict[str, Any]]:
    return [*_git(view), *_containers(view), *_registries(view), *_unknown(view)]


def _git(view: View) -> list[dict[str, Any]]:
    found = []
    if paths := re.findall(r"^[ \t]*path[ \t]*=[ \t]*(\S.{0,200})$", view.text(".gitmodules"), re.MULTILINE):
        hosts = list(dict.fromkeys(_URL.findall(view.text(".gitmodules"))))
        found.append(unused(view.at(".gitmodules"), f"The submodules {listed(paths)} may be missing in sandboxes: add the step git submodule update --init"
                                                    f"{f' and {listed(hosts)} to hosts' if hosts else ''} if checks need them."))
    if patterns := re.findall(r"^[ \t]*(\S{1,200})[ \t].*\bfilter=lfs\b", view.text(".gitattributes"), re.MULTILINE):
        found.append(unused(view.at(".gitattributes"), f"Files of Git LFS ({listed(patterns)}) may be pointers in sandboxes: install git-lfs on this machine "
                                                       "if checks need them."))
    return found


def _containers(view: View) -> list[dict[str, Any]]:
    found = [unused(view.at(name), "Sandboxes are not made of it: install the programs that it installs on this machine, and add the rest as steps.")
             for name in view.names() if name in ("Dockerfile", "Containerfile") or name.startswith("Dockerfile.")][:5]
    for name in COMPOSE:
        if view.has(name):
            services = [service for service in mapping(view.yaml(name), "services") if service]
            which = f"Its services ({listed(services)}) are" if services else "Its services are"
            found.append(unused(view.at(name), f"{which} not started: write those that checks need in the services section of environment, each with a command "
                                               "that starts it."))
    return found


def _registries(view: View) -> list[dict[str, Any]]:
    found = []
    for name in (".npmrc", ".yarnrc", ".yarnrc.yml", "pip.conf", "bunfig.toml", ".cargo/config.toml", ".cargo/config"):
        text = "\n".join(line for line in view.text(name).split("\n") if not line.lstrip().startswith(("#", ";")))
        hosts = [host for host in dict.fromkeys(_URL.findall(text)) if host.lower() not in _PUBLIC]
        secrets = [secret for secret in dict.fromkeys(_SECRET.findall(text)) if re.search("TOKEN|PASS|AUTH", secret.upper())]
        if hosts or secrets:
            named = f"It names the registry {listed(hosts)}: add this to hosts" if hosts else "It reads a registry's password from a variable: hand it over"
            found.append(unused(view.at(name), f"{named}{f', and {listed(secrets)} to secrets' if secrets else ''}."))
    return found


def _unknown(view: View) -> list[dict[str, Any]]:
    known = {name: what for name, what in UNKNOWN.items() if view.has(name)}
    known |= {name: ".NET" for name in view.names() if name.endswith((".csproj", ".fsproj", ".sln"))}
    return [unused(view.at(name), f"No steps are known for {string(what)}: write the commands that install its packages as steps.")
            for name, what in list(known.items())[:10]]
