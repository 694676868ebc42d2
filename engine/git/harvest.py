"""Takes a run's bundle into the repository: all of it or nothing, and only what git and the policy both accept.

The pack is indexed in a quarantine inside objects/, where nothing else looks. Only when its objects are sound and connected, stand on
the base and keep the policy do its files move to the others; then the ref is set. Whoever dies in between begins again at the top."""
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from engine.crash import point
from engine.errors import Permanent, PolicyViolation
from engine.files import fsync_folder, open_foreign
from engine.git.bundle import REF, Header, count_objects, read_header, unusable
from engine.git.call import Input
from engine.git.policy import DEFAULT_LIMITS, PolicyLimits, check
from engine.git.repository import Repository
from engine.jobs import OUT_BYTES

INDEX_SECONDS = 600.0
MEMORY = 2_000_000_000  # bytes for index-pack: a delta of a few bytes can claim to become gigabytes. Large files are streamed.
STREAMED = "core.bigFileThreshold=32m"


def take_in(repository: Repository, bundle: Path, run_id: str, base: str, limits: PolicyLimits = DEFAULT_LIMITS) -> str:
    """Makes refs/swarm/runs/<run_id> stand at what the bundle brings as refs/heads/swarm-out -> its sha. Repeatable. Call it with the
    repository locked and the sandbox dead. Raises PolicyViolation or Permanent, with nothing kept, or Transient."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", run_id):
        raise Permanent(f"{run_id!r} is not a run's id.")
    descriptor = open_foreign(bundle, OUT_BYTES)
    try:
        header = read_header(descriptor)
        objects = count_objects(descriptor, header)
        if set(header.refs) != {REF}:
            raise unusable(f"it must hold {REF} and nothing else")
        tip = header.refs[REF]
        _check_present(repository, base, header)
        with _quarantine(repository, run_id) as (folder, env):
            os.lseek(descriptor, header.offset, os.SEEK_SET)
            try:
                _index(repository, descriptor, env, strict=True)
            except Permanent as error:
                _explain(repository, descriptor, header, run_id, base, limits)
                raise unusable(error.sentence.rstrip(".")) from error
            _check_connected(repository, base, tip, env)
            check(repository, base, tip, limits, env)
            if objects:
                _keep(folder / "pack", repository.path / "objects" / "pack")
    finally:
        os.close(descriptor)
    point("after-index")
    repository.git("update-ref", "--end-of-options", f"refs/swarm/runs/{run_id}", tip)
    return tip


def _check_present(repository: Repository, base: str, header: Header) -> None:
    """The base and what the bundle builds on are commits that we have."""
    wanted = [base, *header.needed]
    answers = repository.git("cat-file", "--batch-check=%(objecttype)", stdin="".join(f"{sha}\n" for sha in wanted).encode()).splitlines()
    for sha, answer in zip(wanted, answers, strict=True):
        if answer != b"commit":
            raise unusable(f"it builds on the commit {sha[:12]}, which this repository does not have")


@contextmanager
def _quarantine(repository: Repository, run_id: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder for new objects, and the environment in which git writes there and reads the repository's too. Gone afterwards."""
    objects = repository.path / "objects"
    folder = objects / f"incoming-{run_id}"
    shutil.rmtree(folder, ignore_errors=True)  # of somebody who died here
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
    """git's check names an object, a person needs a path: takes the pack once more, into a quarantine that is thrown away whatever
    comes out, and raises the PolicyViolation that the policy finds there, if it finds one."""
    with _quarantine(repository, f"{run_id}-again") as (_, env):
        os.lseek(descriptor, header.offset, os.SEEK_SET)
        try:
            _index(repository, descriptor, env, strict=False)
            check(repository, base, header.refs[REF], limits, env)
        except PolicyViolation:
            raise
        except Permanent:
            return  # nothing better to say than what git said first


def _check_connected(repository: Repository, base: str, tip: str, env: Mapping[str, str]) -> None:
    """The tip is a commit, stands on the base, and everything it needs is here."""
    if repository.head(tip, env) != tip:
        raise unusable("what it brings is not a commit")
    if not repository.is_ancestor(base, tip, env):
        raise unusable(f"what it brings does not contain {base[:12]}, the commit that the run began from")
    try:
        repository.git("rev-list", "--objects", "--quiet", tip, "--not", "--all", env=env, timeout=INDEX_SECONDS)
    except Permanent as error:
        raise unusable(f"something that it needs is missing ({error.sentence.rstrip('.')})") from error


def _keep(quarantine: Path, packs: Path) -> None:
    """git looks for .idx files: when one is there, its pack must be. A pack that is there already, from an earlier try, has the same bytes."""
    files = sorted(quarantine.iterdir(), key=lambda file: (file.suffix == ".idx", file.suffix != ".pack"))
    for file in files:
        if file.suffix in (".pack", ".idx", ".rev"):
            os.rename(file, packs / file.name)
    fsync_folder(packs)
