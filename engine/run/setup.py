"""Makes the snapshot of an environment: in a run of kind setup, or in a feature run whose ticket changed what a setup depends on.

A snapshot is made once for its key, under a lock, while others that want it wait. Its sandbox has its own egress, limits and secrets."""
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

from engine.crash import point
from engine.environments import layers, leaks, locks
from engine.environments.key import host_fingerprint, inputs_of, key_of
from engine.environments.steps import Steps, parse
from engine.errors import AgentFailed, Permanent, RunFailure, Transient
from engine.files import read_foreign
from engine.git.harvest import Tree
from engine.git.repository import Repository
from engine.ground import Setup
from engine.host.folders import copy, remove
from engine.run.history import give_commit
from engine.run.inputs import copy_relay, copy_scripts, write, write_env, write_values
from engine.run.output import HIDDEN, PHASE, Output, OverTime
from engine.run.sandbox import Place, Run, run_sandbox
from engine.text import printable

LOCK_SECONDS = 3600.0  # longest wait for another run that makes the same snapshot
WAITS = b"Another run is making this environment. This run waits for it.\n"
LAST_LINES = 3
ENV_BYTES = 65_536
_LINE = re.compile(r"(?!SWARM_|GIT_|LD_)([A-Za-z_][A-Za-z0-9_]{0,99})=(.{0,4000})")
COMMIT_BRANCH = "swarm-setup/"  # branches that exist only while their bundle is made


def setup(run: Run) -> None:
    """A run of kind setup: fetches the branch if the job says where from, and makes the snapshot of its commit. Sets result.ground."""
    from engine.run.prepare import fetched_base  # only here: it reaches the remote, as a prepare run does

    job = run.job
    if job.setup is None:
        raise Permanent("The run does not say what to set up.")
    repository = Repository(Path(job.repository))
    commit = job.setup.commit or fetched_base(run, repository)
    if commit is None:
        raise Permanent("The repository is empty, so there is nothing to set up.")
    make_snapshot(run, job.setup._replace(commit=commit), repository)
    run.result.base, run.result.outcome = commit, "ok"


def key_at(setup: Setup, repository: Repository, commit: str, tree: Tree | None = None) -> tuple[str, Steps, dict[str, str]]:
    """-> the key of the environment at a commit, its steps, and the inputs. tree: the files of a commit that only a bundle has."""
    steps = parse(dict(setup.steps))
    inputs = inputs_of(steps, tree.blobs if tree else repository.blobs(commit))
    of_ticket = (tree.sha if tree else repository.tree(commit)) if setup.ticket else ""
    return key_of(steps, inputs, host_fingerprint(), setup.ticket, of_ticket), steps, inputs


def make_snapshot(run: Run, setup: Setup, repository: Repository, tree: Tree | None = None, bundle: Path | None = None) -> layers.Snapshot:
    """The snapshot for a commit that is in `repository`; made, or found. For one that only a bundle has, tree says its files. Sets result.ground:
    {key, seconds, bytes, reused}.
    Raises AgentFailed with the step that failed and its last lines; Transient when this machine or another run is in the way."""
    key, steps, inputs = key_at(setup, repository, setup.commit, tree)
    data, since = run.folder.parent.parent, time.monotonic()
    with locks.locked(layers.lock_of(data, key), True, LOCK_SECONDS, lambda: run.log.write(WAITS)):
        snapshot = None if setup.again else layers.read(layers.root(data) / key)
        why = layers.damage(snapshot) if snapshot else None
        reused = snapshot is not None and why is None
        if why:
            run.log.write(f"{why}\n".encode())
        if snapshot is None or why:
            folder = layers.temporary(data, key, run.job.run)
            point("before-setup")
            try:
                if not _begin_with(data, setup, folder):
                    setup = setup._replace(base="")
                env = _fill(run, setup, steps, repository, folder, bundle)
                point("before-snapshot")
                made_of = {"commit": setup.commit, "ticket": setup.ticket, "steps": steps.as_json(), "inputs": inputs}
                snapshot = layers.finish(data, key, folder, time.monotonic() - since, {**steps.env, **env}, steps, made_of)
            finally:
                remove(folder)
                remove(run.folder / "setup")  # its outputs may hold a secret
    run.result.ground = {"key": key, "seconds": snapshot.seconds, "bytes": snapshot.bytes, "reused": reused}
    run.timed("setup", since)
    return snapshot


def _begin_with(data: Path, setup: Setup, folder: Path) -> bool:
    """Copies an older snapshot, for `update` to work on. False: there is none that can be used, so the setup begins with nothing."""
    standing = layers.stand(data, setup.base, None) if setup.base and setup.steps.get("update") else None
    if standing is None:
        return False
    descriptor, older = standing
    try:
        if layers.damage(older):
            return False
        for part in ("repo", "home"):
            why = copy(older.folder / part, folder / part)
            if why:
                raise Transient(f"The older environment could not be copied: {why}")
        return True
    finally:
        os.close(descriptor)


