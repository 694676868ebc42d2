"""Takes a run's bundle into the repository: everything or nothing, and only if git and the policy accept it.

The pack is indexed in a quarantine inside objects/, where nothing else reads. Its files move to the other objects only if they are
valid and connected, build on the base and follow the policy; then the ref is set. After a crash the next process starts again at the top."""
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from engine.crash import point
from engine.errors import Damaged, Permanent, PolicyViolation
from engine.files import fsync_folder, open_foreign
from engine.git.bundle import KEPT, REF, Header, Unusable, count_objects, read_header, unusable
from engine.git.call import Input
from engine.git.policy import DEFAULT_LIMITS, PolicyLimits, check
from engine.git.repository import ZEROS, Repository
from engine.jobs import OUT_BYTES

INDEX_SECONDS = 600.0
MEMORY = 2_000_000_000  # bytes for index-pack, because a delta of a few bytes can become gigabytes. Large files are streamed.
STREAMED = "core.bigFileThreshold=32m"


def take_in(repository: Repository, bundle: Path, run_id: str, base: str, limits: PolicyLimits = DEFAULT_LIMITS) -> str:
    """Sets refs/swarm/runs/<run_id> to the bundle's refs/heads/swarm-out -> its sha. Repeatable. Call it with the
    repository locked and the sandbox dead. Raises PolicyViolation or Unusable for what the run left, Permanent for a damaged
    repository, with nothing kept, or Transient."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", run_id):
        raise Permanent(f"{run_id!r} is not the id of a run.")
    descriptor = _open(bundle)
    try:
        header = read_header(descriptor)
        objects = count_objects(descriptor, header)
        if set(header.refs) != {REF}:
            raise unusable(f"it must contain only {REF}")
        tip = header.refs[REF]
        _check_present(repository, base, header)
        with _quarantine(repository, run_id) as (folder, env):
            os.lseek(descriptor, header.offset, os.SEEK_SET)
            try:
                _index(repository, descriptor, env, strict=True)
            except Permanent as error:
                _explain(repository, descriptor, header, run_id, base, limits)
                _check_repository(repository, base)
                raise unusable(error.sentence.rstrip(".")) from error
            _check_connected(repository, base, tip, env)
            _check_policy(repository, base, tip, limits, env)
            if objects:
                _keep(folder / "pack", repository.path / "objects" / "pack")
    finally:
        os.close(descriptor)
    point("after-index")
    repository.git("update-ref", "--end-of-options", f"refs/swarm/runs/{run_id}", tip)
    return tip


class Tree(NamedTuple):
    """The files of a commit. sha: of its tree. blobs: [(path, sha)]."""

    sha: str
    blobs: list[tuple[str, str]]


def tree_in(repository: Repository, bundle: Path, run_id: str, base: str, commit: str) -> Tree:
    """The files of a commit that only a run's bundle has. Nothing is kept. Raises as take_in() does."""
    descriptor = _open(bundle)
    try:
        header = read_header(descriptor)
        count_objects(descriptor, header)
        _check_present(repository, base, header)
        with _quarantine(repository, f"{run_id}-tree") as (_, env):
            os.lseek(descriptor, header.offset, os.SEEK_SET)
            try:
                _index(repository, descriptor, env, strict=True)
                return Tree(repository.tree(commit, env), repository.blobs(commit, env))
            except Permanent as error:
                _check_repository(repository, base)
                raise unusable(error.sentence.rstrip(".")) from error
    finally:
        os.close(descriptor)


def keep_aside(repository: Repository, bundle: Path, run_id: str, base: str, folder: str) -> list[str]:
    """Takes in commits that the run made and did not deliver, or its branch, as further numbers in `folder` (of refs, with a slash at its end).
    -> their numbers. Repeatable. Nobody merges them from there, so the policy does not look at them. Call it and catch as with take_in()."""
    descriptor = _open(bundle)
    try:
        header = read_header(descriptor)
        count_objects(descriptor, header)
        if set(header.refs) != {REF} and not all(re.fullmatch(KEPT + "[0-9]{1,6}", ref) for ref in header.refs):
            raise unusable(f"it must contain only refs below {KEPT}")
        _check_present(repository, base, header)
        with _quarantine(repository, run_id) as (quarantine, env):
            os.lseek(descriptor, header.offset, os.SEEK_SET)
            try:
                _index(repository, descriptor, env, strict=True)
            except Permanent as error:
                _check_repository(repository, base)
                raise unusable(error.sentence.rstrip(".")) from error
            for tip in header.refs.values():
                _check_complete(repository, base, tip, env)
            _keep(quarantine / "pack", repository.path / "objects" / "pack")
    finally:
        os.close(descriptor)
    there = {repository.head(ref): int(ref.rpartition("/")[2]) for ref in repository.refs(folder)}
    for number, tip in sorted((int(ref.removeprefix(KEPT)) if ref != REF else 1, tip) for ref, tip in header.refs.items()):
        if tip not in there:
            there[tip] = max([number - 1, *there.values()]) + 1
            repository.git("update-ref", "--end-of-options", f"{folder}{there[tip]}", tip, ZEROS)
    return sorted(str(there[tip]) for tip in header.refs.values())


