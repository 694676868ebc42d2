"""How a sandbox gets the history that it works on: as a bundle with all of it, or, where it can be shown folders of the host, as names of commits whose
objects it sees, read-only, in the repository of its session and in the store that this one borrows from."""
import hashlib
import os
import shutil
import struct
from pathlib import Path

from engine.errors import Permanent
from engine.git.repository import Repository
from engine.run.sandbox import Run
from engine.runtimes.overlay import overlaying
from engine.stores import trees
from engine.stores.store import lent_to

FILES = ("in.bundle", "shallow", "packed-refs", "alternates", "index", "index-of")  # what give_history() writes at most
HEADS, KEPT = "refs/heads/", "refs/swarm/kept/"
_EMPTY = b"PACK" + struct.pack(">II", 2, 0)


def give_history(run: Run, repository: Repository, target: Path, refs: list[str]) -> dict[str, str]:
    """Writes refs for a sandbox as the bundle `target`, and beside it the file `shallow` if the repository's history ends early. For a sandbox that sees
    the objects, the bundle has no objects, and packed-refs and alternates come with it; index, too, if the files of the base are there. -> {ref: its commit}"""
    target.parent.mkdir(parents=True, exist_ok=True)
    if (repository.path / "shallow").exists():
        shutil.copyfile(repository.path / "shallow", target.with_name("shallow"))
    if not run.runtime.stands:
        return repository.bundle(target, refs)
    run.lent = lent_to(repository.path)
    listed = repository.git("for-each-ref", "--format=%(objectname) %(refname)", *refs, "refs/tags/", *(["refs/remotes/origin/"] if run.lent[1:] else []))
    commits = {name: sha for sha, _, name in (line.partition(" ") for line in listed.decode("utf-8", "surrogateescape").split("\n")[:-1])}
    heads = {ref: commits[ref] for ref in refs if ref in commits}
    if len(heads) != len(set(refs)):
        raise Permanent(f"{repository.path.name} has no {', '.join(ref for ref in refs if ref not in heads)} any more.")
    _write(target, "# v2 git bundle\n" + "".join(f"-{sha} \n" for sha in heads.values()) + "".join(f"{sha} {ref}\n" for ref, sha in heads.items()) + "\n",
           _EMPTY + hashlib.sha1(_EMPTY).digest())
    _write(target.with_name("packed-refs"), "".join(f"{sha} {ref}\n" for ref, sha in sorted(_inside(commits, heads).items())))
    _write(target.with_name("alternates"), f"{run.lent[0].place}\n")
    run.tree = _tree_of(run)
    if run.tree and not target.with_name("index").exists():
        os.link(run.tree / trees.INDEX, target.with_name("index"))
        _write(target.with_name("index-of"), f"{run.tree.name}\n")
    return heads


def give_commit(run: Run, repository: Repository, commit: str, branch: str, target: Path) -> None:
    """The same for one commit with its history. branch: its name for the sandbox; in the repository it exists only meanwhile."""
    with repository.locked():
        repository.set_branch(branch, commit, repository.head(f"refs/heads/{branch}"))
        try:
            give_history(run, repository, target, [f"refs/heads/{branch}"])
        finally:
            repository.delete_ref(f"refs/heads/{branch}")


def _tree_of(run: Run) -> Path | None:
    """The files of the base commit that were laid out for the sandboxes of this run, if they can lie below its work tree."""
    ground = run.job.ground
    folder = trees.read(run.folder.parent.parent, ground.tree) if ground and ground.tree and ground.disk_mb else None
    return folder if folder and can_overlay(run) else None


def can_overlay(run: Run) -> bool:
    known = run.job.ground.overlays if run.job.ground else None
    return bool(overlaying(run.folder) if known is None else known)


def _write(path: Path, text: str, more: bytes = b"") -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape") + more)


def _inside(commits: dict[str, str], heads: dict[str, str]) -> dict[str, str]:
    """{ref: commit} in the clone of a sandbox: what a fetch of the heads would make of them, the tags, and the branch of the remote."""
    made = {_renamed(ref): sha for ref, sha in heads.items()}
    others = {ref: sha for ref, sha in commits.items() if ref not in heads}
    return {**{ref: sha for ref, sha in others.items() if not any(f"{one}/".startswith(f"{ref}/") or ref.startswith(f"{one}/") for one in made)}, **made}


def _renamed(ref: str) -> str:
    if ref.startswith(KEPT):
        return f"refs/remotes/swarm-kept/{ref.rpartition('/')[2]}"
    return f"refs/remotes/origin/{ref.removeprefix(HEADS)}"
