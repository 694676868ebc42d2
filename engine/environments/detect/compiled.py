"""Packages of Go, Rust and of the JVM: downloaded once into folders of HOME."""
import re
from typing import Any

from engine.environments.detect.parts import Part, listed, missing, unused, used
from engine.environments.detect.versions import numbers
from engine.environments.detect.view import View, mapping, string

FILES = ("go.mod", "go.work", "Cargo.toml", "Cargo.lock", "pom.xml", "build.gradle", "build.gradle.kts")
# Maven asks no variable for its proxy, so it gets a file. -Dtest with a name that no test has compiles all and fetches what runs tests.
_PROXY = "".join(f"<proxy><id>{name}</id><active>true</active><protocol>{name}</protocol><host>127.0.0.1</host><port>%s</port></proxy>"
                 for name in ("http", "https"))
_SETTINGS = (f"port=${{HTTPS_PROXY##*:}}; [ -z \"$port\" ] || printf '<settings><proxies>{_PROXY}</proxies></settings>' \"$port\" \"$port\" "
             "> \"$HOME/.mvn-setup.xml\"")
_MAVEN = " -B -ntp ${HTTPS_PROXY:+-s \"$HOME/.mvn-setup.xml\"} test -Dtest=NoTestOfThisName -DfailIfNoTests=false -Dsurefire.failIfNoSpecifiedTests=false"
_GRADLE = ("JAVA_TOOL_OPTIONS=\"${HTTPS_PROXY:+-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=${HTTPS_PROXY##*:} -Dhttps.proxyHost=127.0.0.1 "
           "-Dhttps.proxyPort=${HTTPS_PROXY##*:}}\" ")
_FROM_GIT = re.compile(r"git\s*=\s*\"(?:https|ssh|git)://(?:[^@/\s\"]{1,100}@)?([A-Za-z0-9.-]{1,253})")


def go(view: View) -> Part | None:
    file = next((name for name in ("go.work", "go.mod") if view.has(name)), None)
    if file is None:
        return None
    path = view.at(file)
    if not view.can("go"):
        return Part(found=(unused(path, missing("go", "golang")),))
    env, paths = {"GOPATH": "$HOME/go", "GOFLAGS": "-modcacherw"}, ("$HOME/go/bin",)
    if view.has("vendor/modules.txt"):
        return Part((), (), env, paths, (used(view.at("vendor/modules.txt"), "The folder vendor has all packages, so nothing is downloaded."),))
    return Part(("go mod download",), ("go",), env, paths, (used(path, "go downloads its modules."), *_go_version(view, file)))


def _go_version(view: View, file: str) -> list[dict[str, Any]]:
    said = re.search(r"^(?:toolchain go|go )(\d+\.\d+(?:\.\d+)?)", view.text(file), re.MULTILINE)
    wanted, there = numbers(said[1] if said else ""), numbers(view.version("go"))
    if not wanted or not there or there >= wanted[:len(there)]:
        return []
    shown = ".".join(map(str, wanted))
    if there >= (1, 21):
        return [used(view.at(file), f"It asks for Go {shown}, which go {view.version('go')} of this machine downloads with the modules.")]
    return [unused(view.at(file), f"It asks for Go {shown}, but sandboxes have this machine's {view.version('go')}: install a newer one, then look again.")]


def rust(view: View) -> Part | None:
    file = next((name for name in ("Cargo.lock", "Cargo.toml") if view.has(name)), None)
    if file is None or not view.has("Cargo.toml"):
        return None
    if not view.can("cargo"):
        return Part(found=(unused(view.at(file), missing("cargo")),))
    said = f"cargo fetches {'exactly its versions' if file == 'Cargo.lock' else 'its packages in their newest fitting versions'}."
    hosts = list(dict.fromkeys(_FROM_GIT.findall(view.text("Cargo.toml"))))
    elsewhere = [unused(view.at("Cargo.toml"), f"It takes packages from {listed(hosts)}: add this to hosts.")] if hosts else []
    wanted = string(mapping(view.toml("Cargo.toml"), "package").get("rust-version"))[:20]
    there = view.version("rustc")
    if numbers(wanted) and numbers(there) and numbers(there) < numbers(wanted):
        elsewhere.append(unused(view.at("Cargo.toml"), f"It asks for Rust {wanted}, but sandboxes have this machine's {there}: install a newer one, then "
                                                       "look again."))
    return Part((f"cargo fetch{' --locked' if file == 'Cargo.lock' else ''}",), ("crates",), {"CARGO_HOME": "$HOME/.cargo"}, ("$HOME/.cargo/bin",),
                (used(view.at(file), said), *elsewhere))


def jvm(view: View) -> Part | None:
    maven, gradle = view.has("pom.xml"), next((name for name in ("build.gradle", "build.gradle.kts") if view.has(name)), "")
    if not maven and not gradle:
        return None
    file = view.at("pom.xml" if maven else gradle)
    if not view.can("java"):
        return Part(found=(unused(file, missing("java", "default-jdk")),))
    rest = [unused(view.at(gradle), "pom.xml is used instead.")] if maven and gradle else []
    return _maven(view, file, rest) if maven else _gradle(view, file)


def _maven(view: View, file: str, rest: list[dict[str, Any]]) -> Part:
    program = "mvn" if view.can("mvn") else "sh mvnw" if view.has("mvnw") else ""
    if not program:
        return Part(found=(unused(file, missing("mvn", "maven")),))
    return Part((_SETTINGS, program + _MAVEN), ("maven",), found=(used(file, "Maven downloads its packages and compiles once, and runs no test."), *rest))


def _gradle(view: View, file: str) -> Part:
    if view.has("gradlew"):
        hosts = ("maven", "plugins.gradle.org", "plugins-artifacts.gradle.org", "services.gradle.org", "downloads.gradle.org", "github.com",
                 "release-assets.githubusercontent.com")
        return Part((f"{_GRADLE}sh gradlew --no-daemon testClasses",), hosts, {"GRADLE_USER_HOME": "$HOME/.gradle"},
                    found=(used(file, "The Gradle of its wrapper is downloaded, and compiles once, and runs no test."),))
    if not view.can("gradle"):
        return Part(found=(unused(file, missing("gradle")),))
    return Part((f"{_GRADLE}gradle --no-daemon testClasses",), ("maven", "plugins.gradle.org", "plugins-artifacts.gradle.org"),
                {"GRADLE_USER_HOME": "$HOME/.gradle"}, found=(used(file, "Gradle downloads its packages and compiles once, and runs no test."),))
