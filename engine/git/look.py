"""One look at a repository before a build uses it: can it be reached, what is in it, and what must be done first.

It asks with one `git ls-remote` and reads a few files of a local repository. So nothing of the repository runs: no hook, no filter, no fsmonitor,
and no program that its configuration names. It changes nothing there, and ends after `seconds`."""
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from engine.errors import Damaged, RunFailure, Transient
from engine.git.call import call_git, git_version
from engine.git.layout import Layout, layout_of, object_folders
from engine.git.remote import local_path, reaching

SECONDS = 20.0
MOST_NAMED, MOST_FILES = 10, 100_000  # branches that a sentence names; files that are counted for the size
BIG = 2_000_000_000                   # bytes of objects from which on the first fetch is worth a word
OURS = "swarm"                        # results are pushed below it
REFTABLE = (2, 45)                    # git that reads it
NOTHING: Mapping[str, str] = MappingProxyType({})
SHA256 = ("The repository uses sha256 for its objects. HITL Swarm works with sha1, which nearly all repositories and forges use. "
          "Name a repository with sha1 objects.")
State = Literal["usable", "empty", "no_branch", "not_there", "unreachable", "refused", "unsupported", "damaged"]


class Look(NamedTuple):
    """What was seen. sentence: why a build cannot start, and what to do; '' if it can. notes: sentences about what works, but is good to know.

    branch: the branch that a build starts from, or, in an empty repository, the branch that a first commit would make. head: its commit."""

    state: State
    sentence: str = ""
    notes: tuple[str, ...] = ()
    branch: str | None = None
    head: str | None = None
    branches: int = 0
    detached: bool = False
    shallow: bool = False
    partial: bool = False
    linked: bool = False
    format: str = "sha1"      # of object names
    bytes: int | None = None  # of its objects; None: not known, because it is elsewhere or very large


class _Local(NamedTuple):
    """What the files of a local repository say. trouble: why it cannot be used, or ''."""

    trouble: str = ""
    notes: tuple[str, ...] = ()
    unborn: str | None = None
    shallow: bool = False
    partial: bool = False
    linked: bool = False
    format: str = "sha1"
    bytes: int | None = None


def look(url: str, protocols: tuple[str, ...], branch: str | None = None, login: Mapping[str, str] = NOTHING, seconds: float = SECONDS) -> Look:
    """Looks at the repository at `url` (from validate_source) for a build on `branch`; None: its default branch. login: from engine.git.remote.login.
    Never raises for anything that is wrong with the repository."""
    local = _Local()
    try:
        local = _local(Path(local_path(url))) if protocols == ("file",) else local
        if local.trouble:
            return Look("unsupported", local.trouble, linked=local.linked, format=local.format)
        with reaching(url, protocols) as env:
            out = call_git(None, "ls-remote", "--symref", "--", url, "HEAD", "refs/heads/*", *([f"refs/tags/{branch}"] if branch else []),
                           env={**env, **login}, timeout=seconds).out
    except (RunFailure, OSError) as error:
        return _failed(url, error, local.bytes is not None)
    seen = _judged(_refs(out), branch, local.unborn)
    return seen._replace(notes=(*local.notes, *seen.notes), shallow=local.shallow, partial=local.partial, linked=local.linked, bytes=local.bytes)


def _refs(out: bytes) -> dict[str, str]:
    """{ref: its object; for the key '': the branch that HEAD names}."""
    found = {}
    for line in out.decode("utf-8", "surrogateescape").splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: refs/heads/") and name == "HEAD":
            found[""] = value.removeprefix("ref: refs/heads/")
        else:
            found[name] = value
    return found


def _judged(refs: dict[str, str], branch: str | None, unborn: str | None) -> Look:
    heads = {name.removeprefix("refs/heads/"): sha for name, sha in refs.items() if name.startswith("refs/heads/")}
    detached, wanted = "HEAD" in refs and "" not in refs, branch or refs.get("")
    if any(len(sha) != 40 for name, sha in refs.items() if name):
        return Look("unsupported", SHA256, format="sha256", detached=detached)
    if broken := next((name for name, sha in refs.items() if name and not sha.strip("0")), None):
        return Look("damaged", f"The repository is damaged: {shown(broken)} names no commit. Repair or delete it there.", detached=detached)
    if not heads and not detached:
        return Look("empty", "The repository is empty: it has no commit yet. Make a first commit there, or let HITL Swarm make one.", branch=branch or unborn)
    notes = (f"The repository has a branch named {OURS}, so git cannot create branches below {OURS}/ there. Rename that branch, or the result "
             "cannot be delivered.",) if OURS in heads else ()
    if wanted in heads:
        return Look("usable", "", notes, wanted, heads[wanted], len(heads), detached)
    listed = sorted(shown(name) for name in heads)
    has = f" It has: {', '.join(listed[:MOST_NAMED])}{' and more' if len(listed) > MOST_NAMED else ''}." if heads else " It has no branch at all."
    if branch:
        said = f"The branch {shown(branch)} is not there.{has}{_hint(branch, heads, refs) or ' Make that branch there, or name another.'}"
    elif detached:
        said = f"The repository names no default branch: its HEAD is detached at {refs['HEAD'][:12]}. Set base_branch in the card.{has}"
    else:
        missing = f": {shown(unborn)}, which its HEAD names, is not there" if unborn else ""
        said = f"The repository names no default branch{missing}. Set base_branch in the card.{has}"
    return Look("no_branch", said, notes, branches=len(heads), detached=detached)