def _open(bundle: Path) -> int:
    try:
        return open_foreign(bundle, OUT_BYTES)
    except Permanent as error:
        raise Unusable(error.sentence) from error


def _check_present(repository: Repository, base: str, header: Header) -> None:
    """Checks that the repository has the base and the commits that the bundle needs."""
    wanted = [base, *header.needed]
    answers = repository.git("cat-file", "--batch-check=%(objecttype)", stdin="".join(f"{sha}\n" for sha in wanted).encode()).splitlines()
    if answers[0] != b"commit":
        raise Permanent(f"The repository no longer has the commit {base[:12]}, from which the run started.")
    for sha, answer in zip(wanted, answers, strict=True):
        if answer != b"commit":
            raise unusable(f"it builds on the commit {sha[:12]}, which this repository does not have")


def _check_policy(repository: Repository, base: str, tip: str, limits: PolicyLimits, env: Mapping[str, str]) -> None:
    try:
        check(repository, base, tip, limits, env)
    except PolicyViolation:
        raise
    except Permanent as error:
        _check_repository(repository, base)
        raise unusable(error.sentence.rstrip(".")) from error


def _check_repository(repository: Repository, base: str) -> None:
    """Looks whose fault a failure is. Raises Damaged if the repository does not hold all of the commit that the run started from."""
    try:
        repository.git("rev-list", "--objects", "--quiet", "--end-of-options", base, timeout=INDEX_SECONDS)
    except Permanent as error:
        raise Damaged(f"The repository {repository.path} is damaged: {error.sentence} Restore it from a backup.") from error


@contextmanager
def _quarantine(repository: Repository, run_id: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder for new objects, and the environment in which git writes there and also reads the repository. Removed afterwards."""
    objects = repository.path / "objects"
    folder = objects / f"incoming-{run_id}"
    shutil.rmtree(folder, ignore_errors=True)  # left by a crash
    (folder / "pack").mkdir(parents=True)
    quoted = str(objects).replace("\\", "\\\\").replace('"', '\\"')  # quoted, a colon in it separates nothing
    try:
        yield folder, {"GIT_OBJECT_DIRECTORY": str(folder), "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{quoted}"',
                       "GIT_QUARANTINE_PATH": str(folder)}
    finally:
        shutil.rmtree(folder)


def _index(repository: Repository, pack: Input, env: Mapping[str, str], strict: bool) -> None:
    repository.git("index-pack", "--stdin", "--fix-thin", f"--max-input-size={OUT_BYTES}", "--threads=2", *(["--strict"] if strict else []),
                   stdin=pack, env=env, timeout=INDEX_SECONDS, config=(STREAMED,), memory=MEMORY)


def _explain(repository: Repository, descriptor: int, header: Header, run_id: str, base: str, limits: PolicyLimits) -> None:
    """git's check names an object, but people need a path. So this indexes the pack again, in a quarantine that is always
    removed, and raises the PolicyViolation that the policy finds, if any."""
    with _quarantine(repository, f"{run_id}-again") as (_, env):
        os.lseek(descriptor, header.offset, os.SEEK_SET)
        try:
            _index(repository, descriptor, env, strict=False)
            check(repository, base, header.refs[REF], limits, env)
        except PolicyViolation:
            raise
        except Permanent:
            return  # git's first message is the best one


def _check_connected(repository: Repository, base: str, tip: str, env: Mapping[str, str]) -> None:
    """Checks that the tip is a commit, builds on the base, and that all its objects exist."""
    if repository.head(tip, env) == tip and not repository.is_ancestor(base, tip, env):
        raise unusable(f"its commit is not based on {base[:12]}, from which the run started")
    _check_complete(repository, base, tip, env)


def _check_complete(repository: Repository, base: str, tip: str, env: Mapping[str, str]) -> None:
    if repository.head(tip, env) != tip:
        raise unusable("its content is not a commit")
    try:
        repository.git("rev-list", "--objects", "--quiet", tip, "--not", "--all", env=env, timeout=INDEX_SECONDS)
    except Permanent as error:
        _check_repository(repository, base)
        raise unusable(f"an object that it needs is missing ({error.sentence.rstrip('.')})") from error


def _keep(quarantine: Path, packs: Path) -> None:
    """Moves the files, each pack before its .idx, because git looks for .idx files. A pack from an earlier try has the same bytes."""
    files = sorted(quarantine.iterdir(), key=lambda file: (file.suffix == ".idx", file.suffix != ".pack"))
    for file in files:
        if file.suffix in (".pack", ".idx", ".rev"):
            os.rename(file, packs / file.name)
    fsync_folder(packs)
