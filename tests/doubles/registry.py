"""A real setup with the packages of PyPI and npm, as this machine reaches them."""
import functools
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import git
from runner_bench import Bench
from tree import Files

from engine.environments import layers
from engine.environments.detect import detect
from engine.environments.programs import programs
from engine.environments.steps import Steps
from engine.ground import Ground, Setup
from engine.jobs import Access, Result

URLS = {"pypi": "https://pypi.org/simple/iniconfig/", "npm": "https://registry.npmjs.org/is-number"}
CERTIFICATES = ("PIP_CERT", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
# A machine may reach the registries by a proxy at an address that is not public. The gateway of such a test connects to it all the same.
ANY_ADDRESS = (sys.executable, "-c", "import os, sys; words = sys.argv[1:]; at = words.index('-c') + 1; words[at] = words[at].replace('main(sys.argv[1])', "
               "'import engine.gateway.addresses as names; names.is_public = bool; main(sys.argv[1])'); os.execv(words[0], words)")


@functools.cache
def silent(registry: str) -> str:
    """Why a registry does not answer; '' if it does."""
    try:
        with urllib.request.urlopen(URLS[registry], timeout=20):
            return ""
    except (OSError, urllib.error.URLError) as error:
        return f"{URLS[registry]} does not answer: {error}"


def require_registry(*names: str) -> None:
    """Skips a test where no registry answers; with SWARM_REQUIRE_ALL=1 that is a failure."""
    for reason in filter(None, map(silent, names)):
        if os.environ.get("SWARM_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def committed(bench: Bench, files: dict[str, str]) -> str:
    """A commit of the bench's repository with these files, with a tag v1.2.3."""
    work = bench.folder / "work"
    git(bench.folder, "init", "-q", "-b", "main", str(work))
    for name, text in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "First")
    git(work, "tag", "v1.2.3")
    git(work, "push", "-q", str(bench.repository.path), "main:refs/heads/project", "v1.2.3")
    return str(bench.repository.head("refs/heads/project"))


def proposed(files: dict[str, str]) -> Steps:
    """What is detected on this machine, with the certificates that its programs need here."""
    steps = detect(Files(files), programs()).steps
    return steps._replace(env={**steps.env, **{name: os.environ[name] for name in CERTIFICATES if name in os.environ}})


def set_up(bench: Bench, files: dict[str, str]) -> tuple[Result, Path]:
    """-> the result of a setup by what is proposed, and the folder of its run."""
    steps, bench.prefix = proposed(files), ANY_ADDRESS
    return bench.run(kind="setup", setup=Setup(steps.as_json(), committed(bench, files), seconds=100.0, disk_mb=2000), run_seconds=110, processes=512,
                     access=Access({}, steps.hosts, 500))


def stand(bench: Bench, made: Result, *checks: str) -> list[bool]:
    """Whether checks pass in sandboxes without a network, on what the setup made."""
    bench.prefix = ()
    assert layers.read(layers.root(bench.folder) / made.ground["key"]) is not None
    result, _ = bench.run("echo done > done.txt", checks=checks, ground=Ground(made.ground["key"], disk_mb=1000), processes=512, integration="project")
    return [bool(check["passed"]) for check in result.checks]