def shown(name: str) -> str:
    """A branch's name as text; bytes that are not UTF-8 are written as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _hint(branch: str, heads: dict[str, str], refs: dict[str, str]) -> str:
    """What was probably meant."""
    if f"refs/tags/{branch}" in refs:
        return f" {branch} is a tag. Make a branch there that starts at it."
    near = [name for name in heads if name == branch.removeprefix("refs/heads/").removeprefix("origin/") or name.casefold() == branch.casefold()]
    return f" Did you mean {shown(near[0])}?" if near else ""


def _failed(url: str, error: RunFailure | OSError, local: bool) -> Look:
    """The look at a repository that did not answer as it should. local: its files were found."""
    words = str(error.extra.get("words") or error.sentence) if isinstance(error, RunFailure) else f"{error.strerror or error}"
    first = words.partition(" fatal: Could not read from remote")[0].removesuffix(" It will be tried again.")
    said = re.sub(r"^(fatal: |error: |remote: )+", "", first).rstrip(".")
    if isinstance(error, Damaged):
        return Look("damaged", f"{error.sentence.rstrip('.')}. Run git fsck there and repair it, or name another copy.")
    if isinstance(error, Transient):
        return Look("unreachable", f"{url} cannot be reached now: {said}. Check the address, the network and that server.")
    if local and "does not appear to be a git" in words:
        return Look("damaged", f"{url} has files of a repository, but git cannot read it: its HEAD or its configuration is damaged. Run git status there.")
    if re.search(r"does not appear to be a git|not found|does not exist|error: 404", words, re.I):
        return Look("not_there", f"{url} is not there, or the login of this server may not see it: {said}. Check the address and the login.")
    return Look("refused", f"{url} cannot be used by this server: {said}. Check the login and the permissions.")


def _local(path: Path) -> _Local:
    """What a local repository's files say. Raises OSError for what may not be read, Permanent for a configuration that git cannot read."""
    layout = layout_of(path)
    if layout is None:
        return _Local()  # git says what is wrong
    settings = _settings(layout)
    partial = "extensions.partialclone" in settings or any(name.startswith("remote.") and name.endswith(".promisor") for name in settings)
    shallow = (layout.common / "shallow").is_file() and (layout.common / "shallow").stat().st_size > 0
    size = _size(layout)
    return _Local(_trouble(layout, settings), tuple(_notes(path, layout, partial, shallow, size)), _unborn(layout), shallow, partial, layout.linked,
                  settings.get("extensions.objectformat", "sha1"), size)


def _settings(layout: Layout) -> dict[str, str]:
    """The repository's own configuration, without files that it includes. A later value wins, as in git."""
    if not (layout.common / "config").is_file():
        return {}
    out = call_git(None, "config", "--no-includes", "--file", str(layout.common / "config"), "--list", "-z", ok=(0, 1)).out
    pairs = (part.partition("\n") for part in out.decode("utf-8", "backslashreplace").split("\0") if part)
    return {name: value for name, _, value in pairs}


def _trouble(layout: Layout, settings: dict[str, str]) -> str:
    if settings.get("extensions.objectformat", "sha1").lower() != "sha1":
        return SHA256
    version = git_version() if settings.get("extensions.refstorage", "files") != "files" else REFTABLE
    if version < REFTABLE:
        return (f"The repository stores its branches as {settings['extensions.refstorage']}, which git {'.'.join(map(str, version))} on this machine cannot "
                f"read. Install git {'.'.join(map(str, REFTABLE))} or newer, or run git refs migrate --ref-format=files there.")
    missing = next((folder for folder in object_folders(layout) if not folder.is_dir()), None)
    return f"The repository uses objects from {missing}, which is not there. Put that folder back, or run git repack -a -d in a whole clone." if missing else ""


def _notes(path: Path, layout: Layout, partial: bool, shallow: bool, size: int | None) -> list[str]:
    notes = []
    if layout.linked:
        main = layout.common.parent if layout.common.name == ".git" else layout.common
        notes.append(f"It is a linked work tree of {main}. Without a base branch, the branch that is checked out here is used. "
                     "Only commits count, not files that were changed since.")
    if shallow:
        notes.append("It is a shallow clone, so the build sees only the newest part of its history.")
    if partial:
        notes.append("It is a partial clone: some objects are only at its own remote. If the build needs them, it stops. "
                     "Name that remote instead, or run git fetch --refetch --no-filter here.")
    owner = layout.common.stat().st_uid
    if owner != os.geteuid():
        notes.append("The folder belongs to another user, so git refuses to deliver the result there. Change its owner, or use an ssh URL.")
    elif not os.access(layout.common / "objects", os.W_OK):
        notes.append("This server may not write there, so the result cannot be delivered. It stays in this installation's own repository.")
    if size is None or size > BIG:
        notes.append(f"It is large{f' ({size / 1e9:.1f} GB)' if size else ''}. The build first copies all of its branches, which takes time and space.")
    return notes


def _unborn(layout: Layout) -> str | None:
    """The branch that HEAD names, whether it exists or not."""
    try:
        text = (layout.git_dir / "HEAD").read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return None
    return text.removeprefix("ref: refs/heads/") if text.startswith("ref: refs/heads/") and text != "ref: refs/heads/.invalid" else None


def _size(layout: Layout) -> int | None:
    """Bytes of its own objects; None if there are too many files to count them while somebody waits."""
    total = files = 0
    for folder, _, names in os.walk(layout.common / "objects"):
        files += len(names)
        if files > MOST_FILES:
            return None
        total += sum(os.lstat(os.path.join(folder, name)).st_size for name in names if os.path.lexists(os.path.join(folder, name)))
    return total