def works_at(run: Run, setup: Setup, repository: Repository, steps: Steps) -> str | None:
    """Tries the setup at a commit, and keeps nothing. -> None if it works, otherwise a sentence"""
    folder = layers.temporary(run.folder.parent.parent, f"trial-{run.job.run}", run.job.run)
    try:
        _begin_with(run.folder.parent.parent, setup, folder)
        _fill(run, setup, steps, repository, folder)
    except AgentFailed as error:
        return error.sentence
    finally:
        remove(folder)
        remove(run.folder / "setup")
    return None


def _fill(run: Run, setup: Setup, steps: Steps, repository: Repository, folder: Path, bundle: Path | None = None) -> dict[str, str]:
    """Runs the commands. -> the variables that they left"""
    inputs, outputs = run.folder / "setup" / "in", run.folder / "setup" / "out"
    for part in (inputs, outputs):
        remove(part)
        part.mkdir(parents=True)
    branch = f"{COMMIT_BRANCH}{run.job.run}"
    give_commit(run, repository, str(run.result.base) if bundle else setup.commit, branch, inputs / "in.bundle")
    if bundle:
        os.link(bundle, inputs / "out.bundle")
    commands = steps.update if setup.base and steps.update else steps.setup
    for number, command in enumerate(commands, 1):
        write(inputs / f"step-{number}", command.replace("\r\n", "\n") + "\n")
    write_values(inputs / "job", integration=branch, tip=setup.commit, steps=str(len(commands)), secrets=" ".join(setup.secrets))
    write_env(inputs / "ground-env", steps.env)
    copy_scripts(inputs, "setup.sh", "clone.sh")
    copy_relay(run, inputs)
    output, secrets = Output(run.log, PHASE + b"setup "), {name: run.keys.secrets[name] for name in setup.secrets}
    run.log.hide(leaks.hidden(secrets))
    run.troubles()  # of what ran before
    logins = run.service.logins() if run.service else {}
    try:
        code = run_sandbox(run, "setup.sh", inputs, outputs, {**secrets, **logins}, output, run.bounds(setup.seconds),
                           place=Place(setup.disk_mb, filled=folder))
    except OverTime as error:
        raise _failure(run, f"{_step(outputs, commands)} took too long. {error.sentence}") from error
    except AgentFailed as error:
        raise type(error)(f"{_step(outputs, commands)} was stopped. {error.sentence}") from error
    if code and not output.reached and commands:
        raise Transient(f"The clone for the setup could not be made: {output.last_line() or f'exit code {code}'}")
    if code == 128 + signal.SIGXFSZ:
        raise AgentFailed(f"{_step(outputs, commands)} wrote a file of more than {setup.disk_mb:,} MB.")
    if code or not (outputs / "whole").exists():
        lines = [line for line in output.text().split("\n") if line.strip()][-LAST_LINES:]
        raise _failure(run, f"{_step(outputs, commands)} failed with exit code {code}.", *lines)
    env = _left(outputs / "env")
    _refuse_secrets(folder, env, {**secrets, **(run.service.secrets() if logins and run.service else {})})
    return env


def _failure(run: Run, *lines: str) -> RunFailure:
    """Failure of a command: its own lines, after what its network refused it. Then nobody's work is at fault, and another try alone does not help."""
    troubles = [sentence for _, sentence in run.troubles()][:LAST_LINES]
    mirrors = ", ".join(f"{name}={url}" for name, url in run.service.mirrors.items()) if run.service else ""
    hint = [f"The setup used {mirrors} (SWARM_MIRRORS)."] if mirrors and not troubles else []  # some tools do not say what a registry answered
    return (Permanent if troubles else AgentFailed)("\n".join([lines[0], *troubles, *hint, *lines[1:]]))


def _refuse_secrets(folder: Path, env: dict[str, str], secrets: dict[str, str]) -> None:
    """Raises AgentFailed if the commands left a secret, in a file or in a variable. Every later sandbox could read it there."""
    if not secrets:
        return
    found = leaks.find(folder, secrets)
    variable = next((name for name, value in env.items() if leaks.find_in(value, secrets)), None)
    if found is None and variable is None:
        return
    if found:
        part, _, path = found[1].partition("/")
        for form in leaks.hidden(secrets):
            path = path.replace(form, HIDDEN.decode())
        name, where = found[0], f"the file {printable(path)} in the {'home folder' if part == 'home' else 'work tree'}"
    else:
        name, where = str(leaks.find_in(env[str(variable)], secrets)), f"the variable {variable}"
    raise AgentFailed(f"The setup left the value of the secret {name} in {where}. Every later sandbox could read it, so nothing of this environment was kept. "
                      "Let the setup remove it again, or keep it in $SWARM_SECRETS alone.")


def _step(outputs: Path, commands: tuple[str, ...]) -> str:
    """Words for the command that was reached."""
    try:
        number = int(read_foreign(outputs / "step"))
        return f"Step {number} of the setup ({' '.join(commands[number - 1].split())[:200]})"
    except (OSError, ValueError, IndexError, Permanent):
        return "The setup"


def _left(path: Path) -> dict[str, str]:
    """Variables from the file that setup wrote. A line that is no NAME=value is left out."""
    if not path.is_file() or path.is_symlink():
        return {}
    found: dict[str, Any] = {}
    for line in read_foreign(path)[:ENV_BYTES].decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match and match[2].isprintable():
            found[match[1]] = match[2]
    return found

