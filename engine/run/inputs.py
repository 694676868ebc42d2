"""Files that a sandbox finds in $SWARM_IN: texts, shell values, the scripts of this folder, the relay to the gateway."""
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from engine.run.sandbox import Run, snapshot_of
from engine.text import quoted

_OWN = re.compile(r"(\$PATH\b|\$HOME\b|\$SWARM_WORK\b)")
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
    """Copies the relay, by which a sandbox reaches its gateway."""
    if run.service:
        copy_scripts(inputs, "gateway.sh")
        shutil.copytree(SCRIPTS.parent.parent / "gateway" / "link", inputs / "link", ignore=shutil.ignore_patterns("__pycache__"))


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
