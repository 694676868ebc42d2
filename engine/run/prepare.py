"""A prepare run: the repository of a build, and its integration branch."""
import time
from collections.abc import Mapping
from pathlib import Path

from engine.errors import Damaged, Permanent, RunFailure, Transient, Unreachable
from engine.git.first_commit import push_first_commit
from engine.git.look import OURS, Look, look
from engine.git.remote import login
from engine.git.repository import Repository
from engine.ground import Source
from engine.host.folders import remove
from engine.host.processes import is_held
from engine.jobs import MESSAGES
from engine.run.history import can_overlay, give_history
from engine.run.inputs import copy_scripts, write_values
from engine.run.output import PHASE, Output
from engine.run.sandbox import Place, Run, run_sandbox
from engine.stores import store as stores
from engine.stores import trees
from engine.stores.progress import Progress

TREE_MB = 20_000  # most that the files of a base commit may need on the disk
REACH_SECONDS = 30.0  # for the first answer of a host; the fetch itself may take longer


def prepare(run: Run) -> None:
    """Creates the repository and its integration branch. May be repeated: existing ones stay. An empty repository becomes a question."""
    job, since = run.job, time.monotonic()
    repository, when = Repository(Path(job.repository)), int((run.folder / "job.json").stat().st_mtime)
    with repository.locked():
        repository.create()
        base = repository.head(f"refs/heads/{job.integration}")
        if base is None:
            if job.source is None or job.source.url is None:
                base = repository.start_fresh(job.project, when)
            else:
                base = _fetched_base(run, repository, job.source.url, job.source, when)
            if base is None:
                return
            run.result.notes = _notes(repository, base)
            repository.set_branch(job.integration, base)
        repository.git("symbolic-ref", "HEAD", f"refs/heads/{job.integration}")  # so that a plain clone has the result
    if job.source and job.source.store:
        _make_tree(run, repository, Path(job.source.store), base)
    run.result.base, run.result.outcome = base, "ok"
    run.timed("prepare", since)


def fetched_base(run: Run, repository: Repository) -> str | None:
    """Fetches the job's source for a repository, made first where there is none. -> the commit of its branch; None if it is empty"""
    source = run.job.source
    if source is None or source.url is None:
        raise Permanent("The run does not say where its repository is.")
    with repository.locked():
        repository.create()
        return _fetched_base(run, repository, source.url, source, 0)


def _fetched_base(run: Run, repository: Repository, url: str, source: Source, when: int) -> str | None:
    """Fetches into the store that the job names, from which the repository then borrows. -> the commit to build on, or None if it is empty and a
    question was asked"""
    keys = login(url, run.keys.forge.get("token", ""), run.keys.forge.get("user", ""))
    seen = look(url, source.protocols, source.base_branch, keys, REACH_SECONDS)
    if seen.state == "empty":
        if not source.first_commit:
            run.result.outcome, run.result.request = "needs_input", {"question": seen.sentence, "options": []}
            return None
        seen = seen._replace(branch=seen.branch or "main")
        push_first_commit(repository, url, source.protocols, str(seen.branch), run.job.project, when, keys)
    elif seen.state != "usable":
        raise _trouble(seen)
    try:
        base = _into_store(run, repository, source, url, seen, keys)
    except Permanent as error:
        if seen.partial:
            raise Permanent(f"{url} is a partial clone, and objects that the build needs are only at its own remote. Name that remote instead, or run "
                            f"git fetch --refetch --no-filter there. ({error.sentence.rstrip('.')})") from error
        raise
    if base is None:
        raise Transient(f"The branch {seen.branch} of {url} was removed while it was fetched. It will be tried again.")
    return base


def _into_store(run: Run, repository: Repository, source: Source, url: str, seen: Look, keys: Mapping[str, str]) -> str | None:
    """-> the commit of the branch; None if it is gone meanwhile"""
    store, branch, messages = Repository(Path(source.store)), str(seen.branch), run.folder / MESSAGES
    if is_held(store.path.with_name(store.path.name + ".lock")):
        run.log.write(b"Another build fetches this repository now. This one waits for it.\n")
    progress = Progress(messages, lambda sentence: run.log.write(f"{sentence}\n".encode()), None if store.path.exists() else seen.bytes)
    messages.touch()
    try:
        with store.locked(stores.WAIT_SECONDS):
            stores.fetch(store, url, source.protocols, keys, messages, progress.look, "" if branch.startswith(f"{OURS}/") else OURS)
            base = store.head(f"refs/remotes/origin/{branch}")
            if base:
                stores.borrow(repository, store, base, branch)
        return base
    finally:
        messages.unlink(missing_ok=True)


def _notes(repository: Repository, base: str) -> list[str]:
    """What runs will not see of the repository, which would surprise."""
    names = repository.git("ls-tree", "-z", "--name-only", "--end-of-options", base).split(b"\0")
    notes = []
    if b".gitmodules" in names:
        notes.append("The repository has submodules. They are not fetched, so their folders are empty in runs.")
    if b".gitattributes" in names and b"filter=lfs" in repository.call("cat-file", "blob", f"{base}:.gitattributes", ok=(0, 128)).out:
        notes.append("The repository keeps files in Git LFS. Runs see their pointers, not their content.")
    return notes


def _trouble(seen: Look) -> RunFailure:
    kinds: dict[str, type[RunFailure]] = {"unreachable": Unreachable, "damaged": Damaged}
    return kinds.get(seen.state, Permanent)(seen.sentence)


def _make_tree(run: Run, repository: Repository, store: Path, commit: str) -> None:
    """Makes the tree of the commit, which is the head of the integration branch, unless it is there, or would be of no use. Runs go on without it if
    it cannot be made, more slowly. Nothing of the repository is executed."""
    data, name, since = run.folder.parent.parent, trees.name_of(store, commit), time.monotonic()
    if not run.runtime.stands or trees.read(data, name) or repository.count_files(commit) < trees.LEAST_FILES or not can_overlay(run):
        return
    inputs, outputs, folder = run.folder / "tree" / "in", run.folder / "tree" / "out", trees.temporary(data, name, run.job.run)
    try:
        inputs.mkdir(parents=True, exist_ok=True)
        give_history(run, repository, inputs / "in.bundle", [f"refs/heads/{run.job.integration}"])
        write_values(inputs / "job", integration=run.job.integration)
        copy_scripts(inputs, "tree.sh", "clone.sh")
        code = run_sandbox(run, "tree.sh", inputs, outputs, {}, Output(run.log, PHASE), run.bounds(), place=Place(TREE_MB, filled=folder))
        if code:
            run.log.write(b"The files of the base could not be laid out for later runs, which therefore make their own.\n")
        else:
            trees.finish(data, name, folder, outputs / trees.INDEX)
    except (RunFailure, OSError) as error:
        run.log.write(f"The files of the base could not be laid out for later runs, which therefore make their own. {error}\n".encode())
    finally:
        remove(folder)
        remove(run.folder / "tree")
    run.timed("tree", since)
