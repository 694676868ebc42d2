"""Merges a commit into a branch exactly once, even with other writers, and without a work tree."""
from engine.crash import point
from engine.errors import MergeConflict, Permanent, Transient
from engine.git.repository import Repository
from engine.text import shown

TRIES = 20
CONFLICT_BYTES = 8000
MOST_PATHS = 20  # named in a sentence


def merge(repository: Repository, tip: str, branch: str, message: str, when: int, onto: str | None = None) -> str | None:
    """Merges `tip` into refs/heads/<branch>, with a merge commit even if a fast-forward is possible. Repeatable: a tip that is in the
    branch is not merged again, and the same inputs (when: seconds since the epoch) make the same commit. onto: the only head that it may
    be merged onto; if the branch is elsewhere, nothing is done and None is returned.

    Raises MergeConflict (its sentence names the paths; extra: paths, and detail, the conflict as text), Permanent, or Transient when
    the branch moved at each try."""
    for _ in range(TRIES):
        head = repository.head(f"refs/heads/{branch}")
        if head is None:
            raise Permanent(f"The branch {branch} does not exist, so nothing can be merged into it.")
        if repository.is_ancestor(tip, head):
            return head
        if onto not in (None, head):
            _tree(repository, head, tip)  # report a conflict at once
            return None
        tree = _tree(repository, head, tip)
        point("after-merge-tree")
        commit = repository.commit(tree, (head, tip), message, when)
        point("after-commit-tree")
        try:
            repository.set_branch(branch, commit, old=head)
        except Transient:
            continue  # another writer merged meanwhile, so look again
        point("after-update-ref")
        return commit
    raise Transient(f"The branch {branch} was moved by others {TRIES} times in a row. It will be tried again.")


def combine(repository: Repository, head: str, tip: str, message: str, when: int) -> str:
    """Makes a merge commit of both, not in a branch yet -> its sha. Raises MergeConflict, like merge()."""
    return repository.commit(_tree(repository, head, tip), (head, tip), message, when)


def advance(repository: Repository, branch: str, commit: str, onto: str) -> bool:
    """Moves the branch from `onto` to `commit`, which builds on it. Repeatable. False: another writer has moved it elsewhere."""
    head = repository.head(f"refs/heads/{branch}")
    if head is None:
        raise Permanent(f"The branch {branch} does not exist, so nothing can be merged into it.")
    if head != onto:
        return repository.is_ancestor(commit, head)
    try:
        repository.set_branch(branch, commit, old=onto)
    except Transient:
        return False
    point("after-update-ref")
    return True


def _tree(repository: Repository, head: str, tip: str) -> str:
    """The merged tree's sha, or MergeConflict. Its output: the tree, the conflicted paths, an empty word, messages."""
    code, out = repository.call("merge-tree", "--write-tree", "--name-only", "-z", head, tip, ok=(0, 1))
    tree, *words = out.split(b"\0")
    if code == 0:
        return tree.decode().strip()
    end = words.index(b"") if b"" in words else len(words)
    paths = list(dict.fromkeys(words[:end]))
    names = [shown(path) for path in paths]
    more = f" and {len(names) - MOST_PATHS} more" if len(names) > MOST_PATHS else ""
    messages = b"".join(word for word in words[end + 1:] if word.endswith(b"\n"))
    raise MergeConflict(f"The change conflicts with changes that were merged meanwhile, in {', '.join(names[:MOST_PATHS])}{more}.",
                        paths=names, detail=_detail(repository, head, tree.decode(), paths, messages))


def _detail(repository: Repository, head: str, tree: str, paths: list[bytes], messages: bytes) -> str:
    """git's messages and the conflicting places with their markers, at most CONFLICT_BYTES, to help resolve the conflict."""
    with repository.stream("diff-tree", "-p", "-r", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
                           head, tree, "--", *(path.decode("utf-8", "surrogateescape") for path in paths[:MOST_PATHS])) as stream:
        places = stream.read(CONFLICT_BYTES + 1)
    text = messages[:CONFLICT_BYTES // 2] + b"\n" + places
    cut = "" if len(text) <= CONFLICT_BYTES else "\n… cut here"
    return text[:CONFLICT_BYTES - 20].decode("utf-8", "replace") + cut if cut else text.decode("utf-8", "replace")
