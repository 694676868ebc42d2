"""Files that a sandbox finds in $SWARM_IN: texts, shell values, the scripts of this folder, the relay to the gateway."""
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from engine.access import Access
from engine.errors import Permanent
from engine.run.sandbox import Run, snapshot_of
from engine.text import quoted

_OWN = re.compile(r"(\$PATH\b|\$HOME\b|\$SWARM_WORK\b)")
CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
# Where systems keep the certificates that they trust: Debian and its like, Fedora, openSUSE, Alpine.
SYSTEM_AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem")
SCRIPTS = Path(__file__).resolve().parent / "scripts"


def write(path: Path, text: str) -> None:
    """Writes text. A card's text may contain lone surrogates from JSON, which no shell or editor can use."""
    path.write_bytes(text.encode("utf-8", "replace"))


def write_values(path: Path, **values: str) -> None:
    """Writes shell assignments, for a script to source."""
    write(path, "".join(f"{name}={quoted(value)}\n" for name, value in values.items()))


def give_ground(run: Run, inputs: Path) -> None:
    """Writes what scripts need of the run's environment, if it has one: its services, and the variables that its setup left, or that its steps name."""
    ground = run.job.ground
    if ground is None or not ground.key:
        return
    snapshot = snapshot_of(run)
    write_env(inputs / "ground-env", {**snapshot.env, **{name: value for each in snapshot.services.values() for name, value in each.get("env", {}).items()}})
    for name, each in snapshot.services.items():
        write(inputs / f"service-{name}", each["start"].replace("\r\n", "\n") + "\n")
        if each.get("ready"):
            write(inputs / f"ready-{name}", each["ready"].replace("\r\n", "\n") + "\n")
    if snapshot.services:
        write(inputs / "services", "".join(f"{name}\n" for name in snapshot.services))


def copy_relay(run: Run, inputs: Path) -> None:
    """Copies the relay, by which a sandbox reaches its gateway, and what names a company's registries to the tools in it."""
    if run.service:
        copy_scripts(inputs, "gateway.sh", "mirrors.sh")
        _give_mirrors(inputs, run.service.mirrors, run.job.access)
        shutil.copytree(SCRIPTS.parent.parent / "gateway" / "link", inputs / "link", ignore=shutil.ignore_patterns("__pycache__"))


def _give_mirrors(inputs: Path, mirrors: Mapping[str, str], access: Access | None) -> None:
    """Writes what mirrors.sh reads. Raises Permanent for a file of certificates that cannot be used."""
    write_values(inputs / "mirrors", **{f"mirror_{name}": url.rstrip("/") for name, url in mirrors.items()})
    if "npm" in mirrors:  # npm puts the variable in, so the file has no secret
        write(inputs / "npmrc", f"//{mirrors['npm'].partition('://')[2].rstrip('/')}/:_auth=${{SWARM_AUTH_NPM}}\n")
    path = access.routes.authorities if access and access.hosts else ""
    if not path:
        return
    try:
        own = Path(path).read_bytes()
    except OSError as error:
        raise Permanent(f"The certificates of SWARM_EGRESS_CA cannot be read ({path}: {error.strerror}). Put the file back, or change the setting.") from error
    if CERTIFICATE not in own:
        raise Permanent(f"SWARM_EGRESS_CA names {path}, which holds no certificate in PEM form. Convert it, or name another file.")
    system = next((Path(each).read_bytes() for each in SYSTEM_AUTHORITIES if os.path.isfile(each)), b"")
    (inputs / "authorities.pem").write_bytes(own)
    (inputs / "all-authorities.pem").write_bytes(system.rstrip() + b"\n" + own)


def copy_scripts(inputs: Path, *names: str) -> None:
    for name in names:
        target = inputs / name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(SCRIPTS / target.name, target)
        target.chmod(0o755)


def write_env(path: Path, env: Mapping[str, str]) -> None:
    """Writes variables for a script to source. $PATH, $HOME and $SWARM_WORK in a value stand for the sandbox's own."""
    lines = [f"{name}={''.join(_part(part) for part in _OWN.split(value))}\nexport {name}\n" for name, value in env.items()]
    write(path, "".join(lines))


def _part(text: str) -> str:
    return f'"{text}"' if _OWN.fullmatch(text) else quoted(text)
