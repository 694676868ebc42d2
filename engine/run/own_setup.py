"""The environment of a change: where a commit changes what a setup depends on, its checks stand on a snapshot that is made for it.

Its setup runs code that an agent may have chosen, so it gets no secrets, and reaches only the hosts of the setup. The key of the snapshot has the
ticket and the tree in it: only this ticket, and what is built on its change, finds it."""
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.environments import layers
from engine.environments.key import inputs_of
from engine.environments.steps import Steps, parse
from engine.errors import AgentFailed, GroundFailed
from engine.gateway.serving import Service
from engine.git.harvest import Tree, tree_in
from engine.git.repository import Repository
from engine.ground import Setup
from engine.run.inputs import give_ground
from engine.run.sandbox import Run
from engine.run.setup import make_snapshot, works_at


def fit_ground(run: Run, inputs: Path) -> None:
    """Lets the checks of a run stand on what their commit needs: the run's own ground, one that was made for a commit before it, or a new snapshot. Sets
    result.ground unless it is the build's own. inputs: of the checks. Raises AgentFailed if the change broke the setup, and GroundFailed if it
    fails at the base, too."""
    job, setup, data = run.job, run.job.setup, run.folder.parent.parent
    if setup is None or not setup.ticket or job.ground is None or not job.ground.key:
        return
    repository, bundle, base = Repository(Path(job.repository)), inputs / "out.bundle", str(run.result.base)
    commit = run.result.tip or base
    tree = tree_in(repository, bundle, job.run, base, commit) if bundle.exists() else Tree(repository.tree(commit), repository.blobs(commit))
    steps = parse(dict(setup.steps))
    needed = inputs_of(steps, tree.blobs)
    for key in dict.fromkeys((job.ground.key, *setup.known)):
        there = layers.made_of(layers.root(data) / key)
        if there and there.get("steps") == steps.as_json() and there.get("inputs", needed) == needed:
            snapshot = layers.read(layers.root(data) / key)
            if snapshot and key != setup.base:
                run.result.ground = {"key": key, "seconds": snapshot.seconds, "bytes": snapshot.bytes, "reused": True}
            _stand_on(run, key, inputs)
            return
    if steps.secrets:
        run.result.notes.append("The change needs another environment, but its setup needs secrets, which no change gets before it is in the repository. "
                                "Its checks ran on the environment of the build.")
        return
    _make(run, setup._replace(commit=commit), repository, tree, steps, bundle if bundle.exists() else None)
    _stand_on(run, run.result.ground["key"], inputs)


def _make(run: Run, setup: Setup, repository: Repository, tree: Tree, steps: Steps, bundle: Path | None) -> None:
    with _gateway(run):
        try:
            make_snapshot(run, setup, repository, tree, bundle)
        except AgentFailed as error:
            wrong = works_at(run, setup._replace(commit=str(run.result.base)), repository, steps) if bundle else None
            if wrong:
                raise GroundFailed(f"The change needs another environment, and the setup fails, also without the change. {wrong}") from error
            raise AgentFailed(f"The change needs another environment, and its setup fails; without the change it works. {error.sentence}" if bundle else
                              f"The merged whole needs another environment, and its setup fails. {error.sentence}") from error


def _stand_on(run: Run, key: str, inputs: Path) -> None:
    ground = run.job.ground
    if ground is None or ground.key == key:
        return
    if run.ground_lock is not None:
        os.close(run.ground_lock)
        run.ground_lock = run.snapshot = None
    run.job = run.job._replace(ground=ground._replace(key=key))
    run.log.write(f"The checks stand on another environment, because the change needs one ({key[:12]}).\n".encode())
    give_ground(run, inputs)


@contextmanager
def _gateway(run: Run) -> Iterator[Any]:
    """For the setup, the run reaches what the setup may, and not what the run may."""
    before, own, access = run.service, run.job.access, run.job.setup_access
    of_setup = run.job._replace(run=f"{run.job.run}-setup", kind="setup")
    run.service = Service(of_setup, access, run.folder, {}, logins=run.keys.routes) if access else None
    run.job = run.job._replace(access=access)
    if run.service:
        run.log.hide(run.service.secrets().values())
    try:
        yield
    finally:
        run.service, run.job = before, run.job._replace(access=own)
